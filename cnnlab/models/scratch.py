"""Builders of the networks the notebooks compare: plain functions that return a `keras.Model`.

Every model takes RGB pixels in 0…255 (`uint8` or `float32`, shape `(n, height, width, 3)`), scales
them inside, and ends in `float32` logits `(n, num_classes)`; a backbone ends in feature maps. They
use Keras's own layers and nothing else, so a saved `.keras` file loads anywhere, in safe mode. (A
network of your own with `L2Pooling2D` in it loads once this room has been imported.)
Layer names are stable: tests, Grad-CAM and readers address layers by them.
"""

from collections.abc import Sequence
from functools import partial
from numbers import Integral

import keras
from keras import layers, ops

Shape = tuple[int, int, int]


def linear(
    input_shape: Shape = (32, 32, 3), num_classes: int = 10, *, name: str = "linear"
) -> keras.Model:
    """Build a linear classifier, one weight for each pixel and class: what any network must beat.

    Args:
        input_shape: Height, width and channels of a picture.
        num_classes: Number of logits.
        name: Name of the model.
    """
    inputs, x = _pixels(input_shape)
    x = layers.Flatten(name="flatten")(x)
    # With one layer the loss is convex: zeros are as good a start as any and leave no noise.
    x = layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


def plain_cnn(
    input_shape: Shape = (32, 32, 3),
    num_classes: int = 10,
    *,
    widths: Sequence[int] = (32, 64, 64),
    hidden: int = 64,
    name: str = "plain_cnn",
) -> keras.Model:
    """Build the network of TensorFlow's CNN tutorial: convolutions, pooling and a dense layer.

    Departs from the tutorial only in that pixels are scaled inside the model, and to about -2…2 as
    in the other networks: centred ones are learnt in fewer steps than the tutorial's 0…1.

    Args:
        input_shape: Height, width and channels of a picture.
        num_classes: Number of logits.
        widths: Filters of each 3×3 convolution; all but the last are followed by 2×2 max pooling.
        hidden: Units of the dense layer.
        name: Name of the model.

    Source: https://www.tensorflow.org/tutorials/images/cnn
    """
    _require_widths(widths)
    inputs, x = _pixels(input_shape)
    for i, width in enumerate(widths, start=1):
        x = layers.Conv2D(width, 3, activation="relu", name=f"conv{i}")(x)
        if i < len(widths):
            x = layers.MaxPooling2D(name=f"pool{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hidden, activation="relu", name="hidden")(x)
    return keras.Model(inputs, _logits(x, num_classes), name=name)


def batchnorm_cnn(
    input_shape: Shape = (32, 32, 3),
    num_classes: int = 10,
    *,
    widths: Sequence[int] = (32, 64, 64),
    hidden: int = 64,
    dropout: float = 0.2,
    name: str = "batchnorm_cnn",
) -> keras.Model:
    """Build `plain_cnn` with batch normalization after convolutions and dropout before the logits.

    The convolutions lose their biases: normalization subtracts them again. Pooling comes before
    normalization, which picks the same pixels and leaves a quarter of them to normalize.

    Args:
        input_shape: Height, width and channels of a picture.
        num_classes: Number of logits.
        widths: Filters of each 3×3 convolution; all but the last are followed by 2×2 max pooling.
        hidden: Units of the dense layer.
        dropout: Share of the dense layer's outputs set to zero in training, 0…1.
        name: Name of the model.
    """
    _require_widths(widths)
    inputs, x = _pixels(input_shape)
    for i, width in enumerate(widths, start=1):
        x = _conv_norm(x, width, name=f"conv{i}", pool=i < len(widths), padding="valid")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hidden, activation="relu", name="hidden")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, _logits(x, num_classes), name=name)


