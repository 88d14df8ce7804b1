"""Charts of numbers of any origin: lines, time series, bars and points, each named where it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from cnnlab.plots import canvas


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    bands: Mapping[str, Sequence[float]] | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw named series, each named at the end of its line where there are several.

    Args:
        series: (x, y) by name, each (n,).
        xlabel: What x is, with its unit.
        ylabel: What y is, with its unit.
        xscale: "linear" or "log".
        yscale: "linear" or "log".
        bands: By a series' name, (n,): how far a pale band reaches above and below it, such as a
            standard error.
        title: Figure title.
    """
    figure = canvas.new_figure(max(3.0, sum(canvas.label_heights(series)) + 0.7), title)
    ax = canvas.style_axes(figure.subplots(), xlabel=xlabel, ylabel=ylabel)
    ax.set(xscale=xscale, yscale=yscale)
    ends = []
    for i, (name, (x, y)) in enumerate(series.items()):
        color = canvas.SERIES[i % len(canvas.SERIES)]
        canvas.draw_line(ax, x, y, color)
        if bands and name in bands:
            low, high = np.subtract(y, bands[name]), np.add(y, bands[name])
            ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        ends += canvas.line_end(x, y, name, color)
    if len(series) > 1:
        canvas.label_ends(ax, ends)
    return figure


def signals(
    series: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    *,
    spans: Sequence[tuple[int, int] | None] = (),
    title: str | None = None,
) -> canvas.Figure:
    """Draw time series under each other, each on its own scale, with a stretch shaded.

    Args:
        series: (steps,) by name, or several such lines to lay over each other; NaN leaves gaps.
        spans: First and last step of the stretch to shade in each panel, or None.
        title: Figure title.
    """
    figure = canvas.new_figure(1.1 * len(series) + 0.3, title)
    axes = np.atleast_1d(figure.subplots(len(series), 1, sharex=True))
    for i, (ax, (name, curves)) in enumerate(zip(axes, series.items(), strict=True)):
        canvas.style_axes(ax)
        curves = np.atleast_2d(curves)
        colors = itertools.cycle((canvas.INK, *canvas.SERIES[1:]))
        for curve, color in zip(curves, colors, strict=False):
            ax.plot(curve, color=color, lw=1.1 if len(curves) == 1 else 1.6)
        if i < len(spans) and spans[i] is not None:
            ax.axvspan(*spans[i], color=canvas.PALE_VERMILLION, lw=0, zorder=0)
        canvas.head(ax, name)
        ax.set_xlim(0, curves.shape[1] - 1)
    axes[-1].set_xlabel("step", fontsize=canvas.TEXT_SIZE, color=canvas.MUTED)
    return figure


