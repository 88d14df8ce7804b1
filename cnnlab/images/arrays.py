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


def height_and_width(size: int | tuple[int, int], name: str = "size") -> tuple[int, int]:
    """Return a size as (height, width), checked; one number means a square.

    Raises:
        ValueError: It isn't one or two positive whole numbers.
    """
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        shape = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        shape = (0, 0)
    if min(shape) < 1:
        raise ValueError(
            f"Expected {name} to be a positive whole number or (height, width) of two of them. "
            f"Received: {name}={size!r}"
        )
    return shape


def from_array(array: np.ndarray) -> Image.Image:
    """Check an array and wrap a copy of it: mode L, RGB or RGBA."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "Expected one picture of shape (height, width), or (height, width, channels) with "
            f"1, 3 or 4 channels. Received: shape={array.shape}"
        )
    if 0 in array.shape:
        raise ValueError(f"Expected at least one pixel. Received: shape={array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        require_pixels(array, "image")
        array = to_uint8(array)
    elif array.dtype != np.uint8:
        raise TypeError(
            "Expected uint8 or float values in 0…255; scale and convert the array first. "
            f"Received: dtype={array.dtype}"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.array(array, order="C"))
