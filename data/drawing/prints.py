"""Two prints: marbled paper and a woodcut.

A picture is a function of a random generator and a size in pixels; it returns float (h, w, 3),
nominally in 0…255. `u` is the unit of length: 1/768 of the longer side, whatever the resolution.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from .brushes import Array, Rng, clouds, grid, ramp, rgb, to_image, tone


def marbling(rng: Rng, h: int, w: int) -> Array:
    """Marbled paper (ebru): drops of ink on water, drawn through by combs, stirred at a few places.

    Every step is a map of the plane that keeps areas, so a pixel is traced back through them, the
    last step first, until it lies in a drop: S. Lu et al. 2012, https://doi.org/10.1109/MCG.2011.51
    """
    u = max(h, w) / 768
    x, y = grid(h, w)
    inks = "#e9b7a0 #b3262e #f3e3c3 #d98e2b #1d6d74 #5b1f3d #2f5aa0 #f0d9b5 #14254b".split()

    stirs = [
        (0.24, 0.30, 56, 5.6),
        (0.71, 0.66, 64, -6.0),
        (0.85, 0.17, 36, 5.0),
        (0.37, 0.90, 36, -5),
    ]
    for cx, cy, radius, turns in stirs:
        dx, dy = x - cx * w, y - cy * h
        angle = turns * np.exp(-((np.hypot(dx, dy) / (radius * u)) ** 2) / 2)
        x = cx * w + dx * np.cos(angle) - dy * np.sin(angle)
        y = cy * h + dx * np.sin(angle) + dy * np.cos(angle)
    x = x + _comb(y + 16 * u * np.sin(x / (80 * u)), 24 * u, 52 * u, 5 * u)
    y = y + _comb(x, 60 * u, 120 * u, 14 * u)
    ink = np.full((h, w), -1)  # where no drop fell, the last ink stays
    for i in reversed(range(320)):
        cx, cy = rng.uniform(-0.1, 1.1, 2) * (w, h)
        dx, dy, radius = x - cx, y - cy, rng.uniform(14, 44) * (1.1 - 0.5 * i / 320) * u
        squared = dx * dx + dy * dy
        ink[(squared < radius**2) & (ink < 0)] = i % len(inks)
        push = np.sqrt(np.clip(1 - radius**2 / np.maximum(squared, 1e-3), 0, 1))
        x, y = cx + dx * push, cy + dy * push
    paper = 3 * clouds(rng, h, w, 5 * u, 2) + 5 * clouds(rng, h, w, 120 * u)
    return np.stack([rgb(code) for code in inks])[ink] + paper[..., None]


def _comb(across: Array, spacing: float, strength: float, sharpness: float) -> Array:
    """The pull of a comb on ink at these distances across it, teeth alternately there and back."""
    tooth = (across / spacing) % 2
    away = np.abs(tooth % 1 - 0.5) * spacing
    pull = sharpness / (away + sharpness) - sharpness / (spacing / 2 + sharpness)
    return np.where(tooth < 1, strength, -strength) * pull


def woodcut(rng: Rng, h: int, w: int) -> Array:
    """A woodblock print: breaking waves before a mountain, printed from grained wood."""
    u = max(h, w) / 768
    _, y = grid(h, w)
    shade = y / (0.62 * h) + 0.02 * clouds(rng, h, w, (8 * u, 200 * u))
    sky = ramp(["#1d3f73", "#6c9bb0", "#e9dcbb", "#f3d9b0", "#f0b98a"], shade)
    image = to_image(sky)
    draw = ImageDraw.Draw(image)
    sun = np.array([0.70 * w, 0.30 * h, 78 * u])
    draw.circle(sun[:2].tolist(), sun[2], tone("#d8432b"))
    _mountain(rng, draw, h, w, u)
    mists = [
        (0.10, 0.42, 200),
        (0.46, 0.48, 260),
        (0.92, 0.41, 210),
        (0.60, 0.17, 150),
        (0.91, 0.10, 170),
        (0.12, 0.13, 180),
    ]
    for cx, cy, length in mists:
        for k in range(3):
            left = cx * w + (rng.uniform(-50, 50) - length * rng.uniform(0.25, 0.5)) * u
            right, top = left + length * rng.uniform(0.6, 1) * u, cy * h + 13 * k * u
            for grow, colour in ((2 * u, "#8fb0b4"), (0, "#f2e6c9")):
                box = [left - grow, top - grow, right + grow, top + 19 * u + grow]
                draw.rounded_rectangle(box, 10 * u + grow, tone(colour))
    waves = [
        (0.60, 22, 150, 0.25, "#7fb0b8", 6),
        (0.655, 36, 200, 0.36, "#4f8fa8", 8),
        (0.74, 78, 310, 0.50, "#2f6d98", 12),
        (0.86, 132, 450, 0.56, "#235488", 16),
        (1.02, 140, 560, 0.56, "#1b3c72", 16),
    ]
    for level, tall, pitch, lean, body, lines in waves:
        _wave(rng, draw, (h, w), (level * h, tall * u, pitch * u, lean), body, lines, u)
    wood = clouds(rng, h, w, (3 * u, 200 * u), 3) + 0.5 * clouds(rng, h, w, 3 * u, 2)
    rubbed = 1 + 0.028 * wood + 0.03 * clouds(rng, h, w, 60 * u)
    return np.asarray(image) * rubbed[..., None] + 4 * clouds(rng, h, w, 2.5 * u, 2)[..., None]


def _mountain(rng: Rng, draw: ImageDraw.ImageDraw, h: int, w: int, u: float) -> None:
    t = np.linspace(0, 1, 60)
    top, fall = 0.26 * h, 0.35 * h * t**0.76
    slopes = [
        np.stack([0.28 * w + side * (14 * u + t * 0.32 * w), top + fall], axis=1)
        for side in (-1, 1)
    ]
    left, right = slopes
    outline = np.concatenate([left[::-1], right]).ravel().tolist()
    draw.polygon(outline, tone("#41658f"))
    edge = np.linspace(right[17], left[17], 13)[1:-1]
    edge[:, 1] += np.where(np.arange(11) % 2, 22, -30) * u * rng.uniform(0.5, 1.3, 11)
    snow = np.concatenate([left[17::-1], right[:18], edge])
    draw.polygon(snow.ravel().tolist(), tone("#f2e6c9"))
    for side in slopes:
        for px, py in side[4::3]:
            end = (px + 0.16 * (0.28 * w - px), py + rng.uniform(14, 40) * u)
            draw.line([(px, py), end], tone("#2b4a78"), round(1.5 * u))
    draw.line(outline, tone("#16244a"), round(2.2 * u))


def _wave(
    rng: Rng,
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    form: tuple[float, ...],
    body: str,
    lines: int,
    u: float,
) -> None:
    """One row of leaning waves: body, carved lines that follow its back, and foam on the crests."""
    (h, w), (level, tall, pitch, lean) = size, form
    ink, paper = rgb("#16244a"), rgb("#f2e6c9")
    t = np.linspace(-1, w / pitch + 1.5, 1400)
    start = rng.uniform(0, 1)
    crest = 0.5 + 0.5 * np.cos(2 * np.pi * (t + start))  # 1 on a crest, 0 in a hollow
    knots = np.arange(-1, int(t[-1]) + 4)
    each = tall * np.interp(t, knots - start + 0.5, rng.uniform(0.7, 1.12, len(knots)))

    def outline(k: float) -> Array:
        """The wave's back at k = 0, sinking to a flat line at k = 1."""
        px = t * pitch + lean * pitch * crest**2 * (1 - k) ** 1.2 * each / tall
        py = level + 0.9 * k * tall - each * (1 - k) * (crest**1.25 - 0.16 * crest**8)
        return np.stack([px, py], axis=1)

    back = outline(0)
    floor = np.array([[w + pitch, h + 9], [-pitch, h + 9]])
    draw.polygon(np.concatenate([back, floor]).ravel().tolist(), tone(body))
    light, dark = tone(0.42 * rgb(body) + 0.58 * paper), tone(0.45 * rgb(body) + 0.5 * ink)
    for j in range(1, lines):
        line = outline((j / lines) ** 1.15)
        swell = 0.25 + 0.75 * np.abs(np.sin(np.pi * (0.5 * t + 0.37 * j)))
        thick = (0.05 * tall + 0.8 * u) * swell * (0.55 + 0.45 * crest)
        under = line + np.stack([0 * thick, thick], axis=1)
        ribbon = np.concatenate([line, under[::-1]]).ravel().tolist()
        draw.polygon(ribbon, light if j % 3 else dark)
    draw.line(back.ravel().tolist(), tone(ink), round(1.2 * u + tall / 60), joint="curve")

    spots = rng.choice(np.flatnonzero(crest > 0.5), np.count_nonzero(crest > 0.5))
    power = 0.4 + 2 * (crest[spots] - 0.5)
    places = back[spots] + rng.normal(0, 0.045 * tall, (len(spots), 2)) * power[:, None]
    radius = 0.055 * tall * power * rng.uniform(0.5, 1.3, len(spots))
    spray = rng.random(len(spots)) < 0.18
    places[spray] += tall * rng.uniform((0, -0.3), (0.35, 0.3), (spray.sum(), 2))
    radius[spray] *= 0.4
    for grow, colour in ((1.5 * u, ink), (0, paper)):
        for place, r in zip(places.tolist(), (radius + grow).tolist(), strict=True):
            draw.circle(place, r, tone(colour))
    for (px, py), r in zip(places, 0.6 * radius, strict=True):
        if r > 2 * u:
            box = [px - r, py - r, px + r, py + r]
            draw.arc(
                box, rng.uniform(0, 180), rng.uniform(270, 500), tone("#8fb4c0"), round(1.2 * u)
            )