def resnet(
    input_shape: Shape = (32, 32, 3),
    num_classes: int = 10,
    *,
    widths: Sequence[int] = (24, 48, 96),
    stem_stride: int = 2,
    depth: int = 1,
    shortcut: bool = True,
    activation: str = "relu",
    name: str = "resnet",
) -> keras.Model:
    """Build a residual network: a stem, then groups of convolutions, each added to its shortcut.

    Each group widens and halves the map (convolution, max pooling, normalization), then adds
    `depth` more convolutions to what it has: `x + f(x)`. The defaults are small enough for two CPU
    cores; on a GPU the first notebook takes `widths=(32, 64, 128, 256), stem_stride=1`.

    Args:
        input_shape: Height, width and channels of a picture.
        num_classes: Number of logits.
        widths: Filters of the stem, then of each group.
        stem_stride: 1 keeps the picture's resolution in the stem, 2 halves it (four times cheaper).
        depth: Convolutions inside each shortcut.
        shortcut: False leaves the additions out: the same network without its shortcuts, for
            comparison.
        activation: Nonlinearity, by Keras's name.
        name: Name of the model.

    Source: He et al. 2015, https://arxiv.org/abs/1512.03385; the shape of the groups follows the
    fast CIFAR-10 networks of D. Page and K. Jordan
    (https://github.com/KellerJordan/cifar10-airbench).
    """
    _require_widths(widths, depth=depth)
    inputs, x = _pixels(input_shape)
    x = _conv_norm(x, widths[0], name="stem", strides=stem_stride, activation=activation)
    for group, width in enumerate(widths[1:], start=1):
        x = _conv_norm(x, width, name=f"group{group}_conv1", pool=True, activation=activation)
        tail = x
        for i in range(2, depth + 2):
            tail = _conv_norm(tail, width, name=f"group{group}_conv{i}", activation=activation)
        x = layers.Add(name=f"group{group}_add")([x, tail]) if shortcut else tail
    x = layers.GlobalMaxPooling2D(name="global_pool")(x)
    # Small logits: with large steps the last layer would else be sure before it knows anything.
    x = layers.Rescaling(1 / 8, name="feature_scale")(x)
    return keras.Model(inputs, _logits(x, num_classes), name=name)


def six_views(model: keras.Model, *, shift: int = 1) -> keras.Model:
    """Look six times: at the picture, at it shifted up left and down right, and at their mirrors.

    It returns the mean of the six logits, the views that are not shifted counting double. It has
    no weights of its own, needs no training and takes six times as long.

    Args:
        model: Takes pixels, returns logits.
        shift: By how many pixels; the edge is filled by reflection.

    Source: the evaluation of https://github.com/KellerJordan/cifar10-airbench.
    """
    inputs = keras.Input(model.input_shape[1:], name="pixels")
    padded = ops.pad(inputs, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    crop = partial(layers.Cropping2D, dtype="float32")
    up_left = crop(((0, 2 * shift), (0, 2 * shift)), name="up_left")(padded)
    down_right = crop(((2 * shift, 0), (2 * shift, 0)), name="down_right")(padded)
    weighted = []
    for view, weight in ((inputs, 1 / 4), (up_left, 1 / 8), (down_right, 1 / 8)):
        weighted += [weight * model(view), weight * model(ops.flip(view, axis=2))]
    logits = layers.Add(dtype="float32", name="logits")(weighted)
    return keras.Model(inputs, logits, name=f"{model.name}_six_views")


@keras.saving.register_keras_serializable("cnnlab")
class L2Pooling2D(layers.Layer):
    """Pool each window to its L2 norm, the square root of the sum of squares.

    Between average pooling (every value counts alike) and max pooling (only the largest does).

    Args:
        pool_size: Side of the square window in pixels; windows do not overlap and incomplete ones
            are dropped.

    Source: Sermanet et al. 2012, https://arxiv.org/abs/1204.3968.
    """

    def __init__(self, pool_size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        """Pool `(n, h, w, c)` to `(n, h // pool_size, w // pool_size, c)`."""
        mean_square = ops.average_pool(ops.square(inputs), self.pool_size)
        # The floor keeps the gradient finite where a whole window is 0, as it can be behind a ReLU.
        return ops.sqrt(ops.maximum(mean_square * self.pool_size**2, keras.config.epsilon() ** 2))

    def get_config(self) -> dict:
        return {**super().get_config(), "pool_size": self.pool_size}


def _require_widths(widths: Sequence[int], *, depth: int = 1) -> None:
    numbers = [*widths, depth]
    if len(widths) and all(isinstance(n, Integral) and n >= 1 for n in numbers):
        return
    raise ValueError(
        "Expected at least one width, and whole numbers of at least 1. "
        f"Received: {widths=}" + ("" if depth == 1 else f", {depth=}")
    )


def _pixels(input_shape: Shape):
    """Make an input for pixels, brought to about -2…2 (CIFAR-10's spread is 62 around 121)."""
    inputs = keras.Input(input_shape, name="pixels")
    return inputs, layers.Rescaling(1 / 64, offset=-2.0, name="scale")(inputs)


def _logits(x, num_classes: int):
    """Add a dense layer to the logits, kept in float32 under mixed precision."""
    return layers.Dense(num_classes, dtype="float32", name="logits")(x)


def _conv_norm(
    x, width: int, *, name: str, strides=1, padding="same", pool=False, activation="relu"
):
    x = layers.Conv2D(width, 3, strides, padding, use_bias=False, name=name)(x)
    if pool:
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    # 0.9, not Keras's 0.99: the statistics must settle in the few hundred steps of a short run.
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_act")(x)
