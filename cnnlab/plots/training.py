"""Figures of training runs: their curves, what each bought and cost, their learning rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnnlab.plots import canvas
from cnnlab.plots.charts import lines


class Run(Protocol):
    """What is read of a training run."""

    name: str
    settings: Mapping[str, object]
    history: Mapping[str, Sequence[float]]  # "loss", "val_loss", …: one value an epoch
    seconds: float
    test_accuracy: float | None


def learning_curves(
    runs: Iterable[Run],
    *,
    metrics: Sequence[str] = ("loss", "accuracy"),
    x: str = "epochs",
    title: str | None = None,
) -> canvas.Figure:
    """Draw training (dotted) and validation (solid) curves of up to 8 runs.

    A training value is a mean over its epoch, so it stands in the epoch's middle; a validation
    value stands at its end. Runs of one name are told apart by the settings that differ.

    Args:
        runs: Runs; those that didn't finish an epoch are left out.
        metrics: Keys of their histories, a panel for each, with "val_" + key where it exists.
        x: "epochs", or "seconds" (a run's seconds shared equally among its epochs).
        title: Figure title.

    Raises:
        ValueError: If no run has an epoch of any of the metrics, or `x` is neither.
    """
    _one_of(("epochs", "seconds"), x=x)
    runs = [run for run in runs if any(_values(run, metric).size for metric in metrics)]
    _some(runs, f"an epoch of {' or '.join(metrics)}")
    names = _run_names(runs)
    figure = canvas.new_figure(max(3.0, sum(canvas.label_heights(names)) + 0.7), title)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        canvas.style_axes(ax, xlabel=x)
        ends = []
        for i, (run, name) in enumerate(zip(runs, names, strict=True)):
            color = canvas.SERIES[i % len(canvas.SERIES)]
            train, val = _values(run, metric), _values(run, f"val_{metric}")
            step = 1.0 if x == "epochs" else run.seconds / max(1, train.size, val.size)
            middles = step * (np.arange(train.size) + 0.5)
            finishes = step * (np.flatnonzero(np.isfinite(val)) + 1)  # not in every epoch
            val = val[np.isfinite(val)]
            canvas.draw_line(ax, middles, train, color, linewidth=1.2, linestyle=":", mfc="white")
            canvas.draw_line(ax, finishes, val, color)
            ends += canvas.line_end(finishes, val, name, color) or canvas.line_end(
                middles, train, name, color
            )
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=x == "epochs"))
        if metric.endswith("accuracy"):
            canvas.percent(ax.yaxis)
        canvas.head(ax, metric)
    key = {"fontsize": canvas.SMALL_SIZE, "color": canvas.MUTED}
    panels[0].set_title("⋯○ training   —● validation", loc="right", **key)
    canvas.label_ends(panels[-1], ends)
    return figure


def ladder(
    runs: Iterable[Run],
    *,
    metric: str = "test_accuracy",
    interval: Callable[[float], tuple[float, float]] | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw what each rung of a ladder of models bought (accuracy) and cost (seconds).

    Runs that differ in nothing but the setting "seed" share a rung: a dot for their mean, a tick
    under it for each. A pale bar shows what the choice of the pictures leaves open about the mean;
    the ticks show what chance in training adds.

    Args:
        runs: Runs, the lowest rung first; those that weren't scored are left out.
        metric: "test_accuracy", or "val_accuracy" (of the last epoch).
        interval: Gives the ends of the bar from a rung's mean score, such as
            `lambda share: evaluation.wilson_interval(share, n)`; None draws no bars.
        title: Figure title.

    Raises:
        ValueError: If no run was scored, or `metric` is neither.
    """
    _one_of(("test_accuracy", "val_accuracy"), metric=metric)
    rungs: dict[tuple, list[Run]] = {}
    for run in runs:
        if _score(run, metric) is not None:
            settings = {key: repr(v) for key, v in run.settings.items() if key != "seed"}
            rungs.setdefault((run.name, *sorted(settings.items())), []).append(run)
    metric_name = metric.replace("val_", "validation ").replace("_", " ")
    _some(rungs, f"a {metric_name}")
    figure = canvas.new_figure(0.42 * len(rungs) + 0.6, title)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.6, 1])
    before = None
    for row, group in enumerate(rungs.values()):
        scores = np.array([_score(run, metric) for run in group])
        _draw_rung(left, row, scores, before, interval)
        before = float(scores.mean())
        seconds = float(np.mean([run.seconds for run in group]))
        right.barh(row, seconds, height=0.4, color=canvas.RULE)
        canvas.write(right, _duration(seconds), (seconds, row), beside=4)
    names = _run_names([group[0] for group in rungs.values()], ignore="seed")
    wrapped = [canvas.wrap(canvas.shorten(name, 66), 2.6) for name in names]
    canvas.name_rows(canvas.style_axes(left, rules="x"), wrapped)
    left.margins(x=0.2)
    left.set_xticks([tick for tick in left.get_xticks()[1:-1] if tick <= 1])
    canvas.percent(left.xaxis)
    canvas.head(left, metric_name)
    right.set_axis_off()
    right.margins(x=0.4)
    canvas.head(right, "training time")
    return figure


