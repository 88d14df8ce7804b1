"""A harbour town by day: a scene to lend a style to."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from .brushes import Array, Pen, Rng, clouds, grid, mix, pick, ramp, rgb, smooth, to_image, tone


def harbour(rng: Rng, h: int, w: int) -> Array:
    """A harbour town by day: houses up a hill, a bridge, a lighthouse, sails, a quay in front."""
    u = max(h, w) / 768
    x, y = np.broadcast_arrays(*grid(h, w))
    shore = 0.555 * h
    heap = clouds(rng, h, w, (60 * u, 130 * u), 2.7) + 1.1 * np.sin(2.2 * np.pi * y / h) - 0.75
    lee = np.roll(heap, (int(9 * u), int(12 * u)), (0, 1))
    puffs = ramp("#a9b8cc #d9dde0 #fbf4e6 #fffdf6".split(), 0.5 + 0.4 * (heap - lee) + 0.1 * heap)
    scene = ramp("#2f74b5 #5f9bce #98c1de #cfe0e4 #f3e6d0".split(), y / shore)
    scene = mix(scene, puffs, smooth(0.1, 1.1, heap))
    for level, rough, code in [
        (0.47, 16, "#9db4c9"),
        (0.505, 11, "#7b9bb0"),
        (0.535, 6, "#5f8a86"),
    ]:
        ridge = level * h + rough * u * clouds(rng, 1, w, 120 * u, 2.6)
        slope = rgb(code) * (1 + 0.06 * clouds(rng, h, w, 12 * u, 2.5))[..., None]
        scene = np.where((y > ridge)[..., None], slope, scene)
    rise = shore - 250 * u * smooth(0.50, 1.0, x / w) + 7 * u * clouds(rng, 1, w, 60 * u, 2.5)
    bushes = 0.5 + 0.22 * clouds(rng, h, w, 8 * u, 3) - 0.1 * (x / w)
    hill = ramp("#24442f #3f6b3a #6f8f45 #a9ab5a".split(), bushes)
    scene = np.where((y > rise)[..., None], hill, scene)
    image = to_image(scene)
    draw = ImageDraw.Draw(image)
    _bridge(draw, h, w, u)
    _town(rng, draw, rise[0], shore, h, w, u)
    scene = np.asarray(image, np.float32)

    depth = np.clip((y - shore) / (h - shore), 0, 1)
    sails = [
        (0.335, 0.60, 0.42, "#fff8e8", "#2f4f7a"),
        (0.50, 0.645, 0.72, "#f6d9b0", "#7a2f2a"),
        (0.235, 0.74, 1.25, "#fffdf4", "#1f5f6a"),
    ]
    mirror = pick(scene, np.stack([x, 2 * shore - y], axis=2)) * 0.80 + rgb("#1f5f86") * 0.20
    water = mix(mirror, ramp(["#4f93b0", "#1d5f86", "#174a6c"], depth), 0.35 + 0.40 * depth)
    image = to_image(water)
    draw = ImageDraw.Draw(image)
    rocks = rng.random((170, 5))
    _lighthouse(Pen(draw, 0.105 * w, 0.632 * h, u, -0.8), rocks)
    for px, py, size, sail, hull in sails:
        _sailboat(Pen(draw, px * w, py * h, size * u, -0.8), sail, hull)
    _trawler(Pen(draw, 0.52 * w, 0.865 * h, 1.15 * u, -0.7))
    water = np.asarray(image, np.float32)
    ripple = clouds(rng, h, w, (4 * u, 34 * u)) * (0.25 + depth)
    ripple = ripple + 0.6 * clouds(rng, h, w, (9 * u, 90 * u)) * depth
    water = pick(water, np.stack([x + 6 * u * ripple, y + 7 * u * ripple], axis=2))
    water = mix(water, rgb("#0f3f60"), 0.30 * smooth(0.3, 1.5, -ripple))
    water = mix(water, rgb("#e8f3f0"), 0.45 * smooth(0.8, 1.9, ripple))
    scene = np.where((y > shore)[..., None], water, scene)
    image = to_image(scene)
    draw = ImageDraw.Draw(image)
    _lighthouse(Pen(draw, 0.105 * w, 0.632 * h, u), rocks)
    for px, py, size, sail, hull in sails:
        _sailboat(Pen(draw, px * w, py * h, size * u), sail, hull)
    _trawler(Pen(draw, 0.52 * w, 0.865 * h, 1.15 * u))
    _quay(rng, draw, h, w, u)
    gull = np.array([(-1, -0.1), (-0.5, -0.42), (0, 0), (0.55, -0.5), (1.1, -0.2)])
    for px, py, span in [(0.30, 0.20, 9), (0.36, 0.25, 7), (0.25, 0.30, 6), (0.62, 0.13, 8)]:
        wings = gull * span * u + np.array([px * w, py * h])
        draw.line(wings.ravel().tolist(), tone("#f8f8f4"), round(2 * u), joint="curve")
    picture = np.asarray(image, np.float32)
    sunshine = 1.06 - 0.14 * smooth(0, 1, x / w * 0.5 + y / h * 0.5)
    worn = 0.010 * clouds(rng, h, w, 3 * u, 2) + 0.025 * clouds(rng, h, w, 22 * u, 3)
    return picture * (sunshine + worn)[..., None]


def _bridge(draw: ImageDraw.ImageDraw, h: int, w: int, u: float) -> None:
    deck, towers = 0.475 * h, (0.265 * w, 0.555 * w)
    red, shade = tone("#c4472f"), tone("#8f3226")
    x = np.arange(-0.05 * w, 0.72 * w, 5.5 * u)
    along = (x - towers[0]) / (towers[1] - towers[0]) % 1
    cable = deck - (10 + 106 * (2 * along - 1) ** 2) * u
    for px, py in zip(x, cable, strict=True):
        draw.line([px, py, px, deck], tone("#b8604c"), max(1, round(0.8 * u)))
    draw.line(np.stack([x, cable], axis=1).ravel().tolist(), red, round(2.6 * u))
    draw.rectangle([-9, deck, 0.74 * w, deck + 6 * u], red)
    draw.rectangle([-9, deck + 6 * u, 0.74 * w, deck + 9 * u], shade)
    truss = np.arange(0, 0.72 * w, 4.5 * u)
    zigzag = deck + np.where(np.arange(len(truss)) % 2, 14, 9) * u
    draw.line(np.stack([truss, zigzag], axis=1).ravel().tolist(), shade, round(u))
    for px in towers:
        pen = Pen(draw, px, deck, u)
        pen.block(red, -10, 58, 6, 182)
        pen.block(shade, 4, 58, 6, 182)
        for up in (114, 82, 50, 18):
            pen.block(red, -8, -up, 16, 6)
        pen.block("#8a8478", -16, 60, 32, 12)


def _town(
    rng: Rng, draw: ImageDraw.ImageDraw, rise: Array, shore: float, h: int, w: int, u: float
) -> None:
    """Houses in rows up the hill, the highest first, trees between them, a church among them."""
    walls = "#f3e3c4 #e8b48a #d9795a #f0d08a #f7f0e2 #c9d6d8 #e59a86 #dcc09a".split()
    roofs = "#b5532f #9c4529 #c76a3c #8a3f2c".split()
    greens = ["#1f3f2c", "#4f7a3f", "#93a552"]
    for row in range(9):
        base, size, px = shore - (8 - row) * 25 * u, (0.62 + 0.055 * row) * u, 0.5 * w
        while px < w + 30 * u:
            px += rng.uniform(24, 40) * size
            if rise[min(int(px), w - 1)] > base - 20 * u:
                continue
            pen = Pen(draw, px, base + rng.uniform(-5, 5) * u, size)
            if row == 4 and abs(px - 0.80 * w) < 16 * u:
                _church(pen)
                px += 16 * u
            elif row < 8 and rng.random() < 0.28:
                for _ in range(14):
                    spot = pen.origin + size * np.array([rng.normal(0, 7), rng.uniform(-22, -4)])
                    green = tone(ramp(greens, rng.random()))
                    draw.circle(spot.tolist(), rng.uniform(4, 8) * size, green)
            else:
                _house(rng, pen, rgb(rng.choice(walls)), rgb(rng.choice(roofs)))


def _house(rng: Rng, pen: Pen, wall: Array, roof: Array) -> None:
    half, tall, side = rng.uniform(11, 16), rng.uniform(24, 42), rng.uniform(6, 10)
    right, back, eaves = half + side, side + half + 1, -tall
    pen.part(0.68 * wall, f"{half},0 {half},{eaves} {right},{eaves + 2} {right},0")
    pen.block(wall, -half, 0, 2 * half, tall)
    ridge, corner = eaves - 9, f"{half + 2},{eaves}"
    if rng.random() < 0.7:  # the roof's ridge runs along the front, else away from it
        top = f"{half + 1},{ridge}"
        pen.part(roof, f"{-half - 2},{eaves} {-half + 4},{ridge} {top} {corner}")
        pen.part(0.7 * roof, f"{corner} {top} {back},{eaves + 2}")
    else:
        top = f"0,{ridge - 3}"
        pen.part(roof, f"{-half - 2},{eaves} {top} {corner}")
        pen.part(0.75 * roof, f"{top} {side},{ridge - 1} {back},{eaves + 2} {corner}")
    pen.block(0.8 * roof, -half + 6, eaves - 7, 3, 7)
    shutter = rng.choice(["#3f6a5a", "#4a6a8a", "#7a4a3a", "#f7f0e2"])
    for up in np.arange(7, tall - 5, 10):
        for px in np.arange(-half + 3.5, half - 4, 7.5):
            pen.block(shutter, px - 1.2, -up, 6.4, 5.5)
            pen.block("#2c3a48", px + 0.3, -up, 3.4, 5.5)


def _church(pen: Pen) -> None:
    pen.block("#efe2c6", -12, 0, 22, 70)
    pen.part("#b9a68a", "10,0 10,-70 18,-68 18,0")
    pen.part("#4f7a78", "-14,-70 -1,-112 10,-70")
    pen.part("#365a5c", "10,-70 -1,-112 20,-68")
    pen.part("#3a4048", "-5,-50 -5,-62 -1,-66 3,-62 3,-50")
    pen.block("#f7f0e2", -6, -34, 10, 10)


def _lighthouse(pen: Pen, rocks: Array) -> None:
    """A striped tower and a keeper's house on rocks, each of five numbers in 0…1."""
    for k in range(9):
        (low, high), (wide, thin) = (22 + 14.2 * k, 36.2 + 14.2 * k), (19 - 0.9 * k, 18.1 - 0.9 * k)
        for left, right, colours in [
            (-1, 0.25, ("#fbf6ea", "#cf3b2c")),
            (0.25, 1, ("#b9bcc0", "#8a2822")),
        ]:
            band = [(left * wide, -low), (left * thin, -high), (right * thin, -high)]
            pen.part(colours[k % 2], np.array([*band, (right * wide, -low)]))
    pen.block("#2f3a44", -16, -150, 32, 5)
    pen.block("#ffe9a0", -8, -155, 16, 17)
    for px in (-8, -3, 2, 7):
        pen.block("#2f3a44", px, -155, 1.4, 17)
    pen.part("#b5342a", "-11,-172 0,-188 11,-172")
    pen.block("#f3ead6", 22, -20, 34, 22)
    pen.part("#b5532f", "19,-42 28,-56 52,-56 60,-42")
    pen.block("#34485a", 30, -26, 6, 9)
    pen.block("#34485a", 43, -26, 6, 9)
    stone = np.array([(-1, 0.4), (-0.6, -0.5), (0.4, -0.6), (1, 0.1), (0.5, 0.7)])
    for across, up, size, light, flat in rocks:
        px, radius = 10 + 115 * (across - 0.5) * (0.5 + across), 4 + 8 * size
        top = 30 * up * np.exp(-(((px - 12) / 46) ** 2)) - 4
        grey = ramp(["#3a3a3c", "#6f6a62", "#a89c86", "#5f6a4a"], light) * (0.75 + top / 60)
        pen.part(grey, stone * (radius, radius * (0.6 + 0.5 * flat)) + (px, -top))


