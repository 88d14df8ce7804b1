"""Figures of transfer: what layers cost, like and tell, how far they move, where it pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from cnnlab.plots import canvas


def costs(
    panels: Mapping[str, Mapping[str, float]],
    *,
    units: Sequence[str] | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw bars of several costs side by side, a row for each part of a network.

    Args:
        panels: by heading, the value of each part, all with the same parts in the same order.
        units: a unit for each panel, written behind its values.
        title: figure title.

    Raises:
        ValueError: if panels differ in their parts.
    """
    names = list(next(iter(panels.values())))
    for heading, values in panels.items():
        if list(values) != names:
            raise ValueError(
                f"Expected the parts {names} in every panel. "
                f"Received: {list(values)} in {heading!r}"
            )
    units = [""] * len(panels) if units is None else units
    figure = canvas.new_figure(0.3 * len(names) + 0.5, title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, color, unit, (heading, values) in zip(
        axes, canvas.SERIES, units, panels.items(), strict=False
    ):
        sizes = np.array(list(values.values()), dtype=float)
        canvas.style_axes(ax, rules="")
        ax.barh(range(len(names)), sizes, color=color, height=0.62)
        for row, size in enumerate(sizes):
            _write(ax, f"{_digits(size)}{unit}", (size, row), (4, 0), ha="left")
        ax.set_xlim(0, 1.35 * sizes.max())
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        canvas.head(ax, heading)
    canvas.name_rows(axes[0], names)
    return figure


def score_lines(
    series: Mapping[str, Mapping[float, Sequence[float]]],
    *,
    xlabel: str,
    ticks: Mapping[float, str],
    ylabel: str = "accuracy",
    xscale: str = "linear",
    title: str | None = None,
) -> canvas.Figure:
    """Draw scores against a number: a line through the means, a dot for each seed.

    Args:
        series: by name, by x, scores in 0…1, one or several at each x.
        xlabel: what x is.
        ticks: the marks of the x axis and what they say.
        ylabel: what the scores are.
        xscale: "linear" or "log".
        title: figure title.
    """
    figure = canvas.new_figure(max(3.2, sum(canvas.label_heights(series)) + 0.7), title)
    ax = canvas.style_axes(figure.subplots(), xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale(xscale)
    ends = []
    for color, (name, scores) in zip(canvas.SERIES, series.items(), strict=False):
        x, means = list(scores), [float(np.mean(values)) for values in scores.values()]
        canvas.draw_line(ax, x, means, color, markersize=0)
        for place, values in scores.items():
            values = np.atleast_1d(values)
            ax.plot(np.full(values.size, place), values, "o", color=color, ms=5, alpha=0.75, mew=0)
        ends += canvas.line_end(x, means, name, color)
    ax.set_xticks(list(ticks), list(ticks.values()), minor=False)
    ax.set_xticks([], minor=True)
    canvas.percent(ax.yaxis)
    canvas.label_ends(ax, ends)
    return figure


def embedding(
    panels: Mapping[str, np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    axes_are: str = "principal component",
    title: str | None = None,
) -> canvas.Figure:
    """Draw pictures as points on a plane, coloured by class, with each class's name at its middle.

    Args:
        panels: by heading, (n, 2) places of the same n pictures.
        labels: (n,) integers that index `classes`.
        classes: names; beyond eight, colours come again and the names tell them apart.
        axes_are: what the two axes are, without a number.
        title: figure title.
    """
    figure = canvas.new_figure(canvas.WIDTH / max(2, len(panels)), title)
    for ax, (heading, points) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        canvas.style_axes(ax, xlabel=f"{axes_are} 1", ylabel=f"{axes_are} 2", rules="")
        ax.set(xticks=[], yticks=[])
        canvas.head(ax, heading)
        present = [index for index in range(len(classes)) if np.any(labels == index)]
        for index in present:
            ax.plot(*points[labels == index].T, "o", color=_color(index), ms=3, alpha=0.45, mew=0)
        for index in present:  # above every point
            middle = np.median(points[labels == index], axis=0)
            box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75}
            text = _write(ax, classes[index], tuple(middle), (0, 0), ha="center")
            darker = [0.75 * c for c in to_rgb(_color(index))]  # thin letters need more contrast
            text.set(bbox=box, weight="bold", color=darker)
    return figure


def changes(moved: Mapping[str, Mapping[str, float]], *, title: str | None = None) -> canvas.Figure:
    """Draw how far each layer's weights moved in each stage of a training.

    Args:
        moved: by stage, by layer's name, ‖change‖ / ‖weights before‖; 0 for frozen ones.
        title: figure title.
    """
    names = list(next(iter(moved.values())))
    figure = canvas.new_figure(0.21 * len(names) + 0.7, title)
    axes = figure.subplots(1, len(moved), sharex=True, sharey=True, squeeze=False)[0]
    peak = max(max(values.values()) for values in moved.values()) or 1.0
    for ax, color, (stage, values) in zip(axes, canvas.SERIES, moved.items(), strict=False):
        canvas.style_axes(ax, rules="x")
        ax.barh(range(len(names)), list(values.values()), color=color, height=0.7)
        for row, value in enumerate(values.values()):
            if not value:
                _write(ax, "frozen: 0", (0, row), (3, 0), ha="left").set_color(canvas.MUTED)
        ax.set_xlim(0, 1.05 * peak)
        canvas.percent(ax.xaxis)
        canvas.head(ax, stage)
    canvas.name_rows(axes[0], names)
    axes[0].tick_params(axis="y", labelsize=canvas.SMALL_SIZE)
    return figure


def _digits(value: float) -> str:
    """Three digits where there are decimals, all of them where there are none."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _color(index: int) -> str:
    return canvas.SERIES[index % len(canvas.SERIES)]


def _write(
    ax: Axes, text: str, point: tuple[float, float], offset: tuple[int, int], **style: object
) -> Annotation:
    """Write a small text some points beside a point of the data."""
    look = {"va": "center", "fontsize": canvas.SMALL_SIZE, "color": canvas.INK}
    return ax.annotate(text, point, offset, textcoords="offset points", **look | style)
