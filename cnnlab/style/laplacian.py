"""Pictures as Laplacian pyramids: what each size adds to the next coarser one.

A step of an optimiser on these numbers moves a whole region as easily as a pixel, where pixels
alone would have to move one by one.

Source: Burt and Adelson 1983, The Laplacian Pyramid as a Compact Image Code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def linear_weights(old: int, new: int) -> np.ndarray:
    """Return the matrix (new, old) that resizes a row of pixels by linear interpolation.

    Pixels are areas: their centres lie half a pixel inside the edge, and beyond the outermost
    centres the outermost pixel goes on.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    return _between(np.clip(places, 0, old - 1), old)


def linear_weights_to_corners(old: int, new: int) -> np.ndarray:
    """Return the same for pixels that are points, of which the outermost stay the outermost."""
    return _between(np.linspace(0, old - 1, new), old)


def _between(places: np.ndarray, old: int) -> np.ndarray:
    low = np.minimum(places.astype(int), max(old - 2, 0))
    share = places - low
    weights = np.zeros((len(places), old), np.float32)
    rows = np.arange(len(places))
    weights[rows, low] = 1 - share
    weights[rows, np.minimum(low + 1, old - 1)] += share
    return weights


def resized(maps: tf.Tensor, shape: tuple[int, int], *, corners: bool = False) -> tf.Tensor:
    """Resize maps (n, h, w, c) to a height and width by linear interpolation, without a filter.

    As two products of matrices it has a gradient that is the same at each run, and that XLA knows.
    """
    weights = linear_weights_to_corners if corners else linear_weights
    down = tf.constant(weights(maps.shape[1], shape[0]), maps.dtype)
    across = tf.constant(weights(maps.shape[2], shape[1]), maps.dtype)
    rows = tf.einsum("ih,nhwc->niwc", down, maps)
    return tf.einsum("jw,niwc->nijc", across, rows)


def decompose(pixels: tf.Tensor, smallest: int = 2) -> tuple[tf.Tensor, ...]:
    """Return a picture's pyramid, from fine to coarse: (1, h, w, 3) and half as large each.

    The last is the picture at the coarsest size, with a shorter side of `smallest` or more.
    """
    bands = []
    while min(pixels.shape[1:3]) >= 2 * smallest:
        coarser = resized(pixels, (pixels.shape[1] // 2, pixels.shape[2] // 2))
        bands.append(pixels - resized(coarser, tuple(pixels.shape[1:3])))
        pixels = coarser
    return (*bands, pixels)


def synthesize(bands: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the picture of which `decompose` made these bands."""
    pixels = bands[-1]
    for band in bands[-2::-1]:
        pixels = band + resized(pixels, tuple(band.shape[1:3]))
    return pixels