def _sailboat(pen: Pen, sail: str, hull: str) -> None:
    pen.block("#4a3a30", -1, -8, 2, 110)
    t = np.linspace(0, 1, 12)
    leech = np.stack([3 + 44 * t + 9 * np.sin(np.pi * t), -112 + 96 * t], axis=1)
    pen.part(sail, np.concatenate([[(3, -14), (3, -114)], leech, [(40, -14)]]))
    pen.part(0.86 * rgb(sail), np.concatenate([[(3, -14), (3, -60)], leech[6:], [(40, -14)]]))
    pen.part(0.93 * rgb(sail), "-3,-104 -36,-14 -3,-18")
    pen.part(hull, "-44,-10 50,-12 38,5 -34,5")
    pen.part(1.35 * rgb(hull) + 20, "-44,-10 50,-12 48,-8 -42,-6")


def _trawler(pen: Pen) -> None:
    pen.part("#1f4f7a", "-86,-26 -40,-22 40,-22 96,-40 78,8 -74,8")
    pen.part("#b5392c", "-79,-2 84,-2 78,8 -74,8")
    pen.part("#f3efe2", "-86,-28 -40,-24 40,-24 97,-43 95,-36 40,-18 -40,-18 -84,-22")
    pen.part("#f7f3e6", "-34,-24 -34,-56 14,-56 18,-24")
    pen.part("#c9c4b6", "14,-56 24,-53 28,-24 18,-24")
    pen.part("#c8742f", "-39,-56 -36,-62 20,-62 27,-54")
    for px in (-29, -13, 3):
        pen.block("#2f4a5c", px, -36, 11, 14)
    for px, top in ((-52, -108), (42, -92)):
        pen.block("#5a4030", px - 1.2, -22, 2.4, -22 - top)
        for end in (-84, 94):
            pen.part("#3a3430", f"{px},{top} {px + 1},{top} {end},-30 {end - 1},-30")
    pen.part("#8a5a3a", "-51,-60 -2,-84 -1,-82 -51,-57")
    for px, colour in ((-80, "#d8432b"), (-71, "#f0b83a"), (-62, "#3f8a6a")):
        pen.block(colour, px, -26, 7, 8)


