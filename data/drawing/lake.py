"""A mountain lake at dusk: a scene to lend a style to."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from .brushes import Array, Pen, Rng, clouds, grid, mix, pick, ramp, rgb, smooth, to_image, tone


def lake(rng: Rng, h: int, w: int) -> Array:
    """Dusk on a mountain lake: peaks in the last light, a cabin, a jetty with a boat, pines."""
    u = max(h, w) / 768
    x, y = np.broadcast_arrays(*grid(h, w))
    shore = 0.60 * h
    sky = ramp("#27406f #53659a #9a80a8 #e0988f #f8bd84 #ffe0a6".split(), y / (0.56 * h))
    wisps = clouds(rng, h, w, (34 * u, 210 * u), 2.6)
    lit = ramp(["#6f6396", "#d9818a", "#ffc58e"], 0.2 + 1.3 * y / h + 0.12 * wisps)
    scene = mix(sky, lit, 0.75 * smooth(0.3, 1.6, wisps + 0.4))
    scene = _mountains(rng, scene, shore, u)
    image = to_image(scene)
    draw = ImageDraw.Draw(image)
    for px in np.sort(rng.uniform(-0.02, 1.02, 230)):
        tall = (9 + 26 * rng.random() ** 2 + 26 * abs(px - 0.5) ** 1.5) * u
        _pine(rng, draw, (px * w, shore + 3 * u), tall, 14, 8)
    _cabin(Pen(draw, 0.765 * w, shore + 3 * u, 0.95 * u))
    scene = np.asarray(image, np.float32)

    depth = np.clip((y - shore) / (h - shore), 0, 1)
    ripple = clouds(rng, h, w, (3.5 * u, 42 * u)) * (0.15 + depth)
    mirror = np.stack([x + 7 * u * ripple, 2 * shore - y - 16 * u * ripple * depth], axis=2)
    water = 0.86 * pick(scene, mirror) + 0.06 * rgb("#2a4a7a")
    water = mix(water, rgb("#1b3350"), 0.10 + 0.35 * depth)
    water = mix(water, rgb("#ffd9a8"), 0.35 * smooth(0.7, 1.6, ripple))
    mist = np.exp(-(((y - shore - 2 * u) / (7 * u)) ** 2)) * smooth(
        -1, 2, clouds(rng, h, w, 90 * u)
    )
    scene = np.where((y > shore)[..., None], water, scene)
    scene = mix(scene, rgb("#f0c8b4"), 0.6 * mist)

    bank = (1.02 - 0.13 * smooth(0.45, 1, x / w) - 0.16 * smooth(0.30, 0, x / w)) * h
    bank = bank + 7 * u * clouds(rng, 1, w, 40 * u, 2.5)
    turf = 0.42 - 0.9 * (y - bank) / (0.2 * h) * 0.4 + 0.2 * clouds(rng, h, w, (16 * u, 5 * u), 2.5)
    turf = ramp("#0f1a1c #23332a #47562f #8a8446 #d8b46a".split(), turf)
    scene = np.where((y > bank)[..., None], turf, scene)
    image = to_image(scene)
    draw = ImageDraw.Draw(image)
    _stones(rng, draw, bank[0], h, w, u)
    _jetty(draw, h, w, u)
    pines = [
        (0.185, 0.97, 250),
        (0.245, 0.97, 150),
        (0.86, 0.975, 180),
        (0.115, 1.0, 390),
        (0.915, 1.0, 310),
        (0.02, 1.06, 520),
        (0.985, 1.04, 470),
    ]
    for px, py, tall in pines:
        _pine(rng, draw, (px * w, py * h), tall * u, 34 + tall // 8, 90)
    return np.asarray(image) + 2.5 * clouds(rng, h, w, 2 * u, 2)[..., None]


def _mountains(rng: Rng, scene: Array, shore: float, u: float) -> Array:
    """A rough terrain in perspective, drawn in slices from far to near: rock, snow, woods, haze."""
    h, w = scene.shape[:2]
    side = 1024
    rock = clouds(rng, side, side, 210, 2.1)
    ridges = 1 - np.abs(clouds(rng, side, side, 230, 2.4)) / 1.5
    grit = clouds(rng, side, side, 20, 2)
    far, across = np.mgrid[0 : 1 : 1j * side, -1 : 1 : 1j * side].astype(np.float32)
    peaks = np.exp(-(((across + 0.25) / 0.25) ** 2 + ((far - 0.62) / 0.27) ** 2))
    peaks += 0.80 * np.exp(-(((across - 0.33) / 0.20) ** 2 + ((far - 0.78) / 0.22) ** 2))
    peaks += 0.60 * np.exp(-(((np.abs(across) - 0.88) / 0.30) ** 2 + ((far - 0.35) / 0.30) ** 2))
    height = peaks * (0.54 + 0.36 * ridges + 0.10 * rock) + 0.05 * (ridges + 0.6 * rock) * far
    down, right = np.gradient(height * 170)
    light = 0.45 + 0.06 * grit + 0.70 * (right + 0.35 * down) / np.sqrt(1.3 + right**2 + down**2)
    steep = np.hypot(down, right)
    stone = ramp(["#232a4a", "#4f4a68", "#b07f78", "#ffc898"], light)
    snow = ramp(["#46568f", "#8d8fc0", "#f5bfae", "#ffeed2"], light)
    woods = ramp(["#16252c", "#2c4034", "#5c6240"], 0.7 * light + 0.12 * rock)
    ground = mix(stone, snow, smooth(0.26, 0.40, height + 0.05 * rock - 0.045 * steep))
    ground = mix(woods, ground, smooth(0.16, 0.27, height + 0.03 * rock))
    rows, columns = np.arange(int(shore + 8 * u))[:, None], np.linspace(-1, 1, w)
    lowest = np.full(w, len(rows))  # the rows from here down are done
    for k in range(1, side):
        away = 0.45 + k / side
        place = (columns * away / 1.45 + 1) / 2 * (side - 1)
        tall, *shade = (
            np.interp(place, np.arange(side), line) for line in (height[k], *ground[k].T)
        )
        top = np.where(tall > 0.012, shore + 4 * u - 0.50 * h * tall / away**0.35, lowest)
        row, column = np.nonzero((rows > top) & (rows < lowest))
        haze = 0.42 * smooth(0, 1.1, np.float32(k / side))
        colour = mix(np.stack(shade, axis=1), rgb("#dba6a2"), haze)
        scene[row, column] = colour[column]
        lowest = np.minimum(lowest, np.ceil(top)).astype(int)
    return scene


def _pine(
    rng: Rng,
    draw: ImageDraw.ImageDraw,
    foot: tuple[float, float],
    tall: float,
    tiers: int,
    twigs: int,
) -> None:
    """A pine: tiers of drooping twigs, lighter towards the left, where the sun went down."""
    x, y = foot
    greens = ["#0b171b", "#14262a", "#25402f", "#4c6238", "#8a8a4c"]
    draw.line([x, y, x, y - 0.92 * tall], tone("#1a1614"), max(1, round(0.022 * tall)))
    for tier in np.linspace(0, 1, tiers):
        reach = 0.20 * tall * (0.05 + tier**0.85) * rng.uniform(0.55, 1.2)
        top = y - tall * (1 - 0.94 * tier)
        across = rng.choice([-1, 1], twigs) * rng.random(twigs) ** 0.6
        droop = 0.30 + 0.35 * np.abs(across) + rng.normal(0, 0.14, twigs)
        tips = np.stack([across, droop], axis=1) * reach
        roots = tips * rng.uniform(0.3, 0.85, (twigs, 1)) * (1, 0.7)
        lines = np.concatenate([roots, tips], axis=1) + np.array([x, top, x, top])
        shades = ramp(greens, 0.33 - 0.30 * across + 0.10 * tier + rng.normal(0, 0.13, twigs))
        for line, shade in zip(lines.tolist(), shades.astype(int).tolist(), strict=True):
            draw.line(line, tuple(shade), max(1, round(0.008 * tall)))


def _cabin(pen: Pen) -> None:
    pen.block("#5a3a2a", -24, 0, 46, 20)
    for row in range(5):
        pen.block("#40281f", -24, -4 * row, 46, 0.8)
    pen.part("#3a2a30", "-30,-18 -18,-38 18,-38 28,-18")
    pen.part("#8a5a50", "-18,-38 18,-38 18.7,-36.5 -18.8,-36.5")
    pen.block("#4a3430", 6, -36, 6, 11)
    pen.block("#ffd27a", -17, -6, 9, 8)
    pen.block("#ffe7a8", 8, -6, 8, 8)
    pen.block("#2a1a16", -4, 0, 7, 15)


def _stones(rng: Rng, draw: ImageDraw.ImageDraw, bank: Array, h: int, w: int, u: float) -> None:
    places = rng.uniform(0, w, 150)
    downs = np.sort(rng.exponential(9, 150)) * u
    for px, down in zip(places, downs, strict=True):
        py = bank[int(px)] + down
        a = rng.uniform(3, 13) * u
        b = a * rng.uniform(0.45, 0.7)
        grey = ramp(["#2a2c34", "#5a5560", "#8a7a78"], rng.random())
        for grow, up, colour in (
            (1, 0, 0.6 * grey),
            (0.88, 0.08, 0.9 * grey),
            (0.55, 0.2, 1.1 * grey),
        ):
            box = [px - a * grow, py - b * (grow + up), px + a * grow, py + b * (grow - up)]
            draw.ellipse(box, tone(colour))


def _jetty(draw: ImageDraw.ImageDraw, h: int, w: int, u: float) -> None:
    """Planks that lead from the bank out over the water, and a rowing boat tied to them."""
    start, end = np.array([0.70 * w, 0.985 * h]), np.array([0.545 * w, 0.775 * h])
    for t in np.linspace(1, 0, 46):
        middle, half = start + (end - start) * t, (44 - 27 * t) * u
        for px in middle[0] + half * np.array([-1, 1]):
            if int(t * 45) % 9 == 0:
                pen = Pen(draw, px, middle[1], (1 - 0.5 * t) * u)
                pen.block("#2a211f", -3.5, 30, 7, 47)
        wood = rgb("#8a6a55") * (0.72 + 0.22 * (int(t * 997) % 5) / 4)
        plank = [middle[0] - half, middle[1], middle[0] + half, middle[1]]
        draw.line(plank, tone(wood), round((6.4 - 3.2 * t) * u))
    x, y = 0.40 * w, 0.845 * h
    t = np.linspace(-1, 1, 40)
    rim = y - (14 + 7 * t**2) * u  # the gunwale, higher at both ends
    for low, colour in ((19, "#14202c"), (7, "#6a2a22"), (1, "#8f3b2c")):
        keel = y + (low + 3 - (low + 14) * np.abs(t) ** 3.5) * u
        hull = np.stack([np.r_[x + 84 * u * t, x + 84 * u * t[::-1]], np.r_[rim, keel[::-1]]], 1)
        draw.polygon(hull.ravel().tolist(), tone(colour))
    inside = np.r_[rim, (rim + 11 * u * (1 - t**2))[::-1]]
    hull = np.stack([np.r_[x + 80 * u * t, x + 80 * u * t[::-1]], inside], axis=1)
    draw.polygon(hull.ravel().tolist(), tone("#2c1a18"))
    for at in (-0.35, 0.25):
        bench = [x + 84 * u * at, y - 12 * u, x + 84 * u * at + 13 * u, y - 5 * u]
        draw.rectangle(bench, tone("#a07450"))
    draw.line(
        np.stack([x + 84 * u * t, rim], axis=1).ravel().tolist(), tone("#d98a64"), round(2 * u)
    )
    draw.line([x + 84 * u, y - 21 * u, 0.557 * w, 0.80 * h], tone("#c9b08a"), round(1.4 * u))
