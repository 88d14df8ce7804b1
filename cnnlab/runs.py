"""The log of training runs: a change of a number stands beside what it changed.

Notebook 1 keeps one from section 3, "The ladder", on, notebook 2 from section 5.
"""

from cnnlab import _keras  # noqa: F401  # isort: skip
import contextlib
import html
import math
import time
from collections.abc import Iterator

import keras
from IPython import get_ipython
from IPython.display import display

__all__ = ["Run", "RunLog"]


class Run(keras.callbacks.Callback):
    """One training run, filled in while `fit` goes on; in a notebook, a line that keeps up.

    Attributes:
        name: What was trained, in words.
        network: What was trained.
        settings: The hyperparameters that tell this run from others of the same name.
        history: Metric name to one value an epoch, as in Keras's `History`.
        parameters: Number of trained weights.
        seconds: From the start of `fit` to the end of its last whole epoch, validation included.
        first_step_seconds: The first batch's share of them: tracing and compiling, for the most
            part.
        stopped: Whether it was interrupted.
        test_accuracy: 0…1, set when the test set is opened, None before.
    """

    def __init__(self, name: str, network: keras.Model, settings: dict):
        super().__init__()
        self.name, self.network, self.settings = name, network, settings
        self.parameters = sum(math.prod(w.shape) for w in network.trainable_variables)
        self.history: dict[str, list[float]] = {}
        self.seconds, self.first_step_seconds = 0.0, 0.0
        self.stopped = False
        self.test_accuracy: float | None = None

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter()
        self._line = None

    def on_train_batch_end(self, batch, logs=None):
        if not self.first_step_seconds:
            self.first_step_seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self._start
        for metric, value in (logs or {}).items():
            self.history.setdefault(metric, []).append(float(value))
        if self._line:
            self._line.update(self)
        elif (shell := get_ipython()) and hasattr(shell, "kernel"):
            self._line = display(self, display_id=True)

    def __repr__(self) -> str:
        """Describe the run in one line: epochs, seconds, the time left, the newest score."""
        done = len(self.history.get("loss", []))
        epochs = self.params.get("epochs", done) if self.params else done
        left = (self.seconds - self.first_step_seconds) * (epochs - done) / max(done, 1)
        line = f"{self.name}: epoch {done}/{epochs}, {self.seconds:.1f} s"
        if left:
            line += f", about {left:.0f} s left"
        if (score := _last(self, "val_accuracy")) is not None:
            line += f", validation {score:.2%}"
        return line


class RunLog:
    """Runs in the order in which they were first made; shown as a table in a notebook.

    A run made again with the same settings takes the old one's place; with other settings it is
    added beside it.
    """

    def __init__(self):
        self._runs: dict[tuple, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    @contextlib.contextmanager
    def record(self, name: str, network: keras.Model, **settings) -> Iterator[Run]:
        """Make a `Run` to give to `fit` as a callback, and log it when the block ends.

        Interrupting the kernel inside the block ends the training, not the notebook: the whole
        epochs made so far are logged, and the model keeps what it has learnt.

        Args:
            name: What is trained, in words.
            network: What is trained.
            **settings: What tells this run from others of the same name: learning rate, epochs,
                seed.

        Yields:
            The run.
        """
        run = Run(name, network, settings)
        try:
            yield run
        except KeyboardInterrupt:
            run.stopped = True
        if run.history:
            self._runs[name, repr(sorted(settings.items()))] = run

    def _repr_html_(self) -> str:
        columns = ["run", "settings", "weights", "epochs", "seconds", "of which first step"]
        columns += ["train", "validation", "test"]
        head = "".join(f"<th style='text-align:left'>{c}</th>" for c in columns)
        body = "".join(f"<tr>{''.join(map(_cell, _row(run)))}</tr>" for run in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join("  ".join(_row(run)) for run in self) or "no runs yet"


def _row(run: Run) -> list[str]:
    settings = ", ".join(
        f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in run.settings.items()
    )
    return [
        run.name,
        settings,
        f"{run.parameters:,}",
        f"{len(run.history['loss'])}{' (stopped)' if run.stopped else ''}",
        f"{run.seconds:.1f}",
        f"{run.first_step_seconds:.1f}",
        *map(_percent, (_last(run, "accuracy"), _last(run, "val_accuracy"), run.test_accuracy)),
    ]


def _last(run: Run, metric: str) -> float | None:
    return run.history[metric][-1] if metric in run.history else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(text)}</td>"
