"""Colours of one picture for another: its brightness alone, or its palette.

Source: Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer,
https://arxiv.org/abs/1606.05897.
"""

from __future__ import annotations

import numpy as np

# Rec. 601, as in JPEG and in Pillow's mode L.
LUMINANCE = np.float32([0.299, 0.587, 0.114])


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
    ridge = 0.1 * np.eye(3)
    root = _root(np.cov(own, rowvar=False) + ridge)
    inverse = np.linalg.inv(root)
    transport = inverse @ _root(root @ (np.cov(other, rowvar=False) + ridge) @ root) @ inverse
    recolored = (own - own.mean(0)) @ transport + other.mean(0)
    return np.clip(recolored, 0, 255).astype(np.float32).reshape(pixels.shape)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Compute the square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
