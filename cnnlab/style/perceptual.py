"""The loss of a network that paints: the distances of `losses`, for each picture of a batch.

Source: Johnson, Alahi and Fei-Fei 2016, Perceptual Losses for Real-Time Style Transfer,
https://arxiv.org/abs/1603.08155.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from cnnlab import images
from cnnlab.style.losses import (
    StyleTarget,
    batch_statistics,
    content_distance,
    statistics,
    style_distance,
    style_target,
    total_variation,
)
from cnnlab.style.pyramid import fitted
from cnnlab.style.settings import (
    Layers,
    Picture,
    check_choices,
    layer_shares,
    network_of,
    positive_int,
    read_picture,
    read_precision,
    read_term_weights,
)
from cnnlab.style.vgg import VGGPlan, device_weights, extract_features, read_vgg

# Up to block 4: crops are too small for the statistics of block 5 to mean much.
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1")
CONTENT_LAYERS = ("block3_conv3",)


@dataclass(frozen=True)
class PerceptualLoss:
    """The loss of a painter, made of the same distances as `stylize`'s.

    Attributes:
        plan: The network compared in, to the deepest layer compared.
        weights: Its weights on the device; nothing here changes them.
        content_layers: Name -> share in the content loss.
        style_layers: Name -> share in the style loss.
        style_loss: One of `losses.STYLE_LOSSES`.
        targets: Style layer -> what is wanted there, with a first axis of styles.
        term_weights: Of content, style and total variation.
    """

    plan: VGGPlan
    weights: dict[str, tuple[tf.Tensor, ...]]
    content_layers: dict[str, float]
    style_layers: dict[str, float]
    style_loss: str
    targets: dict[str, StyleTarget]
    term_weights: tuple[float, float, float]

    def terms(
        self, painted: tf.Tensor, pictures: tf.Tensor, style: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute each picture's content, style and variation, unweighted: float32 (n, 3).

        Args:
            painted: float32 (n, h, w, 3) in 0…255.
            pictures: The content wanted, of the same shape.
            style: int32 (n,), the number of the style wanted; None: the first for all.
        """
        layers = self.content_layers | self.style_layers
        found = extract_features(painted, self.weights, self.plan, layers)
        shallow, pictures = self.plan.until(self.content_layers), tf.cast(pictures, "float32")
        wanted = extract_features(pictures, self.weights, shallow, self.content_layers)
        wanted = {name: tf.stop_gradient(maps) for name, maps in wanted.items()}
        style = tf.zeros(tf.shape(painted)[:1], "int32") if style is None else style
        # Plain operations over the batch: XLA takes the gradient of `tf.vectorized_map` for one
        # that needs the pictures while it compiles, and compiles anew for each batch.
        each = (1, 2, 3)
        content = [
            share * content_distance(found[name], wanted[name], axis=each)
            for name, share in self.content_layers.items()
        ]
        distances = [
            share * self._style_distance(found[name], name, style)
            for name, share in self.style_layers.items()
        ]
        return tf.stack([sum(content), sum(distances), total_variation(painted, each)], axis=1)

    def _style_distance(self, features: tf.Tensor, name: str, style: tf.Tensor) -> tf.Tensor:
        """Compare each picture: it has to have the style by itself, (n,)."""
        target = tf.nest.map_structure(
            lambda stack: None if stack is None else tf.gather(stack, style), self.targets[name]
        )
        found = batch_statistics(features, self.style_loss)
        return style_distance(found, target, self.style_loss)


def perceptual_loss(
    style: Picture | Sequence[Picture],
    *,
    size: int = 256,
    content_weight: float = 1.0,
    style_weight: float = 30.0,
    tv_weight: float = 1.0,
    content_layers: Layers = CONTENT_LAYERS,
    style_layers: Layers = STYLE_LAYERS,
    style_loss: str = "gram",
    model: keras.Model | str = "vgg16",
    precision: str | None = "float32",
) -> PerceptualLoss:
    """Prepare the loss of a painter.

    Args:
        style: The picture whose style to learn: a path, an address, or an array as `images.read`
            takes it. Or a list of them, for a painter of several styles.
        size: Longer side in pixels at which the style is used. The painter's strokes will be as
            wide, in pixels, as they are at this size, whatever the size of its pictures.
        content_weight: Of the content loss.
        style_weight: Of the style loss; more of it makes the painter bolder.
        tv_weight: Of the total variation.
        content_layers: Name, names, or name -> weight.
        style_layers: Likewise.
        style_loss: "gram", "wasserstein" or "moments".
        model: "vgg16", "vgg19", or such a model that takes pixels in 0…255.
        precision: Of the network compared in, "float32" or "mixed_bfloat16"; None takes what
            suits the device.

    Raises:
        ValueError: An argument is invalid.
        OSError: The style can't be read.
    """
    check_choices(style_loss=style_loss, precision=precision)
    dtype = read_precision(precision).removeprefix("mixed_")
    term_weights = read_term_weights(content=content_weight, style=style_weight, tv=tv_weight)
    content_layers = layer_shares("content_layers", content_layers)
    style_layers = layer_shares("style_layers", style_layers)
    size = positive_int("size", size)
    plan, weights = read_vgg(network_of(model))
    plan = plan.until([*content_layers, *style_layers])
    weights = device_weights(weights, plan, dtype)
    targets = []
    for source in style if isinstance(style, list | tuple) else [style]:
        picture = read_picture("style", source)
        picture = images.read(picture, fitted(size, picture.shape[:2]))
        if min(picture.shape[:2]) < plan.smallest_side:
            raise ValueError(
                f"Expected a size at which the style has sides of at least {plan.smallest_side}. "
                f"Received: size={size}, which makes it {picture.shape[0]} × {picture.shape[1]}"
            )
        features = extract_features(
            tf.constant(picture[None], "float32"), weights, plan, style_layers
        )
        targets.append(
            {
                name: style_target(statistics(maps, style_loss), style_loss)
                for name, maps in features.items()
            }
        )
    stacked = tf.nest.map_structure(
        lambda *of_styles: None if of_styles[0] is None else tf.stack(of_styles), *targets
    )
    return PerceptualLoss(
        plan, weights, content_layers, style_layers, style_loss, stacked, term_weights
    )
