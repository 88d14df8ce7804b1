"""Brushes for `make_pictures.py`: random fields, colour ramps, strokes of paint and their relief.

Fields are float (h, w), pictures float (h, w, 3) in 0…255, RGB; points are (x, y) in pixels, x to
the right and y down; angles are in radians. All chance comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray
Rng = np.random.Generator


def grid(h: int, w: int) -> tuple[Array, Array]:
    """X (1, w) and y (h, 1) of every pixel."""
    return np.arange(w, dtype=np.float32)[None], np.arange(h, dtype=np.float32)[:, None]


def clouds(
    rng: Rng, h: int, w: int, length: float | tuple[float, float], power: float = 4
) -> Array:
    """A random field of zero mean and unit deviation.

    Args:
        rng: Source of chance.
        h: Height in pixels.
        w: Width in pixels.
        length: Size of its lumps in pixels, or (down, across) for streaks.
        power: How fast finer detail fades: 4 is smooth, 2 is rough like rock.
    """
    down, across = np.broadcast_to(length, 2)
    waves = np.hypot(np.fft.fftfreq(h)[:, None] * down, np.fft.rfftfreq(w) * across)
    spectrum = np.fft.rfft2(rng.standard_normal((h, w))) * (1 + waves**2) ** (-power / 2)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (h, w))
    return (field / field.std()).astype(np.float32)


def blur(field: Array, radius: float) -> Array:
    """Gaussian blur of a field or a picture, mirrored at the borders."""
    pad = int(3 * radius) + 1
    wide = np.pad(field, [(pad, pad), (pad, pad)] + [(0, 0)] * (field.ndim - 2), mode="reflect")
    h, w = wide.shape[:2]
    waves = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))
    fade = np.exp(-2 * (np.pi * radius * waves) ** 2).reshape(waves.shape + (1,) * (field.ndim - 2))
    soft = np.fft.irfft2(np.fft.rfft2(wide, axes=(0, 1)) * fade, (h, w), axes=(0, 1))
    return soft[pad:-pad, pad:-pad].astype(np.float32)


def smooth(low: float | Array, high: float | Array, t: Array) -> Array:
    """0 below `low`, 1 above `high`, a soft step between them."""
    t = np.clip((t - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def rgb(code: str) -> Array:
    """One colour, written #rrggbb."""
    return np.float32([int(code[i : i + 2], 16) for i in (1, 3, 5)])


