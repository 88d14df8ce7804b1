"""Figures of painted pictures, and of how a network's features judge them.

Pictures are RGB, (h, w, 3), uint8 or float in 0…255. Painted pictures are all fine detail, so a
notebook keeps these figures as JPEG, which takes a quarter of PNG's bytes.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from cnnlab.plots import canvas
from cnnlab.plots.descriptions import describe

LARGEST_CELL = 2.7  # inches
CONTENT = "\0content"  # no style's name
JPEG = {"format": "JPEG", "quality": 74, "optimize": True, "progressive": True}


class JPEGFigure(canvas.Figure):
    """A figure that a notebook shows, and keeps, as JPEG."""

    _repr_png_ = None

    def _repr_jpeg_(self) -> tuple[bytes, dict[str, str]]:
        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=self.dpi, facecolor=self.get_facecolor())
        Image.open(drawn).convert("RGB").save(small, **JPEG)
        return small.getvalue(), {"alt": describe(self)}


def board(
    rows: Mapping[str, Sequence[np.ndarray | None]],
    headings: Sequence[str] = (),
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> JPEGFigure:
    """Show a table of pictures, of any sizes and proportions, as large as the page allows.

    Args:
        rows: Pictures by the row's name ("" for none); None leaves a place white.
        headings: A text above each column.
        notes: A text below each picture, by the row's name.
        title: Figure title.

    Raises:
        ValueError: If there is no picture, or rows, headings and notes are not of one length.
    """
    columns = len(headings) or max(map(len, rows.values()), default=0)
    notes = {} if notes is None else notes
    counts = {f"row {n!r}": len(v) for n, v in rows.items()}
    counts |= {f"notes of {n!r}": len(v) for n, v in notes.items()}
    if not columns or set(counts.values()) != {columns} or not notes.keys() <= rows.keys():
        raise ValueError(
            f"Expected rows of {columns or 'at least one'} pictures, and notes, if any, of as many "
            f"texts under the names of rows. Received: {counts}, {len(headings)} headings"
        )
    letter = 0.62 * canvas.TEXT_SIZE / 72  # inches, as `canvas.wrap` counts
    names = min(1.0, letter * max(map(len, rows), default=0))  # room for the rows' names
    cell = min(LARGEST_CELL, (canvas.WIDTH - names) / columns - 0.08)
    texts = {n: [canvas.wrap(text, cell) for text in notes.get(n, [""] * columns)] for n in rows}
    heights = [
        cell * max((p.shape[0] / p.shape[1] for p in pictures if p is not None), default=0.1)
        + 0.17 * max(text.count("\n") + bool(text) for text in texts[name])
        + 0.08
        for name, pictures in rows.items()
    ]
    above = [canvas.wrap(text, cell) for text in headings] or [""] * columns
    top = 0.17 * max(text.count("\n") + bool(text) for text in above)
    width = max(4.0, names + columns * (cell + 0.08))
    figure = canvas.new_figure(sum(heights) + top, title, width=width, kind=JPEGFigure)
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture, text in zip(line, pictures, texts[name], strict=True):
            if picture is None:
                ax.set_axis_off()
            else:
                _paint(ax, picture)
                canvas.note(ax, text)
        canvas.name_row(line[0], canvas.wrap(name, 1.0), labelpad=4)
    for ax, text in zip(axes[0], above, strict=True):
        canvas.head(ax, text, size=canvas.SMALL_SIZE, pad=3)
    return figure


def contact_sheet(
    content: np.ndarray,
    pictures: Mapping[str, np.ndarray],
    *,
    columns: int = 3,
    caption: str = "the content",
    title: str | None = None,
) -> JPEGFigure:
    """Show one content in many styles: the content large, its paintings around it with their names.

    Args:
        content: What was painted.
        pictures: Paintings by the style's name, best of the content's proportions.
        columns: How many paintings fit into the figure's width; the content takes two by two.
        caption: What stands under the content.
        title: Figure title.

    Raises:
        ValueError: If there is no painting, or less than three columns.
    """
    if not pictures or columns < 3:
        raise ValueError(
            "Expected at least one painting and at least 3 columns. "
            f"Received: {len(pictures)} paintings, columns={columns}"
        )
    beside = 2 * (columns - 2)  # cells at the right of the content
    names = [*pictures, *[None] * (max(beside, len(pictures)) - len(pictures))]
    rows = [
        [CONTENT, CONTENT, *names[: beside // 2]],
        [CONTENT, CONTENT, *names[beside // 2 : beside]],
    ]
    rest = names[beside:]
    rest += [None] * (-len(rest) % columns)
    rows += [rest[i : i + columns] for i in range(0, len(rest), columns)]
    cell = canvas.WIDTH / columns
    height = cell * max(picture.shape[0] / picture.shape[1] for picture in pictures.values()) + 0.2
    figure = canvas.new_figure(height * len(rows), title, kind=JPEGFigure)
    axes = figure.subplot_mosaic(rows, empty_sentinel=None)
    for name, picture in {CONTENT: content, **pictures}.items():
        _paint(axes[name], picture)
        canvas.note(axes[name], caption if name == CONTENT else canvas.wrap(name, cell))
    return figure


def progress(
    image: np.ndarray,
    history: Mapping[str, Sequence[float]],
    *,
    steps: Sequence[int] | None = None,
    title: str | None = None,
) -> JPEGFigure:
    """Show a picture in the making beside the losses that pull at it, on a logarithmic scale.

    The figure has the same size at each step, so it can be updated in place.

    Args:
        image: The picture so far.
        history: (n,) by the term's name; a term that is 0 throughout is left out.
        steps: (n,) the steps at which the values were taken; None counts them from 1.
        title: Figure title.
    """
    figure = canvas.new_figure(3.3, title, kind=JPEGFigure)
    left, ax = figure.subplots(1, 2, width_ratios=[1, 1.15])
    _paint(left, image)
    canvas.style_axes(ax, xlabel="steps").set_yscale("log")
    ends = []
    for (name, values), color in zip(history.items(), itertools.cycle(canvas.SERIES), strict=False):
        values = np.asarray(values, dtype=float)
        shown = np.where(values > 0, values, np.nan)
        x = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)
        if np.isfinite(shown).any():
            canvas.draw_line(ax, x, shown, color)
            ends += canvas.line_end(x, shown, name, color)
    canvas.head(ax, "losses")
    canvas.label_ends(ax, ends)
    return figure


def gram(features: np.ndarray, pair: tuple[int, int], *, title: str | None = None) -> canvas.Figure:
    """Draw how one number of a Gram matrix is made: two maps, multiplied place by place, averaged.

    Args:
        features: (h, w, channels) what a layer answered.
        pair: The two channels.
        title: Figure title.

    Raises:
        ValueError: If there is no such channel.
    """
    features, (i, j) = np.asarray(features, dtype=float), pair
    h, w, channels = features.shape
    if not (0 <= i < channels and 0 <= j < channels):
        raise ValueError(f"Expected two channels in 0…{channels - 1}. Received: pair={pair}")
    matrix = np.einsum("hwi,hwj->ij", features, features) / (h * w)
    product = features[..., i] * features[..., j]
    figure = canvas.new_figure(1.85 * h / w + 0.35, title)
    axes = figure.subplots(1, 4)
    panels = {f"map {i}": features[..., i], f"×  map {j}": features[..., j], "=  product": product}
    for ax, (name, values) in zip(axes, panels.items(), strict=False):
        _heat(ax, values)
        canvas.head(ax, name)
    canvas.note(axes[2], f"mean over all places: {product.mean():.3g}")
    _heat(axes[3], matrix)
    canvas.head(axes[3], f"all {channels} × {channels} pairs")
    canvas.note(axes[3], f"ringed: {i} with {j}, {matrix[i, j]:.3g}")
    side = max(1.0, channels / 12)
    frame = {"fill": False, "ec": canvas.VERMILLION, "lw": 1.6}
    axes[3].add_patch(Rectangle((j - side / 2, i - side / 2), side, side, **frame))
    return figure


def close_ups(
    image: np.ndarray,
    corners: Sequence[tuple[int, int]],
    *,
    side: int = 200,
    title: str | None = None,
) -> JPEGFigure:
    """Show a large picture whole, and beside it places of it, about pixel by pixel.

    Args:
        image: The picture.
        corners: Row and column of the first pixel of each place, one or more.
        side: Pixels of a place, down and across.
        title: Figure title.

    Raises:
        ValueError: If a place isn't inside the picture.
    """
    image = canvas.pixels(image)
    h, w = image.shape[:2]
    for row, column in corners:
        if min(row, column) < 0 or row + side > h or column + side > w:
            raise ValueError(
                f"Expected places of {side} pixels inside the picture of {h} × {w}. "
                f"Received: corners={list(corners)}"
            )
    width = 8.3 / (1 + h / w / len(corners))  # of the whole, so that the places stack as high
    figure = canvas.new_figure(width * h / w + 0.3, title, kind=JPEGFigure)
    whole, *places = figure.subplot_mosaic(
        [["whole", f"place {i}"] for i in range(len(corners))], width_ratios=[width, 8.3 - width]
    ).values()
    _paint(whole, image)
    canvas.note(whole, f"all {w} × {h} pixels; beside them the framed places of {side} × {side}")
    for ax, (row, column) in zip(places, corners, strict=True):
        _paint(ax, image[row : row + side, column : column + side])
        corner = (column - 0.5, row - 0.5)
        whole.add_patch(Rectangle(corner, side, side, fill=False, ec="white", lw=1.4))
    return figure


def _paint(ax: Axes, picture: np.ndarray) -> None:
    """Draw a picture, smoothed where it is shrunk: decimated brush strokes would glitter."""
    canvas.show(ax, canvas.pixels(picture))
    ax.images[0].set_interpolation("antialiased")


def _heat(ax: Axes, values: np.ndarray) -> None:
    """Draw numbers from 0 up as a map from white to black."""
    colors, norm = canvas.scale(np.maximum(values, 0))
    canvas.show(ax, values, cmap=colors, norm=norm)
    ax.spines[:].set(visible=True, color=canvas.RULE)