def schedule(
    rates: Mapping[str, Sequence[float]],
    *,
    steps_per_epoch: int | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw learning rates over training.

    Args:
        rates: By name, (steps,) the learning rate of each step.
        steps_per_epoch: Counts the x axis in epochs instead of steps.
        title: Figure title.
    """
    unit = steps_per_epoch or 1
    series = {name: (np.arange(len(values)) / unit, values) for name, values in rates.items()}
    xlabel = "epochs" if steps_per_epoch else "steps"
    return lines(series, xlabel=xlabel, ylabel="learning rate", title=title)


def _one_of(valid: tuple[str, ...], **named: str) -> None:
    for name, value in named.items():
        if value not in valid:
            raise ValueError(f"Expected {name} to be one of {valid}. Received: {name}={value!r}")


def _some(runs: Sequence[Run] | Mapping, need: str) -> None:
    if not runs:
        raise ValueError(f"Expected at least one run with {need}. Received: none. Train one first.")


def _values(run: Run, key: str) -> np.ndarray:
    return np.asarray(run.history.get(key, ()), dtype=float)


def _score(run: Run, metric: str) -> float | None:
    if metric == "test_accuracy":
        return run.test_accuracy
    values = _values(run, metric)
    values = values[np.isfinite(values)]
    return float(values[-1]) if values.size else None


def _run_names(runs: Sequence[Run], *, ignore: str | None = None) -> list[str]:
    """Name runs, adding to equal names what differs, and a count where nothing does.

    Settings that differ are added to equal names; then, to names that are still equal, the first
    two of the inputs that differ, for runs that list them as those of `cnnlab.runs` do.
    """
    settings = [{k: v for k, v in run.settings.items() if k != ignore} for run in runs]
    names = _told_apart([run.name for run in runs], settings)
    inputs = [{k: v for k, v in getattr(run, "inputs", {}).items() if k != ignore} for run in runs]
    names = _told_apart(names, inputs, most=2)
    earlier = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name} #{n + 1}" if n else name for name, n in zip(names, earlier, strict=True)]


def _told_apart(
    names: list[str], values: Sequence[Mapping[str, object]], *, most: int | None = None
) -> list[str]:
    """Add to equal names those of their values that differ."""
    told = []
    for name, own in zip(names, values, strict=True):
        twins = [value for other, value in zip(names, values, strict=True) if other == name]
        keys = dict.fromkeys(key for twin in twins for key in twin)
        differ = [key for key in keys if len({repr(twin.get(key)) for twin in twins}) > 1]
        shown = (f"{key}={_short(own[key])}" for key in differ[:most] if key in own)
        told.append(" ".join([name, *shown]))
    return told


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _draw_rung(
    ax: Axes,
    row: int,
    scores: np.ndarray,
    before: float | None,
    interval: Callable[[float], tuple[float, float]] | None,
) -> None:
    """Draw one rung: the step up from the mean of the one before, interval, mean and scores."""
    mean = float(scores.mean())
    low, high = interval(mean) if interval else (mean, mean)
    ax.plot([low, high], [row, row], color=canvas.PALE_BLUE, linewidth=9, solid_capstyle="butt")
    text, down = f"{mean:.1%}", before is not None and mean < before
    if before is not None:
        step = [before, before, mean]
        ax.plot(step, [row - 1, row, row], color=canvas.RULE, linewidth=1, zorder=1)
        text = f"{text}  {100 * (mean - before):+.1f}".replace("-", "−")
    ax.plot([mean], [row], "o", color=canvas.BLUE, markersize=6)
    if scores.size > 1:
        ax.plot(scores, np.full(scores.size, row + 0.3), "|", color=canvas.INK, markersize=6)
    beside = -7 if down else 7  # off the step's line
    canvas.write(ax, text, (low if down else high, row), beside=beside)
