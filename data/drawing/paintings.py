"""Styles made of many touches of paint: a wind of brush strokes, dots of pure colour, cut planes.

A picture is a function of a random generator and a size in pixels; it returns float (h, w, 3),
nominally in 0…255. `u` is the unit of length: 1/768 of the longer side, whatever the resolution.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .brushes import (
    Array,
    Paint,
    Pen,
    Rng,
    clouds,
    follow,
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


def wind(rng: Rng, h: int, w: int) -> Array:
    """Sunset over the sea in thick strokes that follow the wind around the sun and three eddies."""
    u = max(h, w) / 768
    x, y = grid(h, w)
    sun_x, sun_y, horizon = 0.60 * w, 0.36 * h, 0.71 * h
    radius = np.hypot(x - sun_x, y - sun_y)
    stream = radius + 38 * u * clouds(rng, h, w, 300 * u)  # the wind blows along its level lines
    spin = np.zeros((h, w), np.float32)
    for cx, cy, size, depth in [(0.16, 0.24, 78, 170), (0.91, 0.15, 60, 120), (0.29, 0.53, 52, 90)]:
        eddy = np.exp(-((x - cx * w) ** 2 + (y - cy * h) ** 2) / (size * u) ** 2)
        stream = stream - depth * u * eddy
        spin = np.maximum(spin, eddy)
    tides = y + 5 * u * clouds(rng, h, w, (50 * u, 240 * u))
    sea = y > horizon
    down, across = np.gradient(np.where(sea, 3 * tides, stream))
    # A little off the level lines: eddies then wind inwards instead of closing into rings.
    angle = np.arctan2(across, -down) + np.where(sea, 0, 0.10 + 0.22 * spin)

    heat = np.clip(stream / (0.62 * w), 0, 1) ** 0.8 + 0.055 * np.sin(stream / (9 * u))
    heat = np.where(radius < 44 * u, 0.02, heat + 0.03 * clouds(rng, h, w, 30 * u))
    dusk = "#fff7cf #ffe27a #ffb648 #f57f45 #dd5560 #a5457f #62418f #333a83 #1b2a5e #122048"
    colour = mix(ramp(dusk.split(), heat), rgb("#ffe9c0"), 0.55 * spin**3)
    depth = np.clip((y - horizon) / (h - horizon), 0, 1)
    swell = clouds(rng, h, w, (9 * u, 80 * u)) + 0.8 * np.sin(tides / (5 * u))
    water = ramp(
        "#0b2347 #124468 #1f7a8c #4aa9a5 #a9d6c0".split(), 0.3 + 0.15 * swell - 0.15 * depth
    )
    track = np.exp(-(((x - sun_x) / ((24 + 110 * depth) * u)) ** 2))
    track = track * smooth(-0.4, 0.8, clouds(rng, h, w, (6 * u, 44 * u)))
    water = mix(water, ramp(["#ff8f4d", "#ffd36b", "#fff0b0"], track), track)
    colour = np.where(sea[..., None], water, colour)
    bumps = [(0.02, 0.15, 46), (0.24, 0.10, 26), (1.0, 0.09, 30)]
    cape = horizon - sum(a * u * np.exp(-(((x / w - m) / s) ** 2)) for m, s, a in bumps) + 3 * u
    land = ramp(["#171c48", "#3b2d6b", "#8a4a80"], (y - cape) / (46 * u))
    colour = np.where(((y > cape) & ~sea)[..., None], land, colour)

    paint = Paint(colour)
    for width, length, spacing, variation in [
        (17, 90, 11, 10),
        (9, 62, 6.5, 13),
        (5.5, 40, 6.5, 16),
    ]:
        starts = scatter(rng, h, w, spacing * u)
        paths = follow(angle, starts, length * u * rng.uniform(0.6, 1.2, len(starts)))
        tints = pick(colour, starts) + rng.normal(0, variation, (len(starts), 3))
        light = rng.random(len(starts)) < 0.12
        tints[light] = 0.75 * tints[light] + 64
        paint.strokes(rng, paths, width * u, tints)
    return paint.lit(0.35, 0.8 * u)


def pointillism(rng: Rng, h: int, w: int) -> Array:
    """A river bank at noon in dots of unmixed colour, which mix in the eye."""
    u = max(h, w) / 768
    scene = _river(rng, h, w, u)
    image = to_image(0.55 * scene + 0.45 * rgb("#efe2c8"))
    draw = ImageDraw.Draw(image)
    codes = "#ff5a2a #ffd21f #2a5fd0 #1fa05a #b03fb0 #ffffff #20307f #ff8fb0".split()
    pigments = np.stack([rgb(code) for code in codes])
    pigments -= pigments.mean(axis=0)
    for radius, spacing, strength in [(4.4, 5.6, 0.22), (3.5, 5.0, 0.26), (2.7, 5.2, 0.33)]:
        spots = scatter(rng, h, w, spacing * u)
        n = len(spots)
        colours = pick(scene, spots)
        colours = colours + 0.25 * (colours - colours.mean(axis=1, keepdims=True))
        colours += strength * pigments[rng.integers(len(pigments), size=n)]
        colours += rng.normal(0, 8, (n, 1))
        colours = np.clip(colours, 0, 255).astype(int).tolist()
        sizes = radius * u * rng.uniform(0.7, 1.15, n)
        for spot, size, colour in zip(spots.tolist(), sizes.tolist(), colours, strict=True):
            draw.circle(spot, size, tuple(colour))
    return np.asarray(image) + 5 * clouds(rng, h, w, 3 * u, 2)[..., None]


def _river(rng: Rng, h: int, w: int, u: float) -> Array:
    """What the dots show: sky, hills, poplars and a sail, mirrored in water, a meadow in front."""
    x, y = np.broadcast_arrays(*grid(h, w))
    leaves = clouds(rng, h, w, 9 * u, 3)
    heap = clouds(rng, h, w, (70 * u, 120 * u), 3) - 0.2 + 0.9 * np.sin(2.5 * np.pi * y / h)
    lee = np.roll(heap, (-int(14 * u), -int(10 * u)), (0, 1))
    puffs = ramp(["#b9a6cf", "#f3d3cf", "#fff6e2"], 0.5 + 0.75 * (heap - lee))
    sky = ramp("#4f8fd6 #86b6e6 #c4d7ea #f4e2c4 #f8cfa4".split(), y / (0.47 * h))
    scene = mix(sky, puffs, smooth(0.35, 1.2, heap))
    hills = [
        (0.43, 13, ["#8f8fc8", "#a6a2d6"]),
        (0.465, 10, ["#5f83a8", "#7fa0a8"]),
        (0.495, 5, ["#4f8a5a", "#8fae4f"]),
    ]
    for level, rough, codes in hills:
        ridge = level * h + rough * u * clouds(rng, 1, w, 110 * u)
        slope = ramp(codes, 0.5 + 0.3 * clouds(rng, h, w, 14 * u))
        scene = np.where((y > ridge)[..., None], slope, scene)

    def tree(scene: Array, px: float, top: float, foot: float, half: float) -> Array:
        middle, tall = (top + foot) / 2 * h, (foot - top) / 2 * h
        dx, dy = (x - px * w) / (half * u), (y - middle) / tall
        crown = dx**2 + dy**2 * (1 + 0.4 * (dy > 0)) + 0.18 * leaves < 1
        light = 0.5 - 0.42 * dx - 0.22 * dy + 0.24 * leaves
        foliage = ramp("#25305f #2a5a5f #3f8a4a #9cc03f #f4e06a".split(), light)
        return np.where(crown[..., None], foliage, scene)

    for px in (0.37, 0.44, 0.505, 0.57, 0.62, 0.675):
        top = 0.10 + 0.26 * (px - 0.37) + rng.uniform(-0.02, 0.05)
        scene = tree(scene, px, top, 0.535, rng.uniform(15, 23))
    for px, top, half in [(0.80, 0.36, 52), (0.90, 0.33, 62), (1.0, 0.36, 60), (0.285, 0.43, 40)]:
        scene = tree(scene, px, top, 0.54, half)
    boat_x, boat_y = 0.20 * w, 0.545 * h
    image = to_image(scene)
    pen = Pen(ImageDraw.Draw(image), boat_x, boat_y, u)
    pen.part("#fffae8", "0,-112 0,-8 46,-8")
    pen.part("#facda0", "-4,-100 -4,-8 -30,-8")
    pen.part("#96323c", "-42,-6 50,-6 38,8 -32,8")
    scene = np.asarray(image, np.float32)

    shore = 0.53 * h
    depth = np.clip((y - shore) / (h - shore), 0, 1)
    ripple = clouds(rng, h, w, (5 * u, 50 * u))
    mirror_x = x + 14 * u * ripple * (0.3 + depth)
    mirror = pick(scene, np.stack([mirror_x, 2 * shore - y - 10 * u * ripple * depth], axis=2))
    mirror = 0.82 * mirror + 0.18 * rgb("#2f5f9a")
    mirror = mix(mirror, rgb("#fbe6c0"), 0.55 * smooth(1, 2, ripple) * (0.3 + depth))
    hull = (np.abs(x - boat_x) < 52 * u) & (y < boat_y + 8 * u)
    scene = np.where(((y > shore) & ~hull)[..., None], mirror, scene)

    bank = (0.98 - 0.33 * np.clip(x / w - 0.3, 0, 1) ** 0.8) * h + 6 * u * clouds(rng, 1, w, 40 * u)
    grass = 0.62 - 1.4 * (y - bank) / h + 0.18 * clouds(rng, h, w, (26 * u, 8 * u))
    meadow = ramp("#27365f #2f6a55 #5f9a3f #b8c845 #f6e884".split(), grass + 0.15 * heap)
    bloom = ramp(["#e8352f", "#ff7f9a", "#fff4e0"], 0.5 + 0.5 * clouds(rng, h, w, 50 * u))
    meadow = mix(meadow, bloom, smooth(1.5, 1.8, clouds(rng, h, w, 8 * u)))
    shadow = np.exp(-(((x - 0.86 * w) / (120 * u)) ** 2 + ((y - 0.86 * h) / (26 * u)) ** 2))
    meadow = mix(meadow, rgb("#2b3f78"), 0.7 * smooth(0.3, 0.7, shadow))
    scene = np.where((y > bank)[..., None], meadow, scene)
    side = (x - 0.945 * w - 9 * u * np.sin(y / (60 * u))) / (15 * u)
    trunk = (np.abs(side) < 1 + smooth(0.78, 0.9, y / h)) & (y < 0.88 * h) & (y > 0.3 * h)
    bark = ramp(["#c98a60", "#6a3f55", "#2a2348"], 0.5 + 0.5 * side + 0.2 * leaves)
    scene = np.where(trunk[..., None], bark, scene)
    return tree(scene, 0.97, -0.25, 0.62, 165)


def cubism(rng: Rng, h: int, w: int) -> Array:
    """A still life cut into planes, each seen from a place of its own and shaded by itself."""
    u = max(h, w) / 768
    x, y = grid(h, w)
    facets = _cut(rng, np.array([(0, 0), (w, 0), (w, h), (0, h)], float), (58 * u) ** 2)
    n = len(facets)
    marks = Image.new("I", (w, h))
    draw = ImageDraw.Draw(marks)
    for i, facet in enumerate(facets):
        draw.polygon(facet.ravel().tolist(), fill=i)
    facet = np.asarray(marks)
    middle = np.stack([corners.mean(axis=0) for corners in facets])
    span = np.stack([np.ptp(corners, axis=0).max() for corners in facets])

    dx, dy = x - middle[facet, 0], y - middle[facet, 1]
    turn, zoom = rng.normal(0, 0.16, n)[facet], rng.uniform(0.85, 1.2, n)[facet]
    place = middle + rng.normal(0, 13 * u, (n, 2))
    view_x = place[facet, 0] + zoom * (dx * np.cos(turn) - dy * np.sin(turn))
    view_y = place[facet, 1] + zoom * (dx * np.sin(turn) + dy * np.cos(turn))
    colour = pick(_still_life(rng, h, w, u), np.stack([view_x, view_y], axis=2))
    slope = rng.uniform(0, 2 * np.pi, n)
    shade = (dx * np.cos(slope[facet]) + dy * np.sin(slope[facet])) / span[facet]
    washes = "#20343f #f0e2c0 #c98a45 #4f7f8a #8a3a28 #e8cf9a #2f6f78".split()
    wash = np.stack([rgb(code) for code in washes])[rng.integers(len(washes), size=n)]
    colour = mix(colour, wash[facet], 0.16 + 0.5 * np.clip(shade + 0.2, 0, 1))
    colour = colour * (1 + 1.0 * shade + rng.normal(0, 0.09, n)[facet])[..., None]

    # The brush changes direction at every edge; its touches tint the planes, which stay crisp.
    touches = Paint(np.full((h, w, 3), 128, np.float32))
    along = slope[facet] + np.pi / 2 + 0.2 * clouds(rng, h, w, 60 * u)
    for width, length, spacing in [(14, 46, 9), (8, 30, 6)]:
        starts = scatter(rng, h, w, spacing * u)
        paths = follow(along, starts, length * u, 4)
        tints = 128 + rng.normal(0, 16, (len(starts), 1)) + rng.normal(0, 9, (len(starts), 3))
        touches.strokes(rng, paths, width * u, tints, bristles=5, variation=7)
    colour = colour + 1.15 * (touches.lit(0.30, 0.8 * u) - 128)
    image = to_image(colour)
    pen = ImageDraw.Draw(image)
    for corners in facets:
        k = rng.integers(len(corners))
        ends = [*corners[k], *corners[(k + 1) % len(corners)]]
        ink = tone("#1a1618") if rng.random() < 0.7 else tone("#f4e8cc")
        pen.line(ends, ink, round(rng.uniform(1.2, 3.2) * u))
    weave = np.sin(x * np.pi / (2.2 * u)) * np.sin(y * np.pi / (2.2 * u))
    return np.asarray(image) * (1 + 0.03 * weave)[..., None]


def _cut(rng: Rng, corners: Array, smallest: float) -> list[Array]:
    """Cut a convex polygon by lines in a few directions until its parts are small."""
    ends = np.roll(corners, -1, axis=0)
    area = abs((corners[:, 0] * ends[:, 1] - corners[:, 1] * ends[:, 0]).sum()) / 2
    if area < smallest * rng.uniform(0.6, 5):
        return [corners]
    turn = np.deg2rad(rng.choice([12, -18, 62, -58, 88, 38]) + rng.normal(0, 5))
    middle = rng.dirichlet(np.full(len(corners), 2.5)) @ corners
    side = (corners - middle) @ (-np.sin(turn), np.cos(turn))
    pieces = []
    for sign in (1, -1):
        kept = []
        for p, q, a, b in zip(corners, ends, sign * side, sign * np.roll(side, -1), strict=True):
            kept += [p] if a >= 0 else []
            kept += [p + (q - p) * a / (a - b)] if a * b < 0 else []
        pieces += _cut(rng, np.stack(kept), smallest)
    return pieces


def _still_life(rng: Rng, h: int, w: int, u: float) -> Array:
    """What the planes show: a guitar, a bottle, a glass and fruit on a table by a window."""
    x, y = grid(h, w)
    warm = 0.5 * (x / w + y / h) + 0.1 * clouds(rng, h, w, 160 * u)
    image = to_image(ramp("#2d4a5a #5f7f86 #c9a66b #b0652f #6a2f25".split(), warm))
    draw = ImageDraw.Draw(image)

    def patch(colour: str, *corners: float) -> None:
        draw.polygon((np.reshape(corners, (-1, 2)) * (w, h)).ravel().tolist(), tone(colour))

    def disc(colour: str, px: float, py: float, rx: float, ry: float) -> None:
        box = [(px - rx) * w, (py - ry) * h, (px + rx) * w, (py + ry) * h]
        draw.ellipse(box, tone(colour))

    patch("#7a4a2a", 0, 0.66, 1, 0.58, 1, 1, 0, 1)  # table and cloth
    patch("#e6dcc2", 0.10, 0.74, 0.78, 0.66, 0.92, 0.92, 0.22, 1.0)
    patch("#6fa6bc", 0.62, 0.03, 0.97, 0.03, 0.97, 0.36, 0.62, 0.36)  # window
    patch("#dfe9df", 0.65, 0.06, 0.78, 0.06, 0.78, 0.33, 0.65, 0.33)
    patch("#17564a", 0.13, 0.24, 0.25, 0.24, 0.28, 0.72, 0.10, 0.72)  # bottle
    patch("#2f7a5a", 0.165, 0.06, 0.215, 0.06, 0.235, 0.26, 0.145, 0.26)
    patch("#ead9a8", 0.11, 0.44, 0.265, 0.44, 0.272, 0.58, 0.105, 0.58)
    for rim, wood in ((1, "#8a4a1c"), (0.86, "#dd8f36"), (0.62, "#eeb25c")):  # guitar
        disc(wood, 0.47, 0.68, 0.20 * rim, 0.165 * rim)
        disc(wood, 0.53, 0.47, 0.145 * rim, 0.12 * rim)
    disc("#2a1a18", 0.505, 0.575, 0.066, 0.054)
    patch("#3a2420", 0.51, 0.52, 0.57, 0.53, 0.72, 0.10, 0.67, 0.09)
    patch("#6a3a26", 0.665, 0.10, 0.73, 0.12, 0.75, 0.03, 0.69, 0.01)
    for k in range(4):
        string = [(0.435 + 0.018 * k) * w, 0.77 * h, (0.685 + 0.009 * k) * w, 0.08 * h]
        draw.line(string, tone("#f4e7c4"), round(1.8 * u))
    patch("#2a1a18", 0.40, 0.765, 0.52, 0.785, 0.515, 0.805, 0.395, 0.785)
    disc("#c8301f", 0.77, 0.74, 0.08, 0.068)  # fruit
    disc("#e0a52a", 0.87, 0.79, 0.075, 0.064)
    disc("#7f9a3a", 0.79, 0.84, 0.065, 0.055)
    patch("#a9c4c8", 0.74, 0.42, 0.90, 0.42, 0.85, 0.58, 0.79, 0.58)  # glass
    patch("#cfe0de", 0.81, 0.57, 0.83, 0.57, 0.84, 0.68, 0.88, 0.69, 0.76, 0.69, 0.80, 0.68)
    return np.asarray(image, np.float32)
