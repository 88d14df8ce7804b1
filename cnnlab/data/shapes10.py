"""Shapes-10: the stand-in for CIFAR-10 where there is no network.

Ten classes of drawn 32x32 pictures. Each shows one object, turned, skewed, textured, unevenly lit,
a little hidden, somewhere among clutter. Colours, textures and clutter say nothing about the class,
and a mirrored picture keeps its label, so that flips are a valid augmentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce

import numpy as np

Array = np.ndarray
Point = tuple[float, float]
Shape = Callable[[Array, Array], Array]
Uniform = Callable[..., Array]

SIDE = 32
CHUNK = 256  # pictures drawn at once: few enough for the processor's cache


def make(
    n_train: int = 45_000, n_val: int = 5_000, n_test: int = 10_000, *, seed: int = 0
) -> dict[str, Array]:
    """Draw the three sets.

    Args:
        n_train: Number of training pictures.
        n_val: Number of validation pictures.
        n_test: Number of test pictures. Each set has a random stream of its own, so that its
            pictures don't depend on the sizes of the others.
        seed: The same seed gives the same pictures: to the byte on one machine; another processor
            may round a value differently.

    Returns:
        x_train, x_val, x_test: uint8 (n, 32, 32, 3) in 0…255, RGB. y_train, y_val, y_test: int64
        (n,), indices into CLASSES, in random order, each class as often as the others (± 1).
    """
    arrays = {}
    for stream, (name, count) in enumerate([("train", n_train), ("val", n_val), ("test", n_test)]):
        rng = np.random.default_rng([seed, stream])
        labels = rng.permutation(np.arange(count) % len(CLASSES))
        pictures = np.empty((count, SIDE, SIDE, 3), np.uint8)
        for label, shape in enumerate(SHAPES.values()):
            places = np.flatnonzero(labels == label)
            for start in range(0, len(places), CHUNK):
                chunk = places[start : start + CHUNK]
                pictures[chunk] = _draw(shape, len(chunk), rng)
        arrays[f"x_{name}"], arrays[f"y_{name}"] = pictures, labels
    return arrays


# --- The ten shapes -------------------------------------------------------------------------------
# Each is a signed distance, negative inside, of points (x, y) with y up. Union of two shapes:
# minimum of the distances; intersection: maximum. A shape fills about -1…1 in both directions.


def _length(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y)


def _box(x: Array, y: Array, half_width: float | Array, half_height: float | Array) -> Array:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _edge(x: Array, y: Array, start: Point, end: Point) -> Array:
    """Return the half-plane on the left of a line."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    return (dy * (x - start[0]) - dx * (y - start[1])) / math.hypot(dx, dy)


def _polygon(x: Array, y: Array, *corners: Point) -> Array:
    """Return a polygon without dents, corners anticlockwise: the largest distance to an edge."""
    ends = corners[1:] + corners[:1]
    return reduce(np.maximum, [_edge(x, y, a, b) for a, b in zip(corners, ends, strict=True)])


def _disc(x: Array, y: Array) -> Array:
    return _length(x, y) - 0.85


def _ring(x: Array, y: Array) -> Array:
    return np.abs(_length(x, y) - 0.7) - 0.22


def _triangle(x: Array, y: Array) -> Array:
    return _polygon(x, y, (-1.0, -0.8), (1.0, -0.8), (0.0, 0.95))


def _square(x: Array, y: Array) -> Array:
    return _box(x, y, 0.78, 0.78)


def _star(x: Array, y: Array) -> Array:
    arm = np.arctan2(x, y) * (5 / (2 * np.pi))
    angle = np.abs(arm - np.rint(arm)) * (2 * np.pi / 5)  # all arms, both halves, folded into one
    radius = _length(x, y)
    return _edge(radius * np.cos(angle), radius * np.sin(angle), (1.1, 0.0), (0.4, 0.29))


def _cross(x: Array, y: Array) -> Array:
    return np.minimum(_box(x, y, 0.95, 0.3), _box(x, y, 0.3, 0.95))


def _heart(x: Array, y: Array) -> Array:
    x = np.abs(x)
    lobe = _length(x - 0.45, y - 0.33) - 0.52
    return np.minimum(lobe, _polygon(x, y, (-1.0, 0.4), (0.0, -0.95), (0.87, 0.02), (0.4, 0.65)))


def _crescent(x: Array, y: Array) -> Array:
    return np.maximum(_length(x, y) - 0.95, 0.8 - _length(x - 0.5, y - 0.15))


def _arrow(x: Array, y: Array) -> Array:
    head = _polygon(x, y, (0.0, -0.75), (1.0, 0.0), (0.0, 0.75))
    return np.minimum(_box(x + 0.45, y, 0.55, 0.25), head)


def _bolt(x: Array, y: Array) -> Array:
    upper = _polygon(x, y, (-0.6, -0.1), (0.3, -0.1), (0.55, 1.0), (-0.15, 1.0))
    lower = _polygon(x, y, (-0.4, -1.1), (0.6, 0.2), (-0.2, 0.2))
    return np.minimum(upper, lower)


SHAPES: dict[str, Shape] = {
    "disc": _disc,
    "ring": _ring,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _arrow,
    "bolt": _bolt,
}
CLASSES = tuple(SHAPES)


# --- The scene ------------------------------------------------------------------------------------
# n pictures at once: a number for each is (n, 1, 1), a map (n, 32, 32), a colour (n, 3). `uniform`
# is the source of chance: uniform(low, high) draws one number for each picture.