def costs(
    panels: Mapping[str, Mapping[str, float]],
    *,
    units: Sequence[str] | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw bars of several costs side by side, a row for each part of a network.

    Args:
        panels: By heading, the value of each part, all with the same parts in the same order.
        units: A unit for each panel, written behind its values.
        title: Figure title.

    Raises:
        ValueError: If panels differ in their parts.
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
    colors = itertools.cycle(canvas.SERIES)
    for ax, unit, (heading, values) in zip(axes, units, panels.items(), strict=True):
        color = next(colors)
        sizes = np.array(list(values.values()), dtype=float)
        canvas.style_axes(ax, rules="")
        ax.barh(range(len(names)), sizes, color=color, height=0.62)
        for row, size in enumerate(sizes):
            canvas.write(ax, f"{_digits(size)}{unit}", (size, row), beside=4)
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
        series: By name, by x, scores in 0…1, one or several at each x.
        xlabel: What x is.
        ticks: The marks of the x axis and what they say.
        ylabel: What the scores are.
        xscale: "linear" or "log".
        title: Figure title.
    """
    figure = canvas.new_figure(max(3.2, sum(canvas.label_heights(series)) + 0.7), title)
    ax = canvas.style_axes(figure.subplots(), xlabel=xlabel, ylabel=ylabel)
    ax.set_xscale(xscale)
    ends = []
    for color, (name, scores) in zip(itertools.cycle(canvas.SERIES), series.items(), strict=False):
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


def score_panels(
    panels: Mapping[str, Mapping[str, Mapping[float, tuple[float, float]]]],
    *,
    xlabel: str,
    ylabel: str = "accuracy",
    title: str | None = None,
) -> canvas.Figure:
    """Draw scores with error bars against a number on a log scale, in several cases side by side.

    Args:
        panels: By heading, by name of a line, by x: a score in 0…1 and how far its error bar
            reaches above and below it. A name has one colour in all panels.
        xlabel: What x is.
        ylabel: What the scores are.
        title: Figure title.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colors = dict(zip(names, itertools.cycle(canvas.SERIES), strict=False))
    figure = canvas.new_figure(3.2, title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (heading, series) in zip(axes, panels.items(), strict=True):
        canvas.style_axes(ax, xlabel=xlabel, ylabel=ylabel if ax is axes[0] else "")
        ax.set_xscale("log")
        canvas.head(ax, canvas.wrap(heading, 0.8 * canvas.WIDTH / len(panels)))
        for name, points in series.items():
            scores, bars = zip(*points.values(), strict=True)
            look = {"color": colors[name], "capsize": 3, "elinewidth": 1.2, "label": name}
            ax.errorbar(list(points), scores, bars, fmt="o-", lw=2, ms=4, **look)
        marks = sorted({x for points in series.values() for x in points})
        ax.set_xticks(marks, [f"{mark:,g}" for mark in marks])
        ax.set_xticks([], minor=True)
    canvas.percent(axes[0].yaxis)
    last = list(panels.values())[-1]
    ends = [
        end
        for name, points in last.items()
        for end in canvas.line_end(
            list(points), [s for s, _ in points.values()], name, colors[name]
        )
    ]
    canvas.label_ends(axes[-1], ends)
    return figure


def embedding(
    panels: Mapping[str, np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    axes_are: str = "principal component",
    title: str | None = None,
) -> canvas.Figure:
    """Draw pictures as points on a plane, coloured by class, each class named near its middle.

    Args:
        panels: By heading, (n, 2) places of the same n pictures.
        labels: (n,) integers that index `classes`.
        classes: Names; beyond eight, colours come again and the names tell them apart.
        axes_are: What the two axes are, without a number.
        title: Figure title.
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
        middles = np.array([np.median(points[labels == index], axis=0) for index in present])
        places = _apart(ax, middles, [classes[index] for index in present])
        for index, middle, place in zip(present, middles, places, strict=True):
            darker = [0.75 * c for c in to_rgb(_color(index))]  # thin letters need more contrast
            ax.plot(*zip(middle, place, strict=True), color=darker, lw=1)
            box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75}
            look = {"bbox": box, "weight": "bold", "color": darker, "zorder": 4}
            canvas.write(ax, classes[index], tuple(place), **look)
    return figure


def changes(moved: Mapping[str, Mapping[str, float]], *, title: str | None = None) -> canvas.Figure:
    """Draw how far each layer's weights moved in each stage of a training.

    Args:
        moved: By stage, by layer's name, ‖change‖ / ‖weights before‖; 0 for frozen ones.
        title: Figure title.
    """
    names = list(next(iter(moved.values())))
    figure = canvas.new_figure(0.21 * len(names) + 0.7, title)
    axes = figure.subplots(1, len(moved), sharex=True, sharey=True, squeeze=False)[0]
    peak = max(max(values.values()) for values in moved.values()) or 1.0
    colors = itertools.cycle(canvas.SERIES)
    for ax, color, (stage, values) in zip(axes, colors, moved.items(), strict=False):
        canvas.style_axes(ax, rules="x")
        ax.barh(range(len(names)), list(values.values()), color=color, height=0.7)
        for row, value in enumerate(values.values()):
            if not value:
                canvas.write(ax, "frozen: 0", (0, row), beside=3, color=canvas.MUTED)
        ax.set_xlim(0, 1.05 * peak)
        canvas.percent(ax.xaxis)
        canvas.head(ax, stage)
    canvas.name_rows(axes[0], names)
    axes[0].tick_params(axis="y", labelsize=canvas.SMALL_SIZE)
    return figure


def _apart(ax: Axes, middles: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Find places for names near the middles of their classes where none covers another.

    Fixes the axes' limits. Two names that overlap push each other off, up and down or sideways,
    whichever is less, until none does.

    Args:
        ax: Axes whose points are drawn, the only row of its figure.
        middles: (n, 2) in data coordinates.
        names: n texts.

    Returns:
        float64 (n, 2), in data coordinates.
    """
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    panels = len(ax.figure.axes)
    panel = np.array([ax.figure.get_figwidth() / panels - 0.3, ax.figure.get_figheight() - 0.7])
    inches = panel / np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)  # of one unit of the data
    letter = canvas.SMALL_SIZE / 72
    sizes = np.array([[0.7 * letter * len(name) + 0.1, 1.8 * letter] for name in names])
    places = middles * inches
    for _ in range(500):
        moved = False
        for i, j in itertools.combinations(range(len(places)), 2):
            apart = places[j] - places[i]
            overlap = (sizes[i] + sizes[j]) / 2 - np.abs(apart)
            if overlap.min() > 1e-6:
                axis = overlap.argmin()
                push = np.copysign(overlap[axis] / 2, apart[axis])
                places[i, axis] -= push
                places[j, axis] += push
                moved = True
        if not moved:
            break
    return middles + (places - middles * inches) / inches  # exact where none was moved


def _digits(value: float) -> str:
    """Write three digits where there are decimals, all of them where there are none."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _color(index: int) -> str:
    return canvas.SERIES[index % len(canvas.SERIES)]
