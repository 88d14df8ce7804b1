"""Drawings of how a convolution computes, from real arrays: sliding filters, sums, what they cost.

The notebook computes; these functions draw what they are given. Pictures are RGB, (h, w, 3), uint8
or float in 0…255. Signed numbers are vermillion above 0, white at 0 and blue below, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import ConnectionPatch, Polygon, Rectangle
from matplotlib.transforms import Affine2D

from cnnlab.plots import canvas

LIGHTS = {"red": "#E5432D", "green": "#2BA84A", "blue": "#2F6FDE"}
SQUEEZE, SLANT = 0.5, 0.3  # a plane in oblique projection: how narrow it gets, how far it rises


def volumes(
    stages: Mapping[str, np.ndarray], *, arrows: Sequence[str] = (), title: str | None = None
) -> canvas.Figure:
    """Draw 3-D volumes as what they are: planes, one a channel, standing side by side.

    Args:
        stages: (h, w, channels) by name, in order. A uint8 volume of 3 channels is drawn as red,
            green and blue light, any other on one scale for all its planes.
        arrows: Texts over the arrows between neighbours.
        title: Figure title.
    """
    figure = canvas.new_figure(2.7, title)
    ax = _board(figure.subplots())
    x = 0.0
    for i, (name, volume) in enumerate(stages.items()):
        h, w, depth = volume.shape
        tall, wide = h / max(h, w), w / max(h, w)
        step = min(0.45, 1.9 / depth)
        scales = [canvas.scale(volume)] * depth
        if volume.dtype == np.uint8 and depth == 3:
            scales = [_light("black", light, 255) for light in LIGHTS.values()]
        for c, scale in enumerate(scales):
            _plane(ax, volume[..., c], (x + c * step, 1 - tall), (wide, tall), *scale)
        end = x + (depth - 1) * step + SQUEEZE * wide
        canvas.write(ax, name, ((x + end) / 2, 1.12), size=canvas.TEXT_SIZE)
        size = " × ".join(map(str, volume.shape))
        canvas.write(ax, size, ((x + end) / 2, 1.27), color=canvas.MUTED)
        x = end
        if i < len(stages) - 1:
            _arrow(ax, (x + 0.15, 0.45), (x + 1.25, 0.45))
            text = arrows[i] if i < len(arrows) else ""
            canvas.write(ax, text, (x + 0.7, 0.40), va="bottom")
            x += 1.4
    ax.set(xlim=(-0.05, x + 0.05), ylim=(1.34, -SLANT - 0.05))
    return figure


def dot_product(
    image: np.ndarray, kernel: np.ndarray, at: tuple[int, int], *, title: str | None = None
) -> canvas.Figure:
    """Draw how one number of a map is made: patch × filter in every channel, all of it summed.

    Args:
        image: (h, w, 3) picture.
        kernel: (kh, kw, 3) one filter.
        at: Row and column of the patch's top-left pixel.
        title: Figure title.

    Raises:
        ValueError: If the patch isn't inside the picture.
    """
    (kh, kw, depth), (row, column) = kernel.shape, at
    patch = np.asarray(image)[row : row + kh, column : column + kw].astype(float)
    if min(at) < 0 or patch.shape != kernel.shape:
        raise ValueError(
            f"Expected a patch of {kernel.shape} inside the picture of {np.shape(image)}. "
            f"Received: at={at}"
        )
    figure = canvas.new_figure(4.0, title)
    text = {"size": canvas.TEXT_SIZE}
    left, ax = figure.subplots(1, 2, width_ratios=[1, 2.2])
    canvas.show(left, canvas.pixels(image), anchor="C")
    canvas.frame(left, row, column, kh, kw)
    canvas.head(left, "one patch of the picture")
    _board(ax)
    products = patch * kernel
    blocks = {"patch": patch, "×  filter": kernel, "=  products": products}
    cell = 1.25  # a cell's width; its height is 1
    for i, (name, values) in enumerate(blocks.items()):
        x = i * (kw * cell + 0.9)
        canvas.write(ax, name, (x + kw * cell / 2, -0.55), **text)
        for c, light in enumerate(LIGHTS.values()):
            scale = _light("white", light, 400) if i == 0 else canvas.scale(values, 1.6)
            _cells(ax, values[..., c], (x, c * (kh + 0.5)), *scale, width=cell)
    end = 3 * kw * cell + 1.8
    canvas.write(ax, "sums", (end + 2.1, -0.55), **text)
    for c, (name, light) in enumerate(LIGHTS.items()):
        y = c * (kh + 0.5) + kh / 2
        canvas.write(ax, name, (-0.3, y), ha="right", color=light, **text)
        _arrow(ax, (end + 0.15, y), (end + 1.1, y))
        canvas.write(ax, _number(products[..., c].sum()), (end + 2.1, y), **text)
    bottom = depth * (kh + 0.5) + 0.7
    box = {"fc": canvas.PALE_VERMILLION, "ec": canvas.VERMILLION, "lw": 1.5}
    ax.add_patch(Rectangle((end + 1.0, bottom - 0.6), 2.2, 1.2, **box))
    canvas.write(ax, _number(products.sum()), (end + 2.1, bottom), **text, weight="bold")
    summed = "all three channels summed: one number of the map"
    canvas.write(ax, summed, (end + 0.8, bottom), **text, ha="right")
    ax.set(xlim=(-1.9, end + 3.3), ylim=(bottom + 0.7, -1.0))
    for y0, y1 in ((row - 0.5, 0), (row + kh - 0.5, kh)):
        zoom = ConnectionPatch((column + kw - 0.5, y0), (0, y1), "data", axesA=left, axesB=ax)
        zoom.set(color=canvas.VERMILLION, lw=0.8, alpha=0.7)
        figure.add_artist(zoom)
    return figure


def sliding(
    image: np.ndarray,
    feature_map: np.ndarray,
    *,
    kernel_size: int,
    counts: Sequence[int],
    stride: int = 1,
    title: str | None = None,
) -> canvas.Figure:
    """Draw a map growing, number by number, as its filter slides over the picture.

    Args:
        image: (h, w, 3) picture, padded already if the filter was to start outside.
        feature_map: (rows, columns) the finished map.
        kernel_size: Side of the square filter.
        counts: How many numbers are done, a column of the drawing for each.
        stride: Pixels from one position to the next.
        title: Figure title.
    """
    numbers = np.asarray(feature_map, dtype=float).ravel()
    cell, (h, w) = 8.2 / len(counts), np.shape(image)[:2]
    figure = canvas.new_figure(2 * cell * h / w, title)
    pairs = figure.subplots(2, len(counts), squeeze=False).T
    for (above, below), count in zip(pairs, counts, strict=True):
        row, column = divmod(count - 1, feature_map.shape[1])
        canvas.show(above, canvas.pixels(image), anchor="C")
        canvas.frame(above, row * stride, column * stride, kernel_size, kernel_size)
        canvas.head(above, f"number {count:,} of {numbers.size:,}")
        done = np.where(np.arange(numbers.size) < count, numbers, np.nan)
        canvas.show_map(below, done.reshape(feature_map.shape), *canvas.scale(numbers))
        canvas.frame(below, row, column, 1, 1)
    return figure


def output_sizes(
    cases: Iterable[tuple[int, int, int, str]], *, title: str | None = None
) -> canvas.Figure:
    """Draw one row of pixels under a filter: where it can stand, so how many numbers come out.

    "same" pads as TensorFlow does: the least that gives ceil(n / stride), the odd one at the end.

    Args:
        cases: (pixels, filter size, stride, "valid" or "same") for each strip.
        title: Figure title.

    Raises:
        ValueError: If a padding is neither.
    """
    cases = list(cases)
    rows, longest = -(-len(cases) // 2), max(n + 2 * (k // 2) for n, k, _, _ in cases)
    figure = canvas.new_figure(1.95 * rows, title)
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax in axes:
        _board(ax).set(xlim=(-0.1, longest + 0.3), ylim=(4.2, -0.15))
    for ax, (n, k, stride, padding) in zip(axes, cases, strict=False):
        if padding not in ("valid", "same"):
            raise ValueError(
                f'Expected padding to be "valid" or "same". Received: padding={padding!r}'
            )
        added = max((-(-n // stride) - 1) * stride + k - n, 0) if padding == "same" else 0
        before, count = added // 2, (n + added - k) // stride + 1
        origin = k // 2 - before  # pixels of all strips stand under each other
        canvas.head(ax, f"stride {stride}, “{padding}”: {n} pixels in, {count} numbers out")
        for i in range(n + added):
            pixel, seen = before <= i < before + n, i < (count - 1) * stride + k
            face, edge = (canvas.PALE_BLUE, "white") if pixel and seen else ("white", canvas.RULE)
            line = "-" if pixel else ":"
            ax.add_patch(Rectangle((origin + i, 0), 1, 1, fc=face, ec=edge, ls=line))
            text = "0" if not pixel else "" if seen else "not\nseen"
            canvas.write(ax, text, (origin + i + 0.5, 0.5), size=7, color=canvas.MUTED)
        for j in range(count):
            x, y, color = origin + j * stride, 1.4 + 0.42 * (j % k), canvas.SERIES[j % 4]
            ax.plot([x + 0.08, x + k - 0.08], [y, y], color=color, lw=4, solid_capstyle="butt")
            ax.plot([x + k / 2] * 2, [y, 3.1], color=color, lw=0.8)
            ax.add_patch(Rectangle((x + k / 2 - 0.42, 3.1), 0.84, 0.84, fc=color, ec="white"))
    return figure


def matrices(
    panels: Mapping[str, np.ndarray],
    *,
    window: int = 0,
    numbers: bool = True,
    title: str | None = None,
) -> canvas.Figure:
    """Draw matrices beside each other: cells of one size, one scale of colours.

    Args:
        panels: (rows, columns) by name.
        window: Side of the squares that thick lines divide the first matrix into; 0 for none.
        numbers: Whether to write the numbers into the cells.
        title: Figure title.
    """
    widths = [values.shape[1] for values in panels.values()]
    gap = max(1.0, 0.08 * sum(widths))
    across, down = sum(widths) + gap * (len(widths) - 1), max(len(v) for v in panels.values())
    cell = min(8.2 / across, 3.3 / down)  # inches
    figure = canvas.new_figure(cell * down + 0.3, title)
    ax = _board(figure.subplots())
    everything = np.concatenate([np.ravel(values) for values in panels.values()])
    scale = canvas.scale(everything, 1.6 if numbers else 1)
    x = 0.0
    for i, (name, values) in enumerate(panels.items()):
        h, w = values.shape
        _cells(ax, values, (x, 0), *scale, numbers=numbers)
        if i == 0 and window:
            ax.vlines(np.arange(0, w + 1, window), 0, h, color=canvas.INK, lw=1.4)
            ax.hlines(np.arange(0, h + 1, window), 0, w, color=canvas.INK, lw=1.4)
        canvas.write(ax, name, (x, -0.08 / cell), ha="left", va="bottom", size=canvas.TEXT_SIZE)
        x += w + gap
    ax.set(xlim=(-0.1, across + 0.1), ylim=(down + 0.1, -0.3 / cell), anchor="W")
    return figure


def areas(counts: Mapping[str, int], *, title: str | None = None) -> canvas.Figure:
    """Draw counts as areas on one scale, so that a ratio of thousands can be seen.

    Args:
        counts: Positive numbers by name; the largest is the field, the others squares below it.
        title: Figure title.
    """
    (name, largest), *others = sorted(counts.items(), key=lambda item: -item[1])
    sides = [2 * (count / largest) ** 0.5 for _, count in others]  # the field is 4 by 1
    heights = [max(side, 0.12) for side in sides]  # room for the text
    figure = canvas.new_figure(2.1 * (1.1 + sum(heights) + 0.06 * len(heights)), title)
    ax = _board(figure.subplots())
    ax.add_patch(Rectangle((0, 0), 4, 1, color=canvas.BLUE, lw=0))
    canvas.write(ax, f"{name}: {largest:,}", (2, 0.5), color="white", size=canvas.TITLE_SIZE)
    y = 1.06
    for (name, count), side, height in zip(others, sides, heights, strict=True):
        middle = y + height / 2
        ax.add_patch(Rectangle((0.02, middle - side / 2), side, side, fc=canvas.VERMILLION))
        _arrow(ax, (side + 0.3, middle), (side + 0.04, middle))
        text = f"{name}: {count:,}"
        canvas.write(ax, text, (side + 0.33, middle), ha="left", size=canvas.TITLE_SIZE)
        y += height + 0.06
    ax.set(xlim=(0, 4), ylim=(y, 0), anchor="W")
    return figure


def _board(ax: Axes) -> Axes:
    """Turn axes into a board to draw on: no scales, a unit as long down as across."""
    ax.set_axis_off()
    ax.set_aspect("equal")
    return ax


def _light(zero: str, light: str, top: float) -> tuple[Colormap, Normalize]:
    """Choose colours for amounts of one light, from 0 to the top."""
    return canvas.shades(zero, light), Normalize(0, top)


def _plane(
    ax: Axes,
    values: np.ndarray,
    corner: tuple[float, float],
    size: tuple[float, float],
    cmap: Colormap,
    norm: Normalize,
) -> None:
    """Draw a matrix as a plane that leads away to the right and up."""
    wide, tall = size
    lean = Affine2D(np.array([[SQUEEZE, 0, corner[0]], [-SLANT, 1, corner[1]], [0, 0, 1]]))
    picture = ax.imshow(values, cmap, norm, extent=(0, wide, tall, 0), interpolation="nearest")
    outline = Polygon([(0, 0), (wide, 0), (wide, tall), (0, tall)], fill=False, ec=canvas.MUTED)
    outline.set_linewidth(0.7)
    for artist in (picture, ax.add_patch(outline)):
        artist.set(transform=lean + ax.transData, zorder=2 + corner[0])  # the right one in front


def _cells(
    ax: Axes,
    values: np.ndarray,
    corner: tuple[float, float],
    cmap: Colormap,
    norm: Normalize,
    *,
    width: float = 1,
    numbers: bool = True,
) -> None:
    """Draw a matrix as cells of height 1 from its top-left corner on, with its numbers in them."""
    (x, y), (h, w) = corner, values.shape
    extent = (x, x + w * width, y + h, y)
    ax.imshow(values, cmap, norm, extent=extent, interpolation="nearest")
    ax.vlines(x + width * np.arange(1, w), y, y + h, color="white", lw=0.8)
    ax.hlines(y + np.arange(1, h), x, x + w * width, color="white", lw=0.8)
    ax.add_patch(Rectangle(corner, w * width, h, fill=False, ec=canvas.RULE, lw=0.8))
    for (i, j), value in np.ndenumerate(values if numbers else np.empty((0, 0))):
        ink = canvas.ink_on(cmap(norm(value))[:3])
        place = (x + (j + 0.5) * width, y + i + 0.5)
        canvas.write(ax, _number(value), place, color=ink)


def _number(value: float) -> str:
    """Write a number: whole ones without decimals, with a true minus sign."""
    text = f"{value:,.0f}" if abs(value - round(value)) < 1e-6 else f"{value:,.1f}"
    return text.replace("-", "−")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": canvas.MUTED, "lw": 1})
