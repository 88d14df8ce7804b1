"""Pixels as arrays: numbers that can be a picture, and those that can't any more."""

from __future__ import annotations

import operator

import numpy as np
from PIL import Image

# What was scaled to 0…1 or -1…1, or divided by its channels' spread (at most 2.64), stays below; no
# picture that is worth a look is darker.
DARKEST = 3
# Taking off the means of ImageNet's channels leaves at most 255 - 103.939.
CENTRED = 152
# Sharp edges of black and white overshoot most: enlarged by Lanczos, to -139 and 394.
HIGHEST = 400


def require_pixels(array: np.ndarray, name: str = "x") -> None:
    """Refuse numbers that can't be pixels in 0…255: scaled or preprocessed ones, NaN, infinity.

    Told by their range. Pictures in 0…255 may overshoot it on both sides, as after resizing, but
    aren't all within 3 of 0 (unless all are 0), nor far below 0 on one side only. A lone picture
    that was preprocessed and is bright everywhere can't be told.

    Args:
        array: Pictures of any shape, uint8 or another type. A TensorFlow tensor will do.
        name: Its name in the message.

    Raises:
        ValueError: They are no pixels in 0…255.
    """
    array = np.asarray(array)
    if array.dtype == np.uint8 or array.size == 0:
        return
    if array.dtype.kind not in "iuf":
        array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        if array.dtype.kind != "f":
            raise ValueError(f"Expected pixels in 0…255. Received: {name}.dtype={array.dtype}")
    low, high = float(array.min()), float(array.max())  # NaN if there is one anywhere
    if not np.isfinite([low, high]).all():
        raise ValueError(
            "Expected pixels in 0…255 and finite values. "
            f"Received: {name} with values from {low} to {high}"
        )
    dark = -DARKEST <= low and high <= DARKEST and (low, high) != (0, 0)
    scaled = dark and array.dtype.kind == "f"
    centred = low < -0.4 * high or (low < -32 and high < CENTRED)
    if scaled or centred or high > HIGHEST:
        cause = "scaled already" if scaled else "preprocessed already, or of another range"
        raise ValueError(
            f"Expected pixels in 0…255. Received: {name} with values from {low:g} to {high:g}: "
            f"{cause}. Pass the pixels as they were read (255 * {name} brings back 0…1, "
            f"127.5 * ({name} + 1) -1…1; a picture that really is that dark passes as uint8). A "
            "model of your own that expects other numbers gets a layer in front that makes them, "
            "such as keras.layers.Rescaling(1 / 255)"
        )


def to_uint8(array: np.ndarray) -> np.ndarray:
    """Round finite numbers to the nearest whole one and clip them to 0…255.

    Args:
        array: Of any shape.

    Returns:
        uint8, of the same shape.
    """
    return np.clip(np.rint(array), 0, 255).astype(np.uint8)


def whole_number(
    value: object, name: str, low: int = 1, high: int | None = None, *, note: str = ""
) -> int:
    """Return a whole number as an int, checked; True, False and 2.0 are none.

    Args:
        value: What was given.
        name: The argument's name in the message.
        low: The least that it may be.
        high: The most; None for no end.
        note: What the message says of the range or of other choices, such as ", or None".

    Raises:
        ValueError: It isn't one, or lies outside.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # pyright: ignore
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        span = f"of at least {low}" if high is None else f"in {low:,}…{high:,}"
        raise ValueError(
            f"Expected {name} to be a whole number {span}{note}. Received: {name}={value!r}"
        )
    return number


def height_and_width(size: int | tuple[int, int], name: str = "size") -> tuple[int, int]:
    """Return a size as (height, width), checked; one number means a square.

    Raises:
        ValueError: It isn't one or two positive whole numbers.
    """
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        return whole_number(height, name), whole_number(width, name)
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected {name} to be a positive whole number or (height, width) of two of them. "
            f"Received: {name}={size!r}"
        ) from None


def from_array(array: np.ndarray) -> Image.Image:
    """Check an array and wrap a copy of it: mode L, RGB or RGBA."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "Expected one picture of shape (height, width), or (height, width, channels) with "
            f"1, 3 or 4 channels. Received: shape={array.shape}{_remedy(array.shape)}"
        )
    if 0 in array.shape:
        raise ValueError(f"Expected at least one pixel. Received: shape={array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        require_pixels(array, "image")
        array = to_uint8(array)
    elif array.dtype.kind not in "iu":
        raise TypeError(
            "Expected whole numbers or floats in 0…255; scale and convert the array first, such as "
            f"255 * image.astype('uint8') for True and False. Received: dtype={array.dtype}"
        )
    elif array.min() < 0 or array.max() > 255:
        raise ValueError(
            "Expected whole numbers in 0…255; scale them first. Received: image with values from "
            f"{array.min()} to {array.max()}"
        )
    array = array.astype(np.uint8, copy=False)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.array(array, order="C"))


def _remedy(shape: tuple[int, ...]) -> str:
    """Say what to do with channels first, as PyTorch has them, and with a batch."""
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return ". With channels first, pass np.moveaxis(x, 0, -1)"
    return ". Of several pictures pass one, such as x[0]" if len(shape) == 4 else ""
