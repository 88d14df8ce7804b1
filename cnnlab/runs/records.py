"""Runs on disk, one JSON line each, in a file that several kernels may write to at once."""

from __future__ import annotations

import functools
import json
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import keras
import tensorflow as tf

from cnnlab.runs.comparison import AnyRun, Comparison
from cnnlab.runs.inputs import plain
from cnnlab.runs.table import as_html, as_text

FILE = "log.jsonl"
KERNEL = secrets.token_hex(4)  # of this process
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class EarlierRun:
    """A run as it was written down; its attributes are those of `Run`.

    Attributes:
        id: Of the run: its kernel and number.
        device: The name of its GPU, else "CPU".
        versions: Of Keras and TensorFlow.
    """

    id: str
    date: str
    name: str
    settings: dict[str, object]
    inputs: dict[str, object]
    parameters: int
    history: dict[str, list[float]]
    seconds: float
    first_step_seconds: float
    stopped: bool
    diverged: bool
    test_accuracy: float | None
    note: str
    device: str
    versions: dict[str, str]

    def compared_with(self, other: AnyRun) -> Comparison:
        """Show in a few lines in what this run and another differ: what went in, what came out."""
        return Comparison(self, other)


class EarlierRuns(list[EarlierRun]):
    """Runs of earlier kernels, the oldest first; shown as a table in a notebook."""

    def _repr_html_(self) -> str:
        return as_html(self, dated=True)

    def __repr__(self) -> str:
        return as_text(self, dated=True)


def path_of(folder: str | os.PathLike[str]) -> Path:
    """Return a log's folder as a path, with the user's home for "~".

    Raises:
        ValueError: It is no path, or nobody's home.
    """
    try:
        return Path(folder).expanduser()
    except (TypeError, RuntimeError):
        raise ValueError(
            "Expected the path of a log's folder, such as 'runs' or '~/runs'. "
            f"Received: folder={folder!r}"
        ) from None


def earlier(folder: str | os.PathLike[str]) -> EarlierRuns:
    """Read the runs that other kernels wrote down in a log's folder.

    Lines that can't be read, such as one that a killed kernel left half-written, are passed over
    and counted in a warning. A file that can't be read at all is named in one, and holds no runs.

    Args:
        folder: As given to `RunLog`. One that isn't there holds no runs.

    Returns:
        The runs, in the order in which they were first written.

    Raises:
        ValueError: The folder is no path.
    """
    found: dict[str, EarlierRun] = {}
    wrong = []
    for number, line in _lines(path_of(folder) / FILE):
        try:
            run = _parsed(line)
        except (ValueError, TypeError, KeyError):
            wrong.append(str(number))
        else:
            found[run.id] = run
    if wrong:
        few = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        logger.warning("%s: passed over %d lines that hold no run: %s", FILE, len(wrong), few)
    return EarlierRuns(run for run in found.values() if not run.id.startswith(KERNEL))


def append(folder: Path, run: AnyRun, number: int) -> None:
    """Write a run down; of the lines of one run the last counts.

    Args:
        folder: Made if it isn't there.
        run: Finished or stopped.
        number: Of the run in this kernel.

    Raises:
        OSError: It can't be written.
    """
    names = [field.name for field in fields(EarlierRun)][1:-2]
    line = {"id": f"{KERNEL}-{number}"} | {name: getattr(run, name) for name in names}
    line["settings"] = {str(key): plain(value) for key, value in run.settings.items()}
    data = json.dumps(line | _machine()).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not _ends_with_a_line(path):
        data = b"\n" + data  # or another kernel is just writing: then an empty line comes between
    # Unbuffered and for appending: one call, at the end of the file as it is then, so that nobody
    # else's line comes between.
    with path.open("ab", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError("no room for the whole line")


def _ends_with_a_line(path: Path) -> bool:
    """Tell whether a file's last line is whole; it isn't where its kernel was killed just then."""
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that aren't empty, with their numbers; say so if they can't be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from ((n, line) for n, line in enumerate(file, 1) if line.strip())
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning(
            "Expected a file of runs that can be read. Received: %s (%s). It is passed over: give "
            "the folder that RunLog was given.",
            path,
            error.strerror or error,
        )


def _parsed(line: str) -> EarlierRun:
    """Read a run from its line.

    Raises:
        ValueError, TypeError or KeyError: The line isn't one that `append` wrote.
    """
    data = json.loads(line)
    run = EarlierRun(**{field.name: data[field.name] for field in fields(EarlierRun)})
    for value, kind in ((run.id, str), (run.name, str), (run.date, str), (run.settings, dict)):
        if not isinstance(value, kind):
            raise TypeError(f"Expected {kind.__name__}. Received: {value!r}")
    if not isinstance(run.inputs, dict) or not isinstance(run.history, dict):
        raise TypeError("Expected inputs and history as dictionaries.")
    run.history = {key: [float(v) for v in values] for key, values in run.history.items()}
    run.parameters, run.seconds = int(run.parameters), float(run.seconds)
    run.first_step_seconds = float(run.first_step_seconds)
    run.test_accuracy = None if run.test_accuracy is None else float(run.test_accuracy)
    return run


@functools.cache
def _machine() -> dict[str, object]:
    """Say what the runs of this kernel are made on."""
    device = "CPU"
    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        device = tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"device": device, "versions": versions}
