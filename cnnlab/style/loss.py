"""The loss of a style transfer at one size: content, style and total variation, weighted.

Source: Gatys, Ecker and Bethge 2016, Image Style Transfer Using Convolutional Neural Networks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cnnlab.style.distances import (
    Statistics,
    content_distance,
    statistics,
    style_distance,
    total_variation,
)
from cnnlab.style.vgg import VGGPlan, extract_features

TERMS = ("total", "content", "style", "variation")
# From pixels (1, h, w, 3), targets and the number of the step to the terms, (4,).
Loss = Callable[..., tf.Tensor]
# A part of the picture: its share of the style loss, the style wanted there, and where it is,
# (height, width) of the layer, or None for everywhere.
Region = tuple[tf.Tensor, Statistics, tf.Tensor | None]


class Targets(NamedTuple):
    """What a picture is compared with at one size.

    Attributes:
        weights: The network's, from `vgg.device_weights`, in the precision to compute in.
        content: Layer name -> its share of the content loss, and the features wanted.
        style: Layer name -> its share of the style loss, and the regions.
        term_weights: (3,): of content, style and total variation.
    """

    weights: dict[str, tuple[tf.Tensor, ...]]
    content: dict[str, tuple[tf.Tensor, tf.Tensor]]
    style: dict[str, tuple[tf.Tensor, tuple[Region, ...]]]
    term_weights: tf.Tensor


@functools.lru_cache(maxsize=64)
def loss_of(plan: VGGPlan, style_loss: str, loss_form: str) -> Loss:
    """Return the loss; the same function for the same arguments, so it is compiled once.

    Args:
        plan: The network, to the deepest layer compared.
        style_loss: One of `distances.STYLE_LOSSES`.
        loss_form: One of `distances.LOSS_FORMS`.

    Returns:
        From pixels (1, h, w, 3) and `Targets` to the terms in the order of `TERMS`, (4,): the first
        is the weighted sum of the others.
    """

    def style_term(features: tf.Tensor, regions: tuple[Region, ...]) -> tf.Tensor:
        found = [statistics(features, style_loss, mask) for _, _, mask in regions]
        return sum(
            share * style_distance(own, wanted, style_loss, loss_form)
            for (share, wanted, _), own in zip(regions, found, strict=True)
        )

    def terms(pixels: tf.Tensor, targets: Targets, step: tf.Tensor | None = None) -> tf.Tensor:
        features, zero = {}, tf.constant(0.0)
        if layers := dict.fromkeys([*targets.content, *targets.style]):
            features = extract_features(pixels, targets.weights, plan, layers)
        content = [
            share * content_distance(features[name], wanted, loss_form)
            for name, (share, wanted) in targets.content.items()
        ]
        style = [
            share * style_term(features[name], regions)
            for name, (share, regions) in targets.style.items()
        ]
        parts = [sum(content, zero), sum(style, zero), total_variation(pixels)]
        return tf.stack([tf.reduce_sum(targets.term_weights * tf.stack(parts)), *parts])

    return terms
