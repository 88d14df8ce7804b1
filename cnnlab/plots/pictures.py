"""Figures of pictures and of what a model says about them.

Pictures are RGB, (h, w, 3), uint8 or float in 0…255; a batch has n in front. They are shown pixel
by pixel while they are small. Every function returns a new figure and leaves its arrays alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from cnnlab.plots import canvas
from cnnlab.plots.style import JPEGFigure

RIGHT_BAR, WRONG_BAR, OTHER_BAR = "#9AD6C2", "#F3B98F", "#D2D2D2"


def gallery(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    per_class: int = 8,
    max_classes: int = 20,
    title: str | None = None,
) -> JPEGFigure:
    """Show the first pictures of each class, one row a class.

    Args:
        images: (n, h, w, 3) pictures.
        labels: (n,) integers that index `classes`.
        classes: Names.
        per_class: Pictures in a row; a class that has fewer leaves the rest white.
        max_classes: Rows; a note counts the classes left out.
        title: Figure title.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    rows = min(len(classes), max_classes)
    tiles = np.full((rows * per_class, *images.shape[1:]), 255, np.uint8)
    for row in range(rows):
        chosen = canvas.pixels(images[np.flatnonzero(labels == row)[:per_class]])
        tiles[row * per_class : row * per_class + len(chosen)] = chosen
    cell = min(0.64, (canvas.WIDTH - 1.3) / per_class)
    height = rows * cell * images.shape[1] / images.shape[2] + 0.1
    width = min(canvas.WIDTH, per_class * cell + 1.7)
    figure = canvas.new_figure(height, title, width=width, kind=JPEGFigure)
    ax = figure.subplots()
    sheet = canvas.mosaic(tiles, per_class, fill=255)
    canvas.show(ax, sheet)
    names = [canvas.wrap(name, 1.6) for name in classes[:rows]]
    ax.set_yticks((np.arange(rows) + 0.5) * len(sheet) / rows - 0.5, names)
    ax.tick_params(length=0, labelsize=canvas.TEXT_SIZE, labelcolor=canvas.INK)
    if rows < len(classes):
        canvas.note(ax, f"the first {rows} of {len(classes)} classes")
    return figure