def ramp(codes: Sequence[str], t: Array | float) -> Array:
    """Colours along a row of evenly spaced ones, t in 0…1: shape (*t.shape, 3)."""
    stops, colours = np.linspace(0, 1, len(codes)), np.stack([rgb(code) for code in codes])
    channels = [np.interp(t, stops, colours[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def mix(below: Array, above: Array, cover: Array | float) -> Array:
    """Lay a picture or a colour over a picture; cover (h, w) in 0…1."""
    cover = np.asarray(cover)[..., None]
    return below + (above - below) * cover


def pick(field: Array, points: Array) -> Array:
    """Values of a field or a picture at points (…, 2), the nearest inside it for those outside."""
    h, w = field.shape[:2]
    x, y = np.rint(points[..., 0]).astype(int), np.rint(points[..., 1]).astype(int)
    return field[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]


def scatter(rng: Rng, h: int, w: int, spacing: float) -> Array:
    """Points about `spacing` apart that cover the picture, in random order: (n, 2)."""
    x, y = np.meshgrid(np.arange(-spacing, w + spacing, spacing), np.arange(0, h, spacing))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    points += rng.uniform(-0.6, 0.6, points.shape) * spacing
    return rng.permutation(points)


def follow(angle: Array, starts: Array, length: float | Array, pieces: int = 8) -> Array:
    """Paths along a field of directions, centred on the starts: (n, pieces + 1, 2)."""
    step = np.broadcast_to(np.asarray(length) / pieces, len(starts))[:, None]
    halves = []
    for sign in (-1, 1):
        points = [starts]
        for _ in range(pieces // 2):
            turn = pick(angle, points[-1])
            points.append(points[-1] + sign * step * np.stack([np.cos(turn), np.sin(turn)], 1))
        halves.append(points)
    return np.stack(halves[0][:0:-1] + halves[1], axis=1)


class Paint:
    """A canvas of oil paint: a picture and the thickness of the paint on it."""

    def __init__(self, ground: Array):
        self.image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        self.relief = Image.new("L", self.image.size)

    def strokes(
        self,
        rng: Rng,
        paths: Array,
        width: float,
        colours: Array,
        *,
        bristles: int = 6,
        variation: float = 9,
    ) -> None:
        """Lay strokes one over the other, each a bundle of bristles with a tone of its own.

        Args:
            rng: Source of chance.
            paths: (n, points, 2).
            width: Of a stroke, in pixels.
            colours: (n, 3) in 0…255.
            bristles: Hairs of the brush.
            variation: Standard deviation of the tone from hair to hair, in 0…255.
        """
        n = len(paths)
        along = np.gradient(paths, axis=1)
        along /= np.linalg.norm(along, axis=2, keepdims=True) + 1e-6
        across = np.stack([-along[..., 1], along[..., 0]], axis=2)
        place = np.linspace(-0.5, 0.5, bristles)
        ragged = rng.normal(0, 0.35, (n, bristles)) * width
        lines = (
            paths[:, None]
            + (place * width)[:, None, None] * across[:, None]
            + ragged[:, :, None, None] * along[:, None]
        )
        tones = colours[:, None] + rng.normal(0, variation, (n, bristles, 1))
        tones = np.clip(tones + rng.normal(0, variation / 3, tones.shape), 0, 255).astype(int)
        heights = 120 + 80 * (1 - (2 * place) ** 2) + rng.normal(0, 28, (n, bristles))
        hair = max(1, round(1.7 * width / bristles))
        paint, thickness = ImageDraw.Draw(self.image), ImageDraw.Draw(self.relief)
        for stroke in range(n):
            for line, tone, height in zip(
                lines[stroke].reshape(bristles, -1).tolist(),
                tones[stroke].tolist(),
                heights[stroke].astype(int).tolist(),
                strict=True,
            ):
                paint.line(line, tuple(tone), hair)
                thickness.line(line, min(max(height, 0), 255), hair)

    def lit(self, strength: float, softness: float = 1) -> Array:
        """The picture in light from the upper left, which the ridges of the paint catch."""
        relief = blur(np.asarray(self.relief, np.float32), softness)
        slope = np.gradient(relief, axis=0) + np.gradient(relief, axis=1)
        light = np.tanh(slope / 25)[..., None]
        return np.asarray(self.image, np.float32) * (
            1 + strength * light
        ) + 40 * strength * np.clip(light - 0.3, 0, None)


def to_image(picture: Array) -> Image.Image:
    """A Pillow image to draw on."""
    return Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def tone(colour: str | Array) -> tuple[int, ...]:
    """A colour as Pillow wants it."""
    values = rgb(colour) if isinstance(colour, str) else np.asarray(colour)
    return tuple(np.clip(np.rint(values), 0, 255).astype(int).tolist())


class Pen:
    """Fills shapes given in units of its own, with an origin of its own.

    Args:
        draw: What to draw on.
        x: Of the origin, in pixels.
        y: Of the origin, in pixels.
        unit: Pixels.
        flip: How many units down a unit is: negative for a mirror image in water.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, unit: float, flip: float = 1):
        self.draw, self.origin, self.scale = draw, np.array([x, y]), unit * np.array([1, flip])

    def part(self, colour: str | Array, corners: str | Array) -> None:
        """A polygon, its corners (n, 2) or "x,y x,y …"."""
        if isinstance(corners, str):
            corners = np.float64([pair.split(",") for pair in corners.split()])
        points = self.origin + self.scale * corners
        self.draw.polygon(points.ravel().tolist(), tone(colour))

    def block(self, colour: str | Array, x: float, y: float, width: float, height: float) -> None:
        """A rectangle that stands with its lower left corner on x, y."""
        right, top = x + width, y - height
        self.part(colour, np.array([(x, y), (x, top), (right, top), (right, y)]))
