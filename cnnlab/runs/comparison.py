"""In what runs differ: the inputs that tell runs of one name apart, and two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

_MOST = 3  # inputs shown of a run in a table
_MOST_LINES = 8  # inputs shown of two runs


class AnyRun(Protocol):
    """What is read of a run, of this kernel or of an earlier one."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, object]: ...
    @property
    def inputs(self) -> Mapping[str, object]: ...
    @property
    def history(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def first_step_seconds(self) -> float: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def diverged(self) -> bool: ...
    @property
    def test_accuracy(self) -> float | None: ...
    @property
    def date(self) -> str: ...


class Comparison:
    """Two runs side by side, in a few lines: what differed in them, and what came of it."""

    def __init__(self, run: AnyRun, other: AnyRun):
        self._runs = run, other

    def __repr__(self) -> str:
        run, other = self._runs
        lines = [("", _title(run), _title(other))]
        differ = [(key, _text(a), _text(b)) for key, a, b in differences(run, other)]
        lines += differ[:_MOST_LINES]
        if len(differ) > _MOST_LINES:
            lines.append((f"and {len(differ) - _MOST_LINES} more", "", ""))
        lines += _results(run, other)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join(rows)


def differences(run: AnyRun, other: AnyRun) -> list[tuple[str, object, object]]:
    """List what went into two runs with different values: name, the one's, the other's.

    Of inputs that only one of them has nothing is said: another optimizer or another layer, which
    is said, brings inputs of its own along.
    """
    settings = dict.fromkeys([*run.settings, *other.settings])
    found = [(key, run.settings.get(key, "–"), other.settings.get(key, "–")) for key in settings]
    found = [(key, a, b) for key, a, b in found if _text(a) != _text(b)]
    keys = telling_inputs([run, other])
    return found + [(key, run.inputs[key], other.inputs[key]) for key in keys]


def telling_inputs(runs: Sequence[AnyRun]) -> list[str]:
    """List the inputs in which runs differ and that no setting tells.

    Returns:
        Keys of `AnyRun.inputs` that all the runs have, the most general first.
    """
    settings = dict.fromkeys(key for run in runs for key in run.settings)
    told = [[_text(run.settings.get(key)) for run in runs] for key in settings]
    keys = [key for key in runs[0].inputs if all(key in run.inputs for run in runs)]
    values = {key: [_text(run.inputs[key]) for run in runs] for key in keys}
    found = [key for key, texts in values.items() if len(set(texts)) > 1 and texts not in told]
    # A fingerprint, which says something only where nothing else does.
    return [key for key in found if key != "connections"] or found


def settings_text(run: AnyRun, inputs: Sequence[str]) -> str:
    """Say a run's settings, and the first few of its inputs that are named."""
    words = [f"{key} {_text(value)}" for key, value in run.settings.items()]
    words += [f"{key} {_text(run.inputs[key])}" for key in inputs[:_MOST]]
    return ", ".join(words) + (", …" if len(inputs) > _MOST else "")


def last(run: AnyRun, metric: str) -> float | None:
    """Return the newest value of a metric, None if there is none."""
    values = [value for value in run.history.get(metric, ()) if not math.isnan(value)]
    return values[-1] if values else None


def percent(share: float | None) -> str:
    """Write a share in percent, None as a dash."""
    return "–" if share is None else f"{share:.2%}"


def _title(run: AnyRun) -> str:
    return f"{run.name}, {run.date[:16].replace('T', ' ')}"


def _results(run: AnyRun, other: AnyRun) -> list[tuple[str, str, str]]:
    """Say what came of two runs: epochs, seconds, and the accuracies that both have."""
    made = [str(len(each.history.get("loss", ()))) for each in (run, other)]
    lines = [("epochs made", made[0], made[1])]
    lines.append(("seconds", f"{run.seconds:.1f}", f"{other.seconds:.1f}"))
    scores = {key: (last(run, key), last(other, key)) for key in ("accuracy", "val_accuracy")}
    scores["test accuracy"] = run.test_accuracy, other.test_accuracy
    for key, (a, b) in scores.items():
        if a is None and b is None:
            continue
        gain = "" if a is None or b is None else f" ({100 * (b - a):+.2f} points)"
        name = {"accuracy": "train accuracy", "val_accuracy": "validation accuracy"}.get(key, key)
        lines.append((name, percent(a), percent(b) + gain))
    return lines


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
