"""The loss of a network that paints: the distances of `distances`, for each picture of a batch.

Source: Johnson, Alahi and Fei-Fei 2016, Perceptual Losses for Real-Time Style Transfer,
https://arxiv.org/abs/1603.08155.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnlab import images
from cnnlab.style.distances import (
    STYLE_LOSSES,
    Statistics,
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
    positive_int,
    read_network,
    read_picture,
    read_term_weights,
)
from cnnlab.style.vgg import extract_features

# Up to block 4: crops are too small for the statistics of block 5 to mean much.
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1")
CONTENT_LAYERS = ("block3_conv3",)


class PerceptualLoss:
    """The loss of a painter, made of the same distances as `stylize`'s.

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

    Attributes:
        term_weights: Of content, style and total variation.
        targets: Style layer -> the statistics wanted there, with a first axis of styles.
        smallest_side: The least sides of a picture, in pixels, that the deepest layer needs.

    Raises:
        ValueError: An argument is invalid.
        OSError: The style can't be read.
    """

    def __init__(
        self,
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
    ):
        check_choices({"precision": precision})
        if style_loss not in STYLE_LOSSES:
            raise ValueError(
                f"Expected style_loss to be one of {STYLE_LOSSES}. Received: {style_loss!r}"
            )
        self.term_weights = read_term_weights(content_weight, style_weight, tv_weight)
        self._style_loss, size = style_loss, positive_int("size", size)
        layers = content_layers, style_layers
        self._plan, self._weights, layers = read_network(model, layers, precision=precision)
        self._content_layers, self._style_layers = layers
        self.smallest_side = self._plan.smallest_side
        sources = style if isinstance(style, list | tuple) else [style]
        targets = [self._style_targets(read_picture("style", one), size) for one in sources]
        self.targets = tf.nest.map_structure(
            lambda *of_styles: None if of_styles[0] is None else tf.stack(of_styles), *targets
        )

    def _style_targets(self, picture: np.ndarray, size: int) -> dict[str, Statistics]:
        """Return the statistics of a style at a size, layer by layer."""
        picture = images.read(picture, fitted(size, picture.shape[:2]))
        if min(picture.shape[:2]) < self.smallest_side:
            raise ValueError(
                f"Expected a size at which the style has sides of at least {self.smallest_side}. "
                f"Received: size={size}, which makes it {picture.shape[0]} × {picture.shape[1]}"
            )
        pixels, kind = tf.constant(picture[None], "float32"), self._style_loss
        features = extract_features(pixels, self._weights, self._plan, self._style_layers)
        return {name: style_target(statistics(maps, kind), kind) for name, maps in features.items()}

    def terms(
        self, painted: tf.Tensor, pictures: tf.Tensor, style: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute each picture's content, style and variation, unweighted: float32 (n, 3).

        Args:
            painted: float32 (n, h, w, 3) in 0…255.
            pictures: The content wanted, of the same shape.
            style: int32 (n,), the number of the style wanted; None: the first for all.
        """
        layers = self._content_layers | self._style_layers
        found = extract_features(painted, self._weights, self._plan, layers)
        shallow, pictures = self._plan.until(self._content_layers), tf.cast(pictures, "float32")
        wanted = extract_features(pictures, self._weights, shallow, self._content_layers)
        wanted = {name: tf.stop_gradient(maps) for name, maps in wanted.items()}
        style = tf.zeros(tf.shape(painted)[:1], "int32") if style is None else style
        # Plain operations over the batch: XLA takes the gradient of `tf.vectorized_map` for one
        # that needs the pictures while it compiles, and compiles anew for each batch.
        each = (1, 2, 3)
        content = [
            share * content_distance(found[name], wanted[name], axis=each)
            for name, share in self._content_layers.items()
        ]
        distances = [
            share * self._style_distance(found[name], name, style)
            for name, share in self._style_layers.items()
        ]
        return tf.stack([sum(content), sum(distances), total_variation(painted, each)], axis=1)

    def _style_distance(self, features: tf.Tensor, name: str, style: tf.Tensor) -> tf.Tensor:
        """Compare each picture: it has to have the style by itself, (n,)."""
        target = tf.nest.map_structure(
            lambda stack: None if stack is None else tf.gather(stack, style), self.targets[name]
        )
        found = batch_statistics(features, self._style_loss)
        return style_distance(found, target, self._style_loss)
