"""Figures that look inside a network: filters, maps, receptive fields, heat maps over pictures.

Each has one honest scale, fixed at 0, and says what it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb, to_rgba

from cnnlab.plots import canvas
from cnnlab.plots.pictures import grid


def filters(
    kernels: np.ndarray | Mapping[str, np.ndarray],
    *,
    columns: int = 8,
    title: str | None = None,
) -> canvas.Figure:
    """Show first-layer filters as pictures, on one scale around 0 for all of them.

    A weight of 0 is mid-grey; the largest weight of the whole figure, whatever its sign, is full
    colour. So an untrained and a trained net's filters can be compared side by side.

    Args:
        kernels: (kh, kw, 3 or 1, filters) weights, or several such arrays by name.
        columns: Filters in a row.
        title: Figure title.

    Raises:
        ValueError: If the filters don't look at 1 or 3 channels.
    """
    panels = kernels if isinstance(kernels, Mapping) else {"": kernels}
    for array in panels.values():
        if np.ndim(array) != 4 or np.shape(array)[2] not in (1, 3):
            raise ValueError(
                "Expected kernels of shape (kh, kw, 3 or 1, filters), which are colours. "
                f"Received: shape={np.shape(array)}. Take a layer that reads the picture itself."
            )
    heading = 0.25 if any(panels) else 0.0
    largest = {name: float(np.abs(array).max()) for name, array in panels.items()}
    peak = max(largest.values()) or 1.0
    width = min(5.0, canvas.WIDTH / len(panels))
    rows = max(math.ceil(np.shape(array)[3] / columns) for array in panels.values())
    figure = canvas.new_figure(
        (width - 0.1) * rows / columns + 0.25 + heading, title, width=max(5.0, width * len(panels))
    )
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (name, array) in zip(axes, panels.items(), strict=True):
        colors = 127.5 * (1 + np.moveaxis(np.asarray(array, dtype=float), -1, 0) / peak)
        tiles = canvas.pixels(np.broadcast_to(colors, (*colors.shape[:3], 3)))
        canvas.show(ax, canvas.mosaic(tiles, columns, fill=255))
        canvas.head(ax, name)
        canvas.note(ax, f"weights up to ±{largest[name]:.2g}; grey is 0, full colour ±{peak:.2g}")
    return figure


def activation_maps(
    maps: Mapping[str, np.ndarray],
    image: np.ndarray,
    *,
    per_layer: int = 8,
    title: str | None = None,
) -> canvas.Figure:
    """Show what a network's layers answer to one picture, a row for each layer.

    White is 0 everywhere. A layer has one scale, from 0 to its largest answer (black), or, where
    it also gives negative ones, from blue to orange with as much on either side.

    Args:
        maps: (h, w, channels) for each layer name, from input to output.
        image: (h, w, 3) the picture that was put in.
        per_layer: Channels shown: those that vary most over the picture.
        title: Figure title.
    """
    cell = 6.6 / per_layer
    figure = canvas.new_figure((len(maps) + 1) * cell + 0.2, title)
    top, *axes = figure.subplots(len(maps) + 1, 1, squeeze=False)[:, 0]
    strip = np.full((per_layer, *np.shape(image)), 255, np.uint8)
    strip[0] = canvas.pixels(image)
    canvas.show(top, canvas.mosaic(strip, per_layer, fill=255))
    _name_row(top, "picture", np.shape(image), "")
    note = (
        f"White is 0. Each layer's {per_layer} channels that vary most, on the layer's own scale."
    )
    top.text(
        1.15 / per_layer, 0.5, note,
        transform=top.transAxes, va="center", fontsize=canvas.SMALL_SIZE, color=canvas.MUTED,
    )  # fmt: skip
    for ax, (name, answers) in zip(axes, maps.items(), strict=True):
        answers = np.asarray(answers, dtype=float)
        chosen = np.argsort(-answers.std(axis=(0, 1)), kind="stable")[:per_layer]
        strip = np.full((per_layer, *answers.shape[:2]), np.nan)
        strip[: len(chosen)] = np.moveaxis(answers[..., chosen], -1, 0)
        colors, norm = canvas.scale(answers)
        canvas.show(ax, canvas.mosaic(strip, per_layer, fill=np.nan), cmap=colors, norm=norm)
        peak, sign = float(np.abs(answers).max()), "±" if answers.min() < 0 else "0…"
        _name_row(ax, name, answers.shape, f"{sign}{peak:.2g}")
    return figure


def heatmaps(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray] | Mapping[str, Sequence[np.ndarray]],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 2,
    signed: bool = False,
    label: str = "evidence",
    title: str | None = None,
) -> canvas.Figure:
    """Draw pictures, and beside each the same picture under one or several heat maps.

    A map is clear where it is 0 and hides more of the picture the further it is from that. All
    share one scale with a colour bar: 0…1, or, signed, as far below 0 as above it.

    Args:
        images: Pictures, (n, h, w, 3) or a list of (h, w, 3).
        maps: n arrays (h, w), of the picture's size or coarser, in 0…1 unless `signed`. Or several
            such lists by name, such as the model's and the control's, drawn side by side.
        captions: A text above each picture.
        columns: Pictures, each with its maps, in a row.
        signed: For maps with negative values, such as occlusion's.
        label: What the colour means.
        title: Figure title.

    Raises:
        ValueError: If there is no picture, or not one map and one caption for each.
    """
    named = maps if isinstance(maps, Mapping) else {"": maps}
    n, each = len(images), 1 + len(named)
    captions = [""] * n if captions is None else captions
    for heats in (*named.values(), captions):
        if len(heats) != n:
            what = "caption" if heats is captions else "map"
            raise ValueError(
                f"Expected a {what} for each picture. "
                f"Received: len(images)={n}, len({what}s)={len(heats)}"
            )
    texts = [text for caption in captions for text in (caption, *named)]
    shown = [image for image in images for _ in range(each)]
    figure = grid(shown, texts, columns=columns * each, title=title)
    heats = [heats[i] for i in range(n) for heats in named.values()]
    peak = max(float(np.abs(heat).max()) for heat in heats) or 1.0
    norm, veil = Normalize(-peak if signed else 0, peak if signed else 1), _veil(signed=signed)
    covered = [ax for i, ax in enumerate(figure.axes) if i % each]
    for ax, heat in zip(covered, heats, strict=True):
        extent = ax.images[0].get_extent()
        ax.imshow(heat, cmap=veil, norm=norm, extent=extent, interpolation="nearest")
    shrink = min(1.0, 3.0 / figure.get_figwidth())
    figure.set_figheight(figure.get_figheight() + 0.6)
    place = {"location": "bottom", "shrink": shrink, "anchor": (0.0, 1.0)}
    canvas.color_bar(figure, ScalarMappable(norm, veil), figure.axes, label, **place)
    return figure


def receptive_fields(
    image: np.ndarray,
    gradients: Mapping[str, np.ndarray],
    boxes: Sequence[tuple[int, int]],
    *,
    title: str | None = None,
) -> canvas.Figure:
    """Draw what one unit of each layer sees: theory's square, and the pixels that really count.

    Args:
        image: (h, w, 3) picture, drawn pale underneath.
        gradients: (h, w) strength of the unit's gradient on each pixel, by the layer's name; each
            is drawn up to its own largest value, by its square root, which keeps the rim in view.
        boxes: First and last pixel of theory's square, down and across; it may end outside.
        title: Figure title.
    """
    figure = canvas.new_figure(8.3 / len(gradients), title)
    axes = np.atleast_1d(figure.subplots(1, len(gradients)))
    pale = 255 - 0.35 * (255 - np.asarray(image, dtype=float).mean(axis=-1, keepdims=True))
    for ax, (name, gradient), (first, last) in zip(axes, gradients.items(), boxes, strict=True):
        canvas.show(ax, canvas.pixels(pale.repeat(3, axis=-1)), anchor="C")
        strength = np.sqrt(gradient / (gradient.max() or 1))[..., None]
        color = np.broadcast_to(to_rgb(canvas.VERMILLION), (*gradient.shape, 3))
        ax.imshow(np.concatenate([color, strength], axis=-1), interpolation="nearest")
        limits = ax.axis()
        canvas.frame(ax, first, first, last - first + 1, last - first + 1, color=canvas.BLUE)
        ax.axis(limits)
        canvas.head(ax, name)
    return figure


def maps(
    rows: Mapping[str, Sequence[np.ndarray]],
    headings: Sequence[str],
    *,
    title: str | None = None,
) -> canvas.Figure:
    """Draw a table of maps and pictures; the maps of one row share their scale of colours.

    Args:
        rows: Arrays by the row's name: maps (h, w), grey where NaN, or pictures (h, w, 3).
        headings: A text for each column.
        title: Figure title.

    Raises:
        ValueError: If a row hasn't one array for each heading.
    """
    if not rows or not headings:
        raise ValueError(
            f"Expected at least one row and one heading. Received: {len(rows)} and {len(headings)}"
        )
    for name, arrays in rows.items():
        if len(arrays) != len(headings):
            raise ValueError(
                f"Expected {len(headings)} arrays in each row, one for each heading. "
                f"Received: {len(arrays)} in row {name!r}"
            )
    figure = canvas.new_figure(len(rows) * min(1.75, 7.2 / len(headings)) + 0.3, title)
    axes = figure.subplots(len(rows), len(headings), squeeze=False)
    for line, (name, arrays) in zip(axes, rows.items(), strict=True):
        values = [np.ravel(array) for array in arrays if array.ndim == 2]
        for ax, array in zip(line, arrays, strict=True):
            if array.ndim == 2:
                canvas.show_map(ax, array, *canvas.scale(np.concatenate(values)))
            else:
                canvas.show(ax, canvas.pixels(array), anchor="C")
        canvas.name_row(line[0], canvas.wrap(name, 1.2))
    for ax, text in zip(axes[0], headings, strict=True):
        canvas.head(ax, text)
    return figure


def _name_row(ax: Axes, name: str, shape: tuple[int, ...], scale: str) -> None:
    """Write a layer's name, the shape of its answer and its scale."""
    text = "\n".join(filter(None, (canvas.wrap(name, 1.3), "×".join(map(str, shape)), scale)))
    canvas.name_row(ax, text, size=canvas.SMALL_SIZE, color=canvas.MUTED)


def _veil(*, signed: bool) -> ListedColormap:
    """Make colours whose opacity grows with the distance from 0, to lie over a picture."""
    if signed:
        position = np.linspace(-1, 1, 255)
        ends = to_rgba(canvas.BLUE), to_rgba(canvas.VERMILLION)
        colors = np.array([ends[int(p > 0)] for p in position])
    else:
        position = np.linspace(0, 1, 256)
        colors = colormaps["inferno"](0.25 + 0.75 * position)  # not from black: it hides pictures
    colors[:, 3] = 0.75 * np.abs(position)
    return ListedColormap(colors)
