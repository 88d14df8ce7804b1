"""Figures of scores: what is taken for what, and whether confidence is deserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.colors import Normalize

from cnnlab.plots import canvas


class Calibration(Protocol):
    """What is read of a calibration: arrays (bins,) over bins of equal width in 0…1, and its error.

    Of an empty bin nothing but the count is read.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray  # the ends of the accuracy's interval
    high: np.ndarray
    count: np.ndarray
    error: float


def confusion(
    matrix: np.ndarray,
    classes: Sequence[str],
    *,
    normalize: bool = False,
    title: str | None = None,
) -> canvas.Figure:
    """Draw a confusion matrix in which the errors stand out.

    A cell is coloured by its share of the true class: an error in orange, up to the largest one;
    a right answer (the recall) in pale blue, up to 1. Cells of 0 have no text; from 21 classes on
    no cell has, and from 31 on names give way to numbers. A class without pictures has a grey row.

    Args:
        matrix: (k, k) counts, rows = truth, columns = prediction.
        classes: k names.
        normalize: Write per cent of the row instead of counts.
        title: Figure title.

    Raises:
        ValueError: If matrix isn't (k, k).
    """
    counts, k = np.asarray(matrix), len(classes)
    if counts.shape != (k, k) or k == 0:
        raise ValueError(
            "Expected a matrix with a row and a column for each class. "
            f"Received: shape={counts.shape}, len(classes)={k}"
        )
    totals = counts.sum(axis=1, keepdims=True)
    share = np.ma.masked_invalid(np.where(totals > 0, counts / np.maximum(totals, 1), np.nan))
    diagonal = np.eye(k, dtype=bool)
    errors, recall = np.ma.masked_where(diagonal, share), np.ma.masked_where(~diagonal, share)
    side = float(np.clip(0.47 * k + 1.1, 3.2, 6.2))
    figure = canvas.new_figure(side, title, width=side + 1.9)
    ax = canvas.style_axes(figure.subplots(), xlabel="predicted", ylabel="truth", rules="")
    ax.set_facecolor(canvas.FAINT)
    ax.spines[:].set_visible(False)
    layers = [
        ax.imshow(cells, canvas.shades("white", color), Normalize(0, top), interpolation="nearest")
        for cells, color, top in (
            (errors, canvas.VERMILLION, errors.max() or 1.0),
            (recall, canvas.PALE_BLUE, 1.0),
        )
    ]
    for layer, label in zip(layers, ("errors, share of the true class", "recall"), strict=True):
        canvas.percent(canvas.color_bar(figure, layer, ax, label).ax.yaxis)
    if k <= 30:
        names = [canvas.shorten(name, 18) for name in classes]
        ax.set_xticks(range(k), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(k), names)
    if k <= 20:
        size = min(canvas.SMALL_SIZE, 72 * (side - 1.1) / k / 2.5)  # points: 3 digits in a cell
        for i, j in np.argwhere(counts > 0):
            layer = layers[int(i == j)]
            text = f"{100 * share[i, j]:.0f}" if normalize else f"{counts[i, j]:,}"
            color = canvas.ink_on(layer.cmap(layer.norm(share[i, j])))
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    return figure


def reliability(
    calibrations: Mapping[str, Calibration],
    *,
    least: int = 10,
    title: str | None = None,
) -> canvas.Figure:
    """Draw how often models are right against how sure they are, over histograms of confidence.

    A dot below the dashed diagonal is overconfidence. The thin line is its gap, the pale bar the
    interval of its accuracy: a gap that the bar covers may be chance.

    Args:
        calibrations: By model name, as `Report.calibration()` gives them.
        least: Pictures that a bin must hold to get a dot: of fewer, the interval is so wide that it
            says nothing. They are counted in the histogram and in the calibration error.
        title: Figure title.
    """
    n = len(calibrations)
    figure = canvas.new_figure(4.2, title, width=min(canvas.WIDTH, 1.0 + 3.6 * n))
    axes = figure.subplots(2, n, squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1])
    for (top, bottom), (name, calibration) in zip(axes.T, calibrations.items(), strict=True):
        count = np.asarray(calibration.count)
        confidence, accuracy, low, high = (
            np.asarray(getattr(calibration, field))[count >= max(1, least)]
            for field in ("confidence", "accuracy", "low", "high")
        )
        key = [
            top.plot([0, 1], [0, 1], "--", color=canvas.MUTED, linewidth=1, zorder=1)[0],
            top.plot(confidence, accuracy, "o", color=canvas.BLUE, ms=5, clip_on=False)[0],
            top.vlines(confidence, low, high, color=canvas.PALE_BLUE, linewidth=6, zorder=1.5),
            top.vlines(confidence, confidence, accuracy, color=canvas.VERMILLION, linewidth=1.5),
        ]
        for artist in key:
            artist.set_in_layout(False)  # without any dot it would ask for a place nowhere
        centres = (np.arange(len(count)) + 0.5) / len(count)
        share = count / max(1, count.sum())
        bottom.bar(centres, share, width=0.9 / len(count), color=canvas.RULE)
        canvas.head(top, f"{name}\ncalibration error {100 * calibration.error:.1f} points".strip())
        canvas.style_axes(top)
        canvas.style_axes(bottom, xlabel="confidence")
        top.set(xlim=(0, 1), ylim=(0, 1))
        for axis in (top.yaxis, bottom.yaxis, bottom.xaxis):
            canvas.percent(axis)
    for ax, label in zip(axes[:, 0], ("accuracy", "pictures"), strict=True):
        ax.set_ylabel(label, fontsize=canvas.TEXT_SIZE, color=canvas.MUTED)
    bins = f"a bin of {least} pictures or more" if least > 1 else "a bin"
    words = ("as sure as right", bins, "95 % interval", "gap")
    look = {"fontsize": canvas.SMALL_SIZE, "labelcolor": canvas.MUTED, "frameon": False}
    figure.legend(key, words, loc="outside lower left", ncols=len(words) if n > 1 else 2, **look)
    return figure
