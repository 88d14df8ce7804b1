"""Colours of one picture for another: its brightness alone, or its palette.

Sources: Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer,
https://arxiv.org/abs/1606.05897; B. Ottosson 2020, A perceptual color space for image processing
(OkLab).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Rec. 601, as in JPEG and in Pillow's mode L.
LUMINANCE = np.float32([0.299, 0.587, 0.114])
# OkLab: linear RGB to the responses of the eye's cones, and their cube roots to Lab.
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def grey(pixels: np.ndarray) -> np.ndarray:
    """Return the luminance in all three channels: (h, w, 3) to float32 (h, w, 3), in 0…255."""
    return np.repeat((np.float32(pixels) @ LUMINANCE)[..., None], 3, axis=-1)


def grey_like(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return a picture's luminance, with the mean and the deviation of the reference's.

    Args:
        pixels: (h, w, 3) in 0…255.
        reference: Any other size.

    Returns:
        float32 (h, w, 3) in 0…255, all three channels the same.
    """
    own, other = grey(pixels), grey(reference)
    scaled = (own - own.mean()) * (other.std() / max(own.std(), 1e-3)) + other.mean()
    return np.clip(scaled, 0, 255)


def with_colors_of(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Combine the luminance of one picture with the hues and the saturation of another.

    Args:
        pixels: (h, w, 3) in 0…255: gives the luminance.
        reference: The same shape: gives everything else.

    Returns:
        float32 (h, w, 3) in 0…255.
    """
    return np.clip(np.float32(reference) + grey(pixels) - grey(reference), 0, 255)


def with_palette_of(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Recolour a picture so that its colours have the reference's mean and covariance.

    Of all linear maps that do this it is the one that moves colours least: the optimal transport
    between two normal distributions. Gatys et al. use another root, which may swap colours.

    Args:
        pixels: (h, w, 3) in 0…255.
        reference: Any other size.

    Returns:
        float32 (h, w, 3) in 0…255.
    """
    own, other = (np.reshape(x, (-1, 3)).astype(np.float64) for x in (pixels, reference))
    # A grey picture's covariance has no inverse; a variance of 0.1 can't be seen.
    recolored = _transported(own, other, ridge=0.1)
    return np.clip(recolored, 0, 255).astype(np.float32).reshape(pixels.shape)


def mapped_hues(content: np.ndarray, style: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the content's hues the mean and the covariance of the style's, for `with_hues`.

    So what had one colour in the content has one colour again.

    Source: Kolkin et al. 2022, Neural Neighbor Style Transfer, https://arxiv.org/abs/2203.13215.

    Args:
        content: (h, w, 3) in 0…255.
        style: (n, 3) in 0…255, the style's colours.

    Returns:
        OkLab's two colour axes for the content, (h, w, 2); and the style's range of lightness.
    """
    shown, seen = to_oklab(content)[..., 1:], to_oklab(style)
    colors = seen[..., 1:].reshape(-1, 2)
    # A deviation of 0.01 can hardly be seen; that of a colourful picture is 0.1.
    mapped = _transported(shown.reshape(-1, 2), colors, ridge=1e-4)
    hues = np.clip(mapped, colors.min(0), colors.max(0)).reshape(shown.shape)
    return hues, np.array([seen[..., 0].min(), seen[..., 0].max()])


def with_hues(pixels: np.ndarray, hues: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """Give a stylised picture the coarse part of hues; it keeps the fine part of its colours.

    Args:
        pixels: (h, w, 3) in 0…255.
        hues: From `mapped_hues`, (h, w, 2).
        lightness: The range to keep its own lightness in.

    Returns:
        float32 (h, w, 3) in 0…255.
    """
    own = to_oklab(pixels)
    own[..., 1:] += _coarse(hues - own[..., 1:])
    own[..., 0] = np.clip(own[..., 0], *lightness)
    return from_oklab(own)


def to_oklab(pixels: np.ndarray) -> np.ndarray:
    """Convert sRGB in 0…255, (..., 3), to OkLab: lightness in 0…1, green to red, blue to yellow."""
    x = np.clip(np.float64(pixels) / 255, 0, 1)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ TO_CONES.T) @ TO_LAB.T


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """Convert OkLab (..., 3) to sRGB, float32 in 0…255; colours that sRGB lacks are cut off."""
    linear = (lab @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_CONES).T
    linear = np.clip(linear, 0, 1)
    x = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.float32(255 * x)


def _coarse(maps: np.ndarray) -> np.ndarray:
    """Return what is coarse, about 16 pixels and more, of (h, w, c): the same shape."""
    height, width = maps.shape[:2]
    small = max(1, height // 16), max(1, width // 16)
    averages = tf.image.resize(tf.constant(maps[None], tf.float32), small, "area")
    return tf.image.resize(averages, (height, width), "bicubic").numpy()[0]


def _transported(own: np.ndarray, other: np.ndarray, *, ridge: float) -> np.ndarray:
    """Move rows (n, c) to the mean and covariance of others; `ridge` is added to variances."""
    ridge = ridge * np.eye(own.shape[1])
    root = _root(np.cov(own, rowvar=False) + ridge)
    inverse = np.linalg.inv(root)
    transport = inverse @ _root(root @ (np.cov(other, rowvar=False) + ridge) @ root) @ inverse
    return (own - own.mean(0)) @ transport + other.mean(0)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Compute the square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
