"""The network that paints: pixels in, pixels out, at any size.

Sources: Johnson, Alahi and Fei-Fei 2016, https://arxiv.org/abs/1603.08155; instance normalization
from Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022; upsampling by resizing, which leaves no
checkerboard, from Odena et al. 2016, https://doi.org/10.23915/distill.00003. Where this departs
from them: it has a quarter of the weights; the picture itself is carried over to the end, so that
an untrained network already shows it and only the manner is left to learn; edges are mirrored.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
from keras import layers, ops


def network(
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    *,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 5,
    precision: str = "float32",
    name: str = "painter",
) -> keras.Model:
    """An encoder, residual blocks and a decoder: pixels in, pixels out, at any size.

    Args:
        input_shape: Height, width and 3; None for any side of at least 4 pixels.
        widths: Filters at full, half and quarter resolution.
        blocks: Residual blocks at quarter resolution.
        precision: Keras's name of the dtype policy inside; pixels stay float32.
        name: Name of the model.

    Returns:
        A model from pixels in 0…255 to float32 pixels in 0…255 of the same size, made of Keras's
        own layers. With the defaults it has 421,000 weights (1.7 MB).
    """
    conv = functools.partial(_conv, precision=precision)
    inputs = keras.Input(input_shape, name="pixels")
    seen = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="scale")(inputs)
    x = conv(seen, widths[0], 9, name="enter")
    x = conv(x, widths[1], 3, strides=2, name="down1")
    x = conv(x, widths[2], 3, strides=2, name="down2")
    for i in range(1, blocks + 1):
        y = conv(x, widths[2], 3, name=f"block{i}_conv1")
        y = conv(y, widths[2], 3, activation=None, name=f"block{i}_conv2")
        x = layers.Add(dtype=precision, name=f"block{i}")([x, y])
    for i, width in ((1, widths[1]), (2, widths[0])):
        x = layers.UpSampling2D(dtype=precision, name=f"resize{i}")(x)
        x = conv(x, width, 3, name=f"up{i}")
    x = layers.Conv2D(3, 3, kernel_initializer="zeros", dtype=precision, name="leave")(_frame(x, 1))
    if not all(side and side % 4 == 0 for side in input_shape[:2]):
        x = _cut(x, seen)
    # What the network has to say is added to the picture's logits: to say nothing is to show it.
    share = layers.Rescaling(0.98 / 255, offset=0.01, dtype="float32", name="share")(inputs)
    x = layers.Add(dtype="float32", name="add_picture")([ops.log(share / (1 - share)), x])
    x = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    outputs = layers.Rescaling(255.0, dtype="float32", name="painted")(x)
    return keras.Model(inputs, outputs, name=name)


def _conv(x, filters, kernel_size, *, strides=1, activation="relu", precision, name):
    """Convolution and instance normalization: each map of each picture to mean 0 and variance 1."""
    x = _frame(x, kernel_size // 2)
    x = layers.Conv2D(
        filters, kernel_size, strides, use_bias=False, dtype=precision, name=f"{name}_conv"
    )(x)
    x = layers.GroupNormalization(-1, epsilon=1e-5, dtype=precision, name=f"{name}_norm")(x)
    return layers.Activation(activation, dtype=precision, name=name)(x) if activation else x


def _frame(x, width: int):
    """Mirrors a margin outwards."""
    return ops.pad(x, [[0, 0], [width, width], [width, width], [0, 0]], mode="symmetric")


def _cut(x, like):
    """The upper left part of `x` that is as large as `like`, whatever size that turns out to be."""
    rows, columns = like[0, :, 0, 0], like[0, 0, :, 0]
    for axis, line in ((1, rows), (2, columns)):
        index = ops.cumsum(ops.ones_like(line, dtype="int32")) - 1
        x = ops.take(x, index, axis=axis)
    return x