# Pixel centres, measured from the middle of the picture, the first row at the top.
X = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
Y = -X[:, None]
# Clouds are a sum of cosines, 0 to 11 half waves across and down, weaker the finer they are.
COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(SIDE) + 0.5, np.arange(12))).astype(np.float32)
STRENGTH = (1 / (1 + np.hypot(*np.ogrid[:12, :12]))).astype(np.float32)


def _draw(shape: Shape, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n pictures of one shape: uint8 (n, 32, 32, 3)."""

    def uniform(low: float, high: float, size: tuple[int, int] = (1, 1)) -> Array:
        return low + (high - low) * rng.random((n, *size), np.float32)

    # Mostly a bright object on darker ground: the little that a linear classifier can go by.
    dark = uniform(0, 1) < 0.15
    ground = np.where(dark, uniform(100, 200), uniform(50, 150))
    step = uniform(18, 80)
    lightness = np.where(dark, ground - step, ground + step)
    softness = uniform(0.8, 2.5)  # width of all edges in pixels: sharp to out of focus
    stick = partial(_stick, uniform, ground, softness)

    radius = uniform(7, 12.5)
    x, y = _place(uniform, radius)
    distance = radius * shape(x, y)
    body = _cover(distance, softness)
    shadow = uniform(0, 0.4) * np.clip(1 - distance / uniform(1, 3), 0, 1)
    layers = [
        (np.ones_like(body), _colour(uniform, ground, 60)),
        (_texture(uniform), _colour(uniform, ground + uniform(-25, 25), 60)),
        *(stick(uniform(1.5, 6), uniform(0.8, 2.5)) for _ in range(3)),  # behind the object
        (shadow, _colour(uniform, uniform(0, 20), 10)),
        (body, _colour(uniform, lightness, 75)),
        (body * _texture(uniform), _colour(uniform, lightness + uniform(-20, 20), 75)),
        *(stick(uniform(2, 9), uniform(0.6, 1.8)) for _ in range(2)),  # in front of it
    ]
    pictures = _composite(layers)
    pictures *= 1 + uniform(0, 0.35)[:, None] * _along(uniform(0, 2 * np.pi), X, Y)[:, None] / 16
    grain = rng.integers(0, 256, pictures.shape, np.uint8) - np.float32(127.5)
    pictures += uniform(0, 0.12)[:, None] * grain
    np.clip(np.rint(pictures, out=pictures), 0, 255, out=pictures)
    return pictures.astype(np.uint8).transpose(0, 2, 3, 1)


def _place(uniform: Uniform, radius: Array) -> tuple[Array, Array]:
    """Return pixels where the shape sees them: shifted, tilted, skewed, mirrored, stretched."""
    x, y = _turn(uniform(-0.4, 0.4), X - uniform(-4.5, 4.5), Y - uniform(-4.5, 4.5))
    x = x + uniform(-0.2, 0.2) * y
    x = np.where(uniform(0, 1) < 0.5, x, -x)
    stretch = uniform(0.85, 1.15)
    return x / (radius * stretch), y * (stretch / radius)


def _colour(uniform: Uniform, lightness: Array, saturation: float) -> Array:
    """Draw any hue, its three channels averaging to the lightness."""
    hue = uniform(0, 2 * np.pi) + np.array([0, 2 * np.pi / 3, 4 * np.pi / 3], np.float32)
    return (lightness + uniform(0, saturation) * np.cos(hue))[:, 0]


def _texture(uniform: Uniform) -> Array:
    """Draw clouds, on some pictures with stripes, as an opacity."""
    clouds = COSINES @ (uniform(-0.7, 0.7, (12, 12)) * STRENGTH) @ COSINES.T
    stripes = np.sin(_along(uniform(0, np.pi), X, Y) * (2 * np.pi / uniform(3.5, 9)))
    striped = np.where(uniform(0, 1) < 0.3, uniform(0.2, 0.5), 0)
    return np.clip(0.5 + uniform(0.2, 1.2) * clouds + striped * stripes, 0, 1)


def _stick(
    uniform: Uniform, ground: Array, softness: Array, half_length: Array, half_width: Array
) -> tuple[Array, Array]:
    """Draw a layer with a small bar anywhere, lighter or darker than the ground."""
    x, y = _turn(uniform(0, np.pi), X - uniform(-16, 16), Y - uniform(-16, 16))
    cover = _cover(_box(x, y, half_length, half_width), softness)
    return cover, _colour(uniform, ground + uniform(-70, 70), 60)


def _cover(distance: Array, softness: Array) -> Array:
    return np.clip(0.5 - distance / softness, 0, 1)


def _along(angle: Array, x: Array, y: Array) -> Array:
    return np.cos(angle) * x + np.sin(angle) * y


def _turn(angle: Array, x: Array, y: Array) -> tuple[Array, Array]:
    return _along(angle, x, y), _along(angle, y, -x)


def _composite(layers: list[tuple[Array, Array]]) -> Array:
    """Paint layers of (opacity, colour), the rearmost first: float32 (n, 3, 32, 32)."""
    n, k = len(layers[0][0]), len(layers)
    weights = np.empty((n, k, SIDE, SIDE), np.float32)
    seen = np.float32(1)  # how much of this depth the layers before it leave to see
    for i in reversed(range(k)):
        weights[:, i] = layers[i][0] * seen
        seen = seen - weights[:, i]
    colours = np.stack([colour for _, colour in layers], axis=2)
    return (colours @ weights.reshape(n, k, -1)).reshape(n, 3, SIDE, SIDE)
