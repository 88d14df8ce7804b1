"""Pictures made harder on purpose: corrupted at a severity, or cut into tiles that are shuffled."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from cnnlab.images.arrays import to_uint8, whole_number

# Of severities 1 to 5, those of CIFAR-10-C (see `corrupt`).
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation in pixels of a picture 32 pixels wide
NOISE = (10.2, 15.3, 20.4, 22.95, 25.5)  # standard deviation on the scale of 0…255
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # what is left of the distance to the mean
JPEG = (80, 65, 58, 50, 40)  # quality, 0…100
CORRUPTIONS = ("blur", "noise", "contrast", "jpeg")
SOME = 500  # pictures at a time, so that float copies of thousands need little memory


def corrupt(pictures: np.ndarray, kind: str, severity: int = 3, *, seed: int = 0) -> np.ndarray:
    """Corrupt pictures in one of four common ways, as weather, cameras and web sites do.

    Source: Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations", https://arxiv.org/abs/1903.12261, with the severities of
    CIFAR-10-C: four of its corruptions, whose code needs no photographs and no other program.
    Departs from it where pictures are larger than 32 pixels: the blur grows with them.

    Args:
        pictures: uint8 (n, h, w, 3), RGB.
        kind: "blur" (Gaussian), "noise" (Gaussian), "contrast" (lowered, around the mean of each
            picture and channel) or "jpeg" (compression): one of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: Of the noise. The same pictures in the same order with the same seed give the same.

    Returns:
        uint8 (n, h, w, 3), a new array.

    Raises:
        ValueError: No such kind, severity or seed, or not pictures of this shape and type.
    """
    _require_uint8(pictures)
    if kind not in CORRUPTIONS:
        raise ValueError(f"Expected a kind among {', '.join(CORRUPTIONS)}. Received: kind={kind!r}")
    level = whole_number(severity, "severity", 1, 5) - 1
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    if kind == "jpeg":
        return np.stack([_through_jpeg(picture, JPEG[level]) for picture in pictures])
    corrupted = np.empty_like(pictures)
    for start in range(0, len(pictures), SOME):
        x = pictures[start : start + SOME].astype(np.float32)
        if kind == "blur":
            sigma = BLUR[level] * min(x.shape[1:3]) / 32
            x = gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest")
        elif kind == "noise":
            x += NOISE[level] * rng.standard_normal(x.shape, np.float32)
        else:
            means = x.mean(axis=(1, 2), keepdims=True)
            x = means + CONTRAST[level] * (x - means)
        corrupted[start : start + SOME] = to_uint8(x)
    return corrupted


def shuffle_tiles(pictures: np.ndarray, tiles: int = 4, *, seed: int = 0) -> np.ndarray:
    """Cut each picture into tiles × tiles equal parts and lay them down in a random order.

    What is left of a picture are its colours and textures; its shapes are gone. So what a model
    still gets right tells what it goes by (Geirhos et al. 2019, "ImageNet-trained CNNs are biased
    towards texture", https://arxiv.org/abs/1811.12231, asks with pictures whose style was changed).

    Args:
        pictures: uint8 (n, h, w, 3).
        tiles: Parts along each side; 1 changes nothing. Rows and columns that are left over at the
            bottom and at the right are cut off.
        seed: Of the orders, which differ from picture to picture.

    Returns:
        uint8 (n, h // tiles · tiles, w // tiles · tiles, 3).

    Raises:
        ValueError: More tiles than pixels, or not pictures of this shape and type.
    """
    _require_uint8(pictures)
    n, height, width, channels = pictures.shape
    side = ", the picture's shorter side"
    tiles = whole_number(tiles, "tiles", 1, min(height, width), note=side)
    rng = np.random.default_rng(whole_number(seed, "seed", 0))
    h, w = height // tiles, width // tiles
    rows = pictures[:, : h * tiles, : w * tiles].reshape(n, tiles, h, tiles, w, channels)
    cut = rows.swapaxes(2, 3).reshape(n, tiles**2, h, w, channels)
    orders = rng.permuted(np.tile(np.arange(tiles**2), (n, 1)), axis=1)
    shuffled = cut[np.arange(n)[:, None], orders].reshape(n, tiles, tiles, h, w, channels)
    return shuffled.swapaxes(2, 3).reshape(n, h * tiles, w * tiles, channels)


def _require_uint8(pictures: np.ndarray) -> None:
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8:
        raise ValueError(
            "Expected pictures uint8 (n, height, width, 3). "
            f"Received: pictures.shape={pictures.shape}, pictures.dtype={pictures.dtype}"
        )
    if len(pictures) == 0:
        raise ValueError("Expected at least one picture. Received: len(pictures)=0")


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as compressed:
        return np.array(compressed)