def _quay(rng: Rng, draw: ImageDraw.ImageDraw, h: int, w: int, u: float) -> None:
    """The near quay in the lower right corner: cobbles, bollards, barrels and crates."""
    edge = np.array([(1.01, 0.72), (0.70, 0.885), (0.60, 1.02)]) * (w, h)
    wall = np.concatenate([edge, edge[::-1] + np.array([0, 61 * u])])
    draw.polygon(wall.ravel().tolist(), tone("#4f4a44"))
    draw.polygon([*edge.ravel().tolist(), 1.01 * w, 1.02 * h], tone("#a39a88"))
    for py in np.arange(0.73, 1.02, 0.0105):
        left = np.interp(py * h, edge[:, 1], edge[:, 0]) + 8 * u
        step = (6 + 40 * (py - 0.72)) * u
        for px in np.arange(left + rng.uniform(0, step), w, step):
            box = [px, py * h, px + 0.88 * step, (py + 0.0088) * h]
            draw.rounded_rectangle(box, 1.5 * u, tone(rgb("#a59b88") * rng.uniform(0.78, 1.12)))
    draw.line(edge.ravel().tolist(), tone("#d8cfba"), round(5 * u), joint="curve")
    for px, py, size in [(0.745, 0.905, 1.0), (0.875, 0.825, 0.7)]:
        pen = Pen(draw, px * w, py * h, size * u)
        pen.part("#3a332c", "-6,0 40,4 44,9 2,8")
        pen.part("#1f2428", "-9,2 -6,-18 -11,-24 11,-24 6,-18 9,2")
        pen.part("#4a545c", "-6,0 -4,-18 -8,-23 -2,-23 -1,0")
    for px, py, size in [(0.905, 0.93, 1.0), (0.955, 0.945, 1.1), (0.935, 0.90, 0.9)]:
        pen = Pen(draw, px * w, py * h, size * u)
        pen.part("#4f463a", "-10,2 40,6 40,12 -6,10")
        pen.part("#9c6a3c", "-17,4 -20,-20 -17,-44 -8,-44 -10,-20 -8,4")
        pen.part("#b57f4a", "-8,4 -10,-20 -8,-44 0,-44 0,4")
        pen.part("#8a5a34", "0,4 0,-44 8,-44 10,-20 8,4")
        pen.part("#6a4428", "8,4 10,-20 8,-44 17,-44 20,-20 17,4")
        pen.block("#2f2f33", -18, -2, 36, 5)
        pen.block("#2f2f33", -18, -34, 36, 5)
    pen = Pen(draw, 0.80 * w, 0.975 * h, u)
    for px, height, colour in [(-26, 24, "#2f7a8a"), (4, 30, "#c8742f")]:
        pen.block(colour, px, 8, 28, height)
        for up in (0, -8):
            pen.block(0.7 * rgb(colour), px, up, 28, 1.5)
