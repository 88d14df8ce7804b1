"""What a style transfer minimises at one size: its targets, its loss, and the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from cnnlab.style.losses import (
    StyleTarget,
    content_distance,
    statistics,
    style_distance,
    total_variation,
)
from cnnlab.style.vgg import VGGPlan, extract_features

TERMS = ("total", "content", "style", "variation")


@dataclass(frozen=True)
class Objective:
    """What is compared, without numbers: the part of a style transfer that gets compiled.

    Attributes:
        plan: The network, to the deepest layer compared.
        content_layers: Names; empty leaves content out.
        style_layers: Names; empty leaves style out.
        style_loss: One of `losses.STYLE_LOSSES`.
        loss_form: One of `losses.LOSS_FORMS`.
    """

    plan: VGGPlan
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_loss: str = "gram"
    loss_form: str = "squared"


class Region(NamedTuple):
    """A part of the picture and the style wanted there.

    Attributes:
        targets: Layer name -> `StyleTarget`.
        weight: Scalar share of the style loss.
        masks: Layer name -> (height, width) of that layer; empty for the whole picture.
    """

    targets: dict[str, StyleTarget]
    weight: tf.Tensor
    masks: dict[str, tf.Tensor]


class Targets(NamedTuple):
    """The numbers of an objective at one size, all float32 tensors unless noted.

    Attributes:
        weights: The network's, from `vgg.device_weights`, in the precision to compute in.
        content: Layer name -> features wanted, in the same precision.
        regions: The styles wanted.
        layer_weights: Layer name -> its shares (in the content loss, in the style loss).
        term_weights: (3,): of content, style and total variation.
    """

    weights: dict[str, tuple[tf.Tensor, ...]]
    content: dict[str, tf.Tensor]
    regions: tuple[Region, ...]
    layer_weights: dict[str, tf.Tensor]
    term_weights: tf.Tensor


def loss_terms(pixels: tf.Tensor, targets: Targets, objective: Objective) -> tf.Tensor:
    """Compute the terms in the order of `TERMS`, (4,); the first is the others' weighted sum."""
    content, style = objective.content_layers, objective.style_layers
    features = {}
    if content or style:
        layers = dict.fromkeys(content + style)
        features = extract_features(pixels, targets.weights, objective.plan, layers)
    shares, zero = targets.layer_weights, tf.constant(0.0)
    content_terms = [
        shares[name][0]
        * content_distance(features[name], targets.content[name], objective.loss_form)
        for name in content
    ]
    style_terms = [
        shares[name][1] * _style_term(name, features[name], targets.regions, objective)
        for name in style
    ]
    terms = [sum(content_terms, zero), sum(style_terms, zero), total_variation(pixels)]
    return tf.stack([tf.reduce_sum(targets.term_weights * tf.stack(terms)), *terms])


def _style_term(
    name: str, features: tf.Tensor, regions: tuple[Region, ...], objective: Objective
) -> tf.Tensor:
    kind, form = objective.style_loss, objective.loss_form
    found = (statistics(features, kind, region.masks.get(name)) for region in regions)
    return sum(
        region.weight * style_distance(own, region.targets[name], kind, form)
        for region, own in zip(regions, found, strict=True)
    )


def terms_and_gradient(
    pixels: tf.Tensor, targets: Targets, objective: Objective
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the terms and the gradient of their weighted sum, times the number of pixels.

    So scaled, a gradient's size doesn't depend on the picture's: a loss is a mean over pixels.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pixels)
        terms = loss_terms(pixels, targets, objective)
        total = terms[0]
    area = tf.cast(tf.size(pixels) // 3, tf.float32)
    return terms, area * tape.gradient(total, pixels)
