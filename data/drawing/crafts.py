"""Two works of craft: a stained-glass window and a tree in gold leaf.

A picture is a function of a random generator and a size in pixels; it returns float (h, w, 3),
nominally in 0…255. `u` is the unit of length: 1/768 of the longer side, whatever the resolution.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageDraw

from .brushes import (
    Array,
    Rng,
    blur,
    clouds,
    grid,
    mix,
    pick,
    ramp,
    rgb,
    scatter,
    smooth,
    to_image,
    tone,
)


def glass(rng: Rng, h: int, w: int) -> Array:
    """A stained-glass window: sun, hills, river and flowers in panes that light comes through."""
    u = max(h, w) / 768
    region, glasses = _window(rng, h, w, u)
    pane, owner = _panes(rng, region, 44 * u)
    tints = np.stack([rgb(rng.choice(glasses[k])) for k in owner])
    tints = (tints * rng.uniform(0.8, 1.12, (len(tints), 1)))[pane]

    lead = np.maximum(_came(pane, 1.5 * u), _came(region, 2.1 * u))
    x, y = grid(h, w)
    sun = np.exp(-(((x - 0.5 * w) ** 2 + (y - 0.33 * h) ** 2) / (330 * u) ** 2))
    swirls = clouds(rng, h, w, (46 * u, 10 * u)) + 0.7 * clouds(rng, h, w, (10 * u, 90 * u))
    swirls = swirls + 0.4 * clouds(rng, h, w, 5 * u, 3)
    depth = 1 + 0.055 * swirls - 0.40 * np.clip(_came(pane, 5 * u), 0, 1)
    light = tints * (depth * (0.88 + 0.5 * sun))[..., None]
    light = light + 26 * smooth(1.5, 3, swirls)[..., None]
    solder = 24 + 46 * smooth(0.8, 1.3, lead + 0.1 * clouds(rng, h, w, 4 * u, 3))
    cover = smooth(0.40, 0.60, lead)
    picture = mix(light, solder[..., None] * rgb("#f0f4ff") / 255, cover)
    bloom = blur(np.clip(mix(light, rgb("#000000"), cover), 0, 255), 14 * u)
    return picture + 0.32 * bloom * (1 - picture / 300)


def _window(rng: Rng, h: int, w: int, u: float) -> tuple[Array, list[list[str]]]:
    """The design: for every pixel the number of its region, for every region its glasses."""
    x, y = np.broadcast_arrays(*grid(h, w))
    region, glasses = np.zeros((h, w), int), []

    def lay(where: Array, *colours: str) -> None:
        region[where] = len(glasses)
        glasses.append(list(colours))

    def leaf(px: float, py: float, length: float, width: float, turn: float) -> Array:
        dx, dy = x - px * w, y - py * h
        along = (dx * math.cos(turn) + dy * math.sin(turn)) / (length * u)
        across = np.abs(dy * math.cos(turn) - dx * math.sin(turn)) / (width * u)
        bulge = np.sin(np.pi * np.clip(along, 0, 1) ** 0.8)
        return (along > 0) & (along < 1) & (across < bulge)

    radius = np.hypot(x - 0.5 * w, y - 0.33 * h) / u
    ray = np.floor((np.arctan2(y - 0.33 * h, x - 0.5 * w) / (2 * np.pi) + 0.5) * 22)
    lay(radius >= 0, "#fff0a8", "#ffe27a")
    rings = [
        (62, "#ffc22e", "#ff9d1c"),
        (120, "#ff7a2a", "#f2493a"),
        (215, "#d9255a", "#a81e78"),
        (320, "#6b2fb0", "#4527a0"),
        (430, "#1f4fc4", "#123a9c"),
    ]
    for k, (inner, even, odd) in enumerate(rings):
        for i in range(22):
            start = inner * (1 + (0.13 if i % 2 else -0.08) * (k > 0))
            lay((ray == i) & (radius > start), odd if i % 2 else even)
    hills = [
        (0.53, 34, "#3c5fb0", "#5a7fd0", "#2c4a94"),
        (0.60, 30, "#0f7f86", "#1aa39a", "#0b6470"),
        (0.68, 26, "#128a4e", "#35b060", "#0c6b45"),
    ]
    for level, swell, *colours in hills:
        wave = x / (105 * u) + rng.uniform(0, 2 * np.pi)
        lay(y > level * h - swell * u * (np.sin(wave) + 0.5 * np.sin(2.3 * wave)), *colours)
    down = np.clip((y / h - 0.63) / 0.37, 0, 1)
    away = np.abs(x - (0.5 + 0.17 * np.sin(5.2 * down + 0.4) * (1 - 0.3 * down)) * w)
    stream = (y > 0.63 * h) & (away < (24 + 120 * down**1.4) * u)
    lay(stream, "#1b6fd0", "#0f4fb0", "#39a4ea")
    lay(stream & (away < (6 + 50 * down**1.4) * u), "#a9e2f5", "#ffdf9a", "#7cc8f0")
    lay(y > 0.93 * h + 12 * u * np.sin(x / (60 * u)), "#0d5f3c", "#17804a", "#0a4a3a")
    flowers = [
        (0.17, 0.70, 1.0, "#f01f3c", "#c4102f", "#ff5a4a"),
        (0.83, 0.67, 1.1, "#ff4fa0", "#d81f7f", "#ff8ac0"),
        (0.37, 0.85, 0.75, "#ffb01f", "#ff8a1a", "#ffd24a"),
        (0.69, 0.86, 0.8, "#fff3e0", "#ffd9e6", "#ffc4b0"),
    ]
    for px, py, size, *petals in flowers:
        lay((np.abs(x - px * w) < 6 * u) & (y > py * h), "#1f9a4a", "#2fae55")
        for turn, length in [(-2.5, 120), (-0.6, 110)]:
            lay(leaf(px, py + 0.26 * size, length, 22, turn), "#2fae55", "#158040", "#7cc84a")
        for i in range(7):
            lay(leaf(px, py, 92 * size, 26 * size, i * 2 * np.pi / 7 + 0.3), petals[i % 3])
        lay(np.hypot(x - px * w, y - py * h) < 17 * size * u, "#ffd21f")
    border = np.minimum(np.minimum(x, w - 1 - x), np.minimum(y, h - 1 - y)) < 24 * u
    block = np.floor(10 * x / w) + np.floor(12 * y / h)
    for i, colour in enumerate(["#b3122f", "#123a9c", "#e09a1a"]):
        lay(border & (block % 3 == i), colour)
    return region, glasses


def _panes(rng: Rng, region: Array, size: float, rounds: int = 3) -> tuple[Array, Array]:
    """Cut regions into Voronoi cells, evened out by Lloyd's algorithm, none across two regions.

    Returns:
        For every pixel the number of its pane, and for every pane the number of its region.
    """
    coarse = region[::2, ::2]
    h, w = coarse.shape
    x, y = np.broadcast_arrays(*grid(h, w))
    seeds = scatter(rng, h, w, 0.44 * size)
    homes = pick(coarse, seeds)
    reach = int(1.5 * size)
    for k in range(rounds):
        near, cell = np.full((h, w), np.inf, np.float32), np.full((h, w), len(seeds))
        for i, (px, py) in enumerate(seeds):
            top, left = max(int(py) - reach, 0), max(int(px) - reach, 0)
            box = np.s_[top : max(int(py) + reach, 0), left : max(int(px) + reach, 0)]
            distance = (x[box] - px) ** 2 + (y[box] - py) ** 2
            closer = (distance < near[box]) & (coarse[box] == homes[i])
            near[box] = np.where(closer, distance, near[box])
            cell[box] = np.where(closer, i, cell[box])
        if k < rounds - 1:
            area, *sums = (
                np.bincount(cell.ravel(), weights, len(seeds) + 1)[:-1]
                for weights in (None, x.ravel(), y.ravel())
            )
            kept = area > 0.06 * size**2  # slivers go to their neighbours in the next round
            seeds, homes = np.stack(sums, axis=1)[kept] / area[kept, None], homes[kept]
    cell = cell.repeat(2, 0).repeat(2, 1)[: region.shape[0], : region.shape[1]]
    names, pane = np.unique(cell + region * (len(seeds) + 1), return_inverse=True)
    return pane.reshape(region.shape), names // (len(seeds) + 1)


def _came(number: Array, width: float) -> Array:
    """A soft line along every border between numbers, about 1 on it, 0.5 at `width` pixels."""
    line = np.zeros(number.shape, np.float32)
    line[:-1] += number[1:] != number[:-1]
    line[:, :-1] += number[:, 1:] != number[:, :-1]
    return blur(np.minimum(line, 1), width) * width * 2.5


def gold(rng: Rng, h: int, w: int) -> Array:
    """A tree of spirals on gold leaf, over a meadow of ornaments, after Vienna around 1905."""
    u = max(h, w) / 768
    leaf = ["#7a4a14", "#a8701c", "#cf9a2c", "#e6bd4a", "#f6dc84"]
    image = to_image(ramp(leaf, 0.45 + 0.1 * clouds(rng, h, w, 90 * u)))
    draw = ImageDraw.Draw(image)
    glow = 0.52 + 0.16 * clouds(rng, h, w, 110 * u)
    for px, py in scatter(rng, h, w, 8.5 * u):
        a, b = rng.uniform(2.5, 5.5, 2) * u
        shine = np.clip(pick(glow, np.array([px, py])) + rng.normal(0, 0.16), 0, 1)
        draw.rectangle([px - a, py - b, px + a, py + b], tone(ramp(leaf, shine)))

    trunk = np.linspace((0.5 * w, 1.02 * h), (0.5 * w, 0.24 * h), 640)
    trunk[:, 0] += 10 * u * np.sin(np.linspace(0, 5, 640))
    paths = [(trunk, 52 * u)]
    limbs = [(0.22, 600), (0.40, 640), (0.58, 620), (0.75, 540), (0.88, 430), (0.99, 330)]
    for up, length in limbs:
        for side in (-1, 1):
            start = trunk[int(639 * (up + 0.05 * (side > 0) * (up < 0.8)))]
            turn = -np.pi / 2 + side * rng.uniform(0.25, 0.5)
            _branch(rng, paths, start, turn, length * u, 19 * u, side, u)
    for grow, colour in ((5 * u, "#2a1608"), (0, "#8a4f1a"), (-3.5 * u, "#d9a437")):
        for path, width in paths:
            taper = np.linspace(1, 0.22, len(path)) * width / 2 + grow * min(1, width / (19 * u))
            for place, r in zip(path.tolist(), taper.tolist(), strict=True):
                if r > 0.4:
                    draw.circle(place, r, tone(colour))
    _ornaments(rng, draw, paths, h, w, u)
    picture = np.asarray(image, np.float32)
    hammered = clouds(rng, h, w, 4 * u, 2.5) + 0.8 * clouds(rng, h, w, (30 * u, 6 * u))
    return picture * (1 + 0.05 * hammered)[..., None] + 16 * smooth(1.2, 3, hammered)[..., None]


def _branch(
    rng: Rng,
    paths: list[tuple[Array, float]],
    start: Array,
    turn: float,
    length: float,
    width: float,
    side: int,
    u: float,
) -> None:
    """A branch that winds up into a spiral, and the smaller ones along it, added to `paths`."""
    n = max(int(length / (1.2 * u)), 8)
    t = np.linspace(0, 1, n)
    along = turn + side * (1.1 * np.minimum(t / 0.3, 1) + 17 * np.maximum(t - 0.32, 0) ** 1.5)
    steps = np.stack([np.cos(along), np.sin(along)], axis=1) * length / n
    path = np.asarray(start) + np.cumsum(steps, axis=0)
    paths.append((path, width))
    if length > 170 * u:
        for k, at in enumerate(np.linspace(0.16, 0.5, 4)):
            i, other = int(at * n), side if k % 2 else -side
            _branch(
                rng,
                paths,
                path[i],
                along[i] + other * rng.uniform(0.1, 0.5),
                length * rng.uniform(0.32, 0.5),
                width * 0.5,
                other,
                u,
            )


def _ornaments(
    rng: Rng, draw: ImageDraw.ImageDraw, paths: list[tuple[Array, float]], h: int, w: int, u: float
) -> None:
    """Eyes and triangles hung along the branches, and at the foot a meadow of ringed flowers."""
    dark, jewels = (
        tone("#1a120c"),
        "#f7ecd0 #b8302a #1f6f6a #2c3f86 #e8e0d0 #7a2f6a #2f8a5a".split(),
    )
    for path, width in paths:
        for i in range(len(path) // 6, len(path), 28):
            if width < 20 * u and rng.random() < 0.35:
                (px, py), r = path[i], rng.uniform(4, 7) * u
                if rng.random() < 0.5:
                    draw.polygon([px, py - 1.6 * r, px - r, py + r, px + r, py + r], dark)
                    draw.polygon(
                        [px, py - 0.5 * r, px - r / 2, py + r / 2, px + r / 2, py + r / 2],
                        tone("#f7ecd0"),
                    )
                else:
                    for k, colour in zip(
                        (1, 0.66, 0.33), ("#1a120c", "#f7ecd0", rng.choice(jewels)), strict=True
                    ):
                        draw.ellipse(
                            [px - 1.5 * r * k, py - r * k, px + 1.5 * r * k, py + r * k],
                            tone(colour),
                        )
    spots = scatter(rng, h, w, 15 * u)
    ground = 0.86 * h + 0.035 * h * np.sin(spots[:, 0] / (90 * u))
    meadow = spots[spots[:, 1] > ground]
    for place in np.concatenate([meadow, meadow + rng.normal(0, 9 * u, meadow.shape)]).tolist():
        r = rng.uniform(5, 13) * u
        for k, colour in zip((1, 0.74, 0.48, 0.22), rng.choice(jewels, 4), strict=True):
            draw.circle(place, r * k, tone("#1f4a34" if k == 1 and rng.random() < 0.6 else colour))
