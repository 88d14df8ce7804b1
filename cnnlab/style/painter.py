"""Style transfer in one pass: a small network that has learnt one style, or several.

    painter, history = train_painter("waves.jpg", photographs)
    painted = painter.predict(pictures)

`stylize` optimises each picture anew. Here the distances are the same, but what they train is a
network, so afterwards a picture costs one pass through it. `painting` uses one that ships.

Sources: Johnson, Alahi and Fei-Fei 2016, https://arxiv.org/abs/1603.08155; instance normalization
from Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022, and one network for many styles, each
with scales and shifts of its own, from Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629;
upsampling by resizing, which leaves no checkerboard, from Odena et al. 2016,
https://doi.org/10.23915/distill.00003. Where this departs from them: the network has a quarter of
the weights and enters at half resolution; the picture itself is carried over to the end, so that
an untrained network already shows it and only the style is left to learn; edges are mirrored.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
from keras import layers, ops


def painter_network(
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    *,
    styles: int = 1,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 5,
    precision: str = "float32",
    name: str = "painter",
) -> keras.Model:
    """Build an encoder, residual blocks and a decoder: pixels in, pixels out, at any size.

    Args:
        input_shape: Height, width and 3; None for any side of at least 4 pixels.
        styles: How many it can learn. All convolutions are shared; a style is a scale and a shift
            of each normalised map, a palette, and a share of the picture itself.
        widths: Filters at full, half and quarter resolution.
        blocks: Residual blocks at quarter resolution.
        precision: Keras's name of the dtype policy inside; pixels stay float32.
        name: Name of the model.

    Returns:
        A model from pixels in 0…255 to float32 pixels in 0…255 of the same size, made of Keras's
        own layers. With several styles it takes a pair: the pixels, and the styles' shares,
        (n, styles), each row adding up to 1. With the defaults it has 417,000 weights (1.7 MB).
    """
    inputs = keras.Input(input_shape, name="pixels")
    if styles == 1:
        entries, shares = inputs, ops.ones_like(inputs[:, :1, :1, :1])
    else:
        given = keras.Input((styles,), name="style")
        entries, shares = [inputs, given], given[:, None, None, :]
    conv = functools.partial(_conv, shares=shares, precision=precision)
    seen = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="scale")(inputs)
    x = conv(seen, widths[1], 7, strides=2, name="down1")
    x = conv(x, widths[2], 3, strides=2, name="down2")
    for i in range(1, blocks + 1):
        y = conv(x, widths[2], 3, name=f"block{i}_conv1")
        y = conv(y, widths[2], 3, activation=None, name=f"block{i}_conv2")
        x = layers.Add(dtype=precision, name=f"block{i}")([x, y])
    for i, width in ((1, widths[1]), (2, widths[0])):
        x = layers.UpSampling2D(dtype=precision, name=f"resize{i}")(x)
        x = conv(x, width, 3, name=f"up{i}")
    leave = {"use_bias": False, "kernel_initializer": "zeros", "dtype": precision}
    x = layers.Conv2D(3, 3, name="leave", **leave)(_pad(x, 1))
    if not all(side and side % 4 == 0 for side in input_shape[:2]):
        x = _crop_like(x, seen)
    # The output is added to the picture's logits: 0 leaves the picture as it is.
    squeezed = layers.Rescaling(0.98 / 255, offset=0.01, dtype="float32", name="squeeze")(inputs)
    picture = ops.log(squeezed / (1 - squeezed)) * _of_style(shares, 1, "ones", name="picture")
    palette = _of_style(shares, 3, "zeros", name="palette")
    x = layers.Add(dtype="float32", name="add_picture")([picture, palette + ops.cast(x, "float32")])
    x = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    outputs = layers.Rescaling(255.0, dtype="float32", name="painted")(x)
    return keras.Model(entries, outputs, name=name)


def _conv(x, filters, kernel_size, *, shares, strides=1, activation="relu", precision, name):
    """Apply a convolution and instance normalization, over each map of each picture."""
    x = _pad(x, kernel_size // 2)
    x = layers.Conv2D(
        filters, kernel_size, strides, use_bias=False, dtype=precision, name=f"{name}_conv"
    )(x)
    x = ops.cast(x, "float32")
    mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
    scale = _of_style(shares, filters, "ones", name=f"{name}_scale") * ops.rsqrt(variance + 1e-5)
    shift = _of_style(shares, filters, "zeros", name=f"{name}_shift")
    x = x * scale + (shift - mean * scale)
    return layers.Activation(activation or "linear", dtype=precision, name=name)(x)


def _of_style(shares, channels: int, initial: str, *, name: str):
    """Look up numbers that each style has of its own, or mix several styles': (n, 1, 1, channels).

    Args:
        shares: (n, 1, 1, styles).
        channels: How many numbers.
        initial: Their initializer.
        name: Name of the layer that keeps them.
    """
    look = {"kernel_initializer": initial, "use_bias": False, "dtype": "float32"}
    return layers.Dense(channels, **look, name=name)(shares)


def _pad(x, width: int):
    """Mirror a margin outwards."""
    return ops.pad(x, [[0, 0], [width, width], [width, width], [0, 0]], mode="symmetric")


def _crop_like(x, like):
    """Return the upper left part of `x` as large as `like`, whose size isn't known beforehand."""
    rows, columns = like[0, :, 0, 0], like[0, 0, :, 0]
    for axis, line in ((1, rows), (2, columns)):
        index = ops.cumsum(ops.ones_like(line, dtype="int32")) - 1
        x = ops.take(x, index, axis=axis)
    return x
