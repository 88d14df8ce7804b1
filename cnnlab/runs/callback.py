"""A training run: the callback that follows `fit`, shows how far it is, and says how it ended."""

import datetime
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from cnnlab._notebook import Line, shell
from cnnlab.runs.best import Best
from cnnlab.runs.checkpoints import Checkpoint
from cnnlab.runs.comparison import AnyRun, Comparison, last
from cnnlab.runs.failures import not_finite, out_of_memory
from cnnlab.runs.feed import Feed
from cnnlab.runs.inputs import describe, parameters, plain, trains
from cnnlab.runs.progress import Progress

logger = logging.getLogger(__name__)


class Run(keras.callbacks.Callback):
    """One training run, filled in while `fit` goes on; in a notebook, a line that keeps up.

    Attributes:
        name: What was trained, in words.
        network: What was trained.
        settings: The hyperparameters that tell this run from others of the same name.
        inputs: What went into it beside them, as Keras tells it: steps, batch, optimizer, layers.
        history: Metric name to one value an epoch, as in Keras's `History`.
        parameters: Number of trained weights.
        seconds: From the start of `fit` to the end of its last whole epoch, validation included.
        first_step_seconds: The first batch's share of them: tracing and compiling, for the most
            part.
        stopped: Whether it was interrupted.
        diverged: Whether it ended because its loss was no number any more.
        note: How it ended, where that isn't as planned: one sentence or two, else empty.
        date: When it began, local time in ISO 8601.
    """

    def __init__(
        self,
        name: str,
        network: keras.Model,
        settings: Mapping[str, object],
        *,
        checkpoints: Path | None = None,
        keep: Callable | None = None,
    ):
        """Begin a record; `RunLog.record` does it.

        Args:
            name: As above.
            network: As above.
            settings: As above.
            checkpoints: Folder of the checkpoints to write and to go on from; None for neither.
            keep: Called with the run when it was scored, to write it down again.
        """
        super().__init__()
        if not isinstance(network, keras.Model):
            raise ValueError(
                f"Expected the Keras model that is trained. Received: network={network!r:.80}"
            )
        self.name, self.network, self.settings = name, network, dict(settings)
        self.inputs: dict[str, object] = {}
        self.parameters = parameters(network)
        self.history: dict[str, list[float]] = {}
        self.seconds, self.first_step_seconds = 0.0, 0.0
        self.stopped, self.diverged, self.note = False, False, ""
        self.date = datetime.datetime.now().isoformat(timespec="seconds")
        self._test_accuracy: float | None = None
        self._checkpoints, self._keep = checkpoints, keep
        self._checkpoint: Checkpoint | None = None
        self._feed: Feed | None = None
        self._progress, self._running, self._trainer = Progress(), False, network
        self._given, self._made = False, False  # to `fit`; all that it was to make
        self._ended = False
        self._line, self._best = Line(), Best()

    @property
    def epochs(self) -> int:
        """Number of epochs in the history."""
        return max(map(len, self.history.values()), default=0)

    @property
    def test_accuracy(self) -> float | None:
        """0…1, set when the test set is opened, None before."""
        return self._test_accuracy

    @test_accuracy.setter
    def test_accuracy(self, share: float | None) -> None:
        is_number = isinstance(share, float | int | np.number)
        if share is not None and not (is_number and 0 <= share <= 1):
            raise ValueError(f"Expected test_accuracy as a share 0…1. Received: {share!r}")
        self._test_accuracy = share
        if self._keep:
            self._keep(self)

    def compared_with(self, other: AnyRun) -> Comparison:
        """Show in a few lines in what this run and another differ: what went in, what came out."""
        return Comparison(self, other)

    def __repr__(self) -> str:
        """Describe the run in one line: how far it is, how long that took, its newest score."""
        if self.note:
            return f"{self.name}: {self.note}"
        if self._running:
            line = f"{self.name}: {self._progress}"
        else:
            planned = max(self.params["epochs"] if self.params else 0, self.epochs)
            line = f"{self.name}: epoch {self.epochs}/{planned}, {self.seconds:.1f} s"
        score = last(self, "val_accuracy")
        return line if score is None else f"{line}, validation {score:.2%}"

    # ---- What Keras calls ----------------------------------------------------------------------

    def set_model(self, model):
        super().set_model(model)
        self._trainer = model

    def on_train_begin(self, logs=None):
        if self._ended:
            raise ValueError(
                "Expected fit inside the block of `with log.record(…) as run`. Received: the run "
                f"{self.name!r}, whose block has ended. Record another."
            )
        self._given, self._made = True, False
        if not trains(self._trainer, self.network):
            raise ValueError(
                f"Expected fit of the recorded network or of a trainer that holds it. Received: "
                f"record({self.name!r}, {self.network.name!r}), but fit of {self._trainer.name!r}, "
                "whose weights are others. Give record the network that fit trains."
            )
        self._progress, self._running = self._begun(seconds=self.seconds), True
        self._show()
        self._feed = Feed.of_fit()
        planned = {"epochs": self._progress.epochs, "steps": self._progress.steps}
        planned["batch"] = self._feed.batch_size if self._feed else None
        planned["data"] = self._feed.data if self._feed else None
        self.inputs = describe(self._trainer, **planned)
        if self._checkpoints and not self._checkpoint:
            identity = [self.name, plain(self.settings), self.inputs]
            self._checkpoint = Checkpoint(self._checkpoints, self.name, identity)
            self._go_on(self._checkpoint)

    def on_epoch_begin(self, epoch, logs=None):
        self._progress.begin_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        is_first, loss = not self._progress.made, (logs or {}).get("loss")
        self._progress.count(batch + 1, loss)
        if is_first:
            self.first_step_seconds += self._progress.first_seconds
        if loss is not None and not math.isfinite(loss):
            self.diverged = self._trainer.stop_training = True
            self.note = f"ended in {self._progress.place}: then its loss was {loss}. "
            self.note += not_finite(self._trainer, self._progress.losses)
        self._show(at_once=self.diverged)

    def on_test_begin(self, logs=None):
        self._progress.validating = True

    def on_test_end(self, logs=None):
        self._progress.validating = False

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = self._progress.seconds
        self._progress.end_epoch()
        self._made = self._progress.epoch >= self._progress.epochs
        before, logs = self.epochs, logs or {}
        for metric in {**self.history, **logs}:  # without validation in this epoch it has no value
            values = self.history.setdefault(metric, [math.nan] * before)
            values.append(float(logs.get(metric, math.nan)))
        self._best.compare(self._trainer, self.epochs, logs)
        if self._checkpoint and not self.diverged:
            self._checkpoint.write(self._trainer, self._so_far())
        self._show(at_once=False)

    def on_train_end(self, logs=None):
        self._made = True  # `fit` had no more to do, be it by early stopping
        self._progress, self._running = Progress(), False
        self._show()

    def _begun(self, **done) -> Progress:
        params = self.params or {}
        return Progress(params["epochs"], params["steps"], **done)

    def _so_far(self) -> dict:
        kept = ("epochs", "history", "seconds", "first_step_seconds")
        return {name: getattr(self, name) for name in kept}

    def _go_on(self, checkpoint: Checkpoint) -> None:
        """Take up a run that a killed process began: weights, random states, order, history."""
        so_far = checkpoint.read(self._trainer) if self._feed else None
        if not so_far or not self._feed:
            return
        self._feed.skip(so_far["epochs"])
        self._trainer._initial_epoch = so_far["epochs"]  # as Keras's BackupAndRestore does
        self.history, self.seconds = so_far["history"], so_far["seconds"]
        self.first_step_seconds = so_far["first_step_seconds"]
        self._progress = self._begun(done=so_far["epochs"], seconds=self.seconds)
        self._show()

    # ---- What the log calls --------------------------------------------------------------------

    def finish(self) -> None:
        """End as planned, or because the loss was no number any more, or without any `fit`."""
        self._release()
        if not self._given:
            logger.warning(
                "Expected fit(…, callbacks=[run]) in the block. Received: none. The run %r was not "
                "given to fit: callbacks=[run] logs it.",
                self.name,
            )
        if self._checkpoint:
            self._checkpoint.remove()
        if self.diverged:
            self._tell()

    def stop(self) -> None:
        """End because the kernel was interrupted, and say what was kept."""
        if self._made:
            logger.warning(
                "The run %r was interrupted after its last epoch: it is whole.", self.name
            )
            self.finish()
            return
        self.stopped, progress = True, self._progress
        self._release()
        epochs = self.epochs
        if progress.made:
            self.note = f"stopped in {progress.place}"
        else:
            self.note = "stopped before its first step"
        self.note += f": {self._best.put_into(self._trainer) or self._as_it_is(progress)}; "
        if not epochs:
            self.note += "no epoch was whole, so the log has no row for it"
        else:
            self.note += f"its row in the log ends with epoch {epochs}"
            self.note += ", after which resume=True goes on" if self._checkpoint else ""
        self._tell()

    def _as_it_is(self, progress: Progress) -> str:
        learnt = self.epochs or progress.made
        return f"the network {'keeps what it has learnt' if learnt else 'is as it was'}"

    def fail(self, error: Exception) -> None:
        """End because of an error, which goes its own way."""
        self._release()
        self.note = f"ended by {type(error).__name__}"
        self._show()

    def fitting_batch(self) -> str:
        """Say, after the device's memory was full, which batch size would fit."""
        self.note = "out of memory: trying smaller batches…"
        self._show()
        return out_of_memory(self.model, self._feed, validating=self._progress.validating)

    def _release(self) -> None:
        self._running, self._feed, self._ended = False, None, True
        self._trainer._initial_epoch = None  # the next `fit` begins with its first epoch

    def _show(self, *, at_once: bool = True) -> None:
        """Show how it stands, but no oftener than a few times a second, unless at once."""
        if at_once or self._line.due:
            self._line.show(self)

    def _tell(self) -> None:
        """Show the note, in a notebook in the place of the line that kept up."""
        self._show()
        if shell() is None:
            logger.warning("%s", self)
