"""Runs as a table, one row each, for a notebook and for plain text."""

import html
from collections.abc import Iterable

from cnnlab.runs.comparison import AnyRun, last, percent, settings_text, telling_inputs

_COLUMNS = ("run", "settings", "weights", "epochs", "seconds", "of which first step")
_COLUMNS += ("train", "validation", "test")


def as_html(runs: Iterable[AnyRun], *, dated: bool = False) -> str:
    """Return an HTML table of runs, with the date of each if `dated`."""
    columns = ("date", *_COLUMNS) if dated else _COLUMNS
    head = "".join(f"<th style='text-align:left'>{c}</th>" for c in columns)
    rows = _rows(list(runs), dated=dated)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def as_text(runs: Iterable[AnyRun], *, dated: bool = False) -> str:
    """Return a line for each run, with its date if `dated`."""
    return "\n".join("  ".join(row) for row in _rows(list(runs), dated=dated)) or "no runs yet"


def _rows(runs: list[AnyRun], *, dated: bool) -> list[list[str]]:
    names = dict.fromkeys(run.name for run in runs)
    inputs = {name: telling_inputs([run for run in runs if run.name == name]) for name in names}
    dates = [[run.date[:16].replace("T", " ")] * dated for run in runs]
    return [date + _row(run, inputs[run.name]) for date, run in zip(dates, runs, strict=True)]


def _row(run: AnyRun, inputs: list[str]) -> list[str]:
    end = " (stopped)" if run.stopped else " (diverged)" if run.diverged else ""
    return [
        run.name,
        settings_text(run, inputs),
        f"{run.parameters:,}",
        f"{len(run.history.get('loss', ()))}{end}",
        f"{run.seconds:.1f}",
        f"{run.first_step_seconds:.1f}",
        *map(percent, (last(run, "accuracy"), last(run, "val_accuracy"), run.test_accuracy)),
    ]


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(text)}</td>"