def grid(
    images: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    *,
    below: Sequence[str] | None = None,
    columns: int = 6,
    colors: Sequence[str] | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Show pictures, of one size or of several, in rows with texts above and below each.

    Args:
        images: Pictures, (n, h, w, 3) or a list of (h, w, 3).
        captions: A text above each picture.
        below: A text below each picture.
        columns: Pictures in a row.
        colors: A colour for each caption.
        title: Figure title.

    Raises:
        ValueError: If there is no picture, or a list hasn't one entry for each.
    """
    n = len(images)
    _some("images", images)
    captions = [""] * n if captions is None else captions
    below = [""] * n if below is None else below
    colors = [canvas.INK] * n if colors is None else colors
    _same_length(images=images, captions=captions, below=below, colors=colors)
    pictures = [canvas.pixels(image) for image in images]
    columns = min(columns, n)
    rows, cell = math.ceil(n / columns), min(2.0, canvas.WIDTH / columns - 0.1)
    above, below = ([canvas.wrap(text, cell) for text in texts] for texts in (captions, below))
    lines = sum(max(t.count("\n") + bool(t) for t in texts) for texts in (above, below))
    height = cell * max(p.shape[0] / p.shape[1] for p in pictures) + 0.17 * lines + 0.1
    width = max(4.0, columns * (cell + 0.1))
    figure = canvas.new_figure(rows * height, title, width=width)
    axes = figure.subplots(rows, max(columns, int(4.0 // cell)), squeeze=False)
    for ax, picture, head, foot, color in zip(
        axes[:, :columns].flat, pictures, above, below, colors, strict=False
    ):
        canvas.show(ax, picture)
        ax.set_title(head, fontsize=canvas.SMALL_SIZE, color=color, pad=3, linespacing=1.1)
        ax.set_xlabel(foot, fontsize=canvas.SMALL_SIZE, color=canvas.MUTED, labelpad=3)
    for ax in axes.flat:
        if not ax.images:
            ax.remove()
    return figure


def channels(image: np.ndarray, *, title: str | None = None) -> canvas.Figure:
    """Show a picture beside its red, green and blue planes, all from 0 (black) to 255 (white).

    Args:
        image: (h, w, 3) picture.
        title: Figure title.
    """
    pixels = canvas.pixels(image)
    planes = [np.repeat(pixels[..., c : c + 1], 3, axis=-1) for c in range(3)]
    means = [
        f"{name}, mean {plane.mean():.0f}"
        for name, plane in zip(("red", "green", "blue"), planes, strict=True)
    ]
    colors = [canvas.INK, canvas.VERMILLION, canvas.GREEN, canvas.BLUE]
    return grid([pixels, *planes], ["the picture", *means], columns=4, colors=colors, title=title)


def augmented(
    original: np.ndarray, versions: np.ndarray, *, columns: int = 10, title: str | None = None
) -> canvas.Figure:
    """Show a picture beside many augmented versions of it.

    Args:
        original: (h, w, 3) picture.
        versions: (n, h, w, 3) pictures.
        columns: Versions in a row.
        title: Figure title.

    Raises:
        ValueError: If there is no version.
    """
    _some("versions", versions)
    original, versions = canvas.pixels(original), canvas.pixels(versions)
    columns = min(columns, len(versions))
    rows, cell = math.ceil(len(versions) / columns), min(0.85, 6.6 / columns)
    aspect = original.shape[0] / original.shape[1]
    figure = canvas.new_figure(max(1.5, rows * cell) * aspect + 0.35, title)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, columns * cell])
    canvas.show(left, original)
    canvas.head(left, "the picture")
    canvas.show(right, canvas.mosaic(versions, columns, fill=255))
    canvas.head(right, f"{len(versions)} versions of it")
    return figure


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    indices: Sequence[int],
    *,
    count: int = 12,
    columns: int = 6,
    title: str | None = None,
) -> canvas.Figure:
    """Show wrong predictions: above each picture what the model said and how surely.

    Args:
        images: (n, h, w, 3) pictures.
        labels: (n,) true classes as integers.
        probabilities: (n, k) in 0…1.
        classes: k names.
        indices: Pictures to show, in the order to show them; may be empty.
        count: At most so many of them.
        columns: Pictures in a row.
        title: Figure title.
    """
    chosen = [int(i) for i in indices[:count]]
    if not chosen:
        figure = canvas.new_figure(0.3, title)
        style = {"fontsize": canvas.TEXT_SIZE, "color": canvas.MUTED}
        figure.text(0.005, 0.1, "No mistakes to show.", **style)
        return figure
    guesses = [int(np.argmax(probabilities[i])) for i in chosen]
    return grid(
        [images[i] for i in chosen],
        [f"{classes[g]} {probabilities[i][g]:.0%}" for i, g in zip(chosen, guesses, strict=True)],
        below=[f"truth: {classes[labels[i]]}" for i in chosen],
        columns=columns,
        colors=[canvas.VERMILLION] * len(chosen),
        title=title,
    )


def prediction_bars(
    images: Sequence[np.ndarray],
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    labels: Sequence[int] | None = None,
    k: int = 3,
    columns: int = 2,
    title: str | None = None,
) -> canvas.Figure:
    """Show each picture beside bars of its k most probable classes; a full bar is 100 %.

    Args:
        images: Pictures, (n, h, w, 3) or a list of (h, w, 3).
        probabilities: (n, classes) in 0…1.
        classes: Names.
        labels: True classes as integers: the right answer's bar is then green, a wrong first
            guess orange, and the truth stands under the picture.
        k: Bars for each picture.
        columns: Pictures in a row.
        title: Figure title.

    Raises:
        ValueError: If images, probabilities and labels differ in number, or there are none.
    """
    _some("images", images)
    truths = [None] * len(images) if labels is None else [int(label) for label in labels]
    _same_length(images=images, probabilities=probabilities, labels=truths)
    columns = min(columns, len(images))
    rows, width = math.ceil(len(images) / columns), canvas.WIDTH / max(2, columns)
    notes = ["" if t is None else f"truth: {canvas.shorten(classes[t], 30)}" for t in truths]
    notes = [canvas.wrap(note, 1.3) for note in notes]
    lines = max(note.count("\n") + bool(note) for note in notes)
    height = max(1.2, 0.28 * k) + 0.17 * lines
    figure = canvas.new_figure(rows * height, title, width=width * columns)
    axes = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 2.6] * columns)
    for ax in axes.flat[2 * len(images) :]:
        ax.remove()
    pairs = axes.reshape(-1, 2)[: len(images)]
    for (picture, bars), image, row, truth, note in zip(
        pairs, images, probabilities, truths, notes, strict=True
    ):
        canvas.show(picture, canvas.pixels(image))
        canvas.note(picture, note)
        _draw_bars(bars, np.asarray(row), classes, truth, k)
    return figure


def _some(name: str, pictures: Sequence) -> None:
    if len(pictures) == 0:
        raise ValueError(f"Expected at least one picture. Received: len({name})=0")


def _same_length(**named: Sequence) -> None:
    """Refuse arguments that should have one entry a picture and don't."""
    lengths = {f"len({name})": len(values) for name, values in named.items()}
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name}={n}" for name, n in lengths.items())
        raise ValueError(f"Expected one entry for each picture. Received: {received}")


def _draw_bars(
    ax: Axes, probabilities: np.ndarray, classes: Sequence[str], truth: int | None, k: int
) -> None:
    """Draw the k largest probabilities as bars that carry their names."""
    top = np.argsort(-probabilities, kind="stable")[:k]
    colors = [canvas.PALE_BLUE if truth is None else WRONG_BAR, *[OTHER_BAR] * (len(top) - 1)]
    colors = [RIGHT_BAR if c == truth else color for c, color in zip(top, colors, strict=True)]
    ax.barh(range(len(top)), np.ones(len(top)), color=canvas.FAINT, height=0.82)
    ax.barh(range(len(top)), probabilities[top], color=colors, height=0.82)
    for row, c in enumerate(top):
        weight = "bold" if c == truth else "normal"  # the right bar may be too short to be seen
        name = canvas.shorten(classes[c], 30)
        canvas.write(ax, name, (0.02, row), ha="left", weight=weight)
        canvas.write(ax, f"{probabilities[c]:.0%}", (0.985, row), ha="right")
    ax.set(xlim=(0, 1), ylim=(max(k, 3) - 0.5, -0.5))
    ax.set_axis_off()
