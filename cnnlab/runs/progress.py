"""How far a `fit` is, in words."""

import math
import time


class Progress:
    """Steps and seconds of one `fit`.

    Args:
        epochs: How many it is to make in all.
        steps: Batches an epoch, None if nobody knows.
        done: Epochs that another process made before.
        seconds: How long that took.

    Attributes:
        epoch: The one that is running, counted from 0.
        step: Steps made in it.
        made: Steps made in this process.
        first_seconds: How long the first of them took, compiling included.
        losses: The first and the newest loss that were numbers.
        validating: Whether it is just validating.
    """

    def __init__(
        self, epochs: int = 0, steps: int | None = None, *, done: int = 0, seconds: float = 0.0
    ):
        self.epochs, self.steps, self.epoch, self._before = epochs, steps, done, seconds
        self.step, self.made, self._first = 0, 0, 0
        self.first_seconds, self.losses, self.validating = 0.0, [], False
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start, another process's included."""
        return self._before + time.perf_counter() - self._start

    def begin_epoch(self, epoch: int) -> None:
        self.epoch, self.step = epoch, 0

    def count(self, step: int, loss: float | None) -> None:
        """Note that `step` steps of the epoch are made, and their mean loss if it is known."""
        step = min(step, self.steps or step)  # the last call of several steps may have fewer
        self.made += step - self.step
        self.step = step
        if not self._first:
            self._first, self.first_seconds = self.made, time.perf_counter() - self._start
        if loss is not None and math.isfinite(loss):
            self.losses = [*self.losses[:1], loss]

    def end_epoch(self) -> None:
        self.epoch, self.step = self.epoch + 1, 0

    def seconds_left(self) -> float:
        """Estimate from the steps made in this process but the first; 0 if nobody knows."""
        counted = self.made - self._first
        if not self.steps or not counted:
            return 0.0
        passed = self.seconds - self._before - self.first_seconds
        return passed / counted * ((self.epochs - self.epoch) * self.steps - self.step)

    @property
    def place(self) -> str:
        """Where it is, in words: "epoch 2 of 8 after 120 of 196 steps, loss 1.23"."""
        steps = f"{self.step} of {self.steps}" if self.steps else str(self.step)
        loss = f", loss {self.losses[-1]:.3g}" if self.losses else ""
        return f"epoch {self.epoch + 1} of {self.epochs} after {steps} steps{loss}"

    def __str__(self) -> str:
        """Say epoch, step, loss, seconds and time left, as short as a line has to be."""
        if not self.made:
            return f"going on after epoch {self.epoch}, compiling…" if self.epoch else "compiling…"
        line = f"epoch {self.epoch}/{self.epochs}"
        if self.step:
            of_steps = f"/{self.steps}" if self.steps else ""
            line = f"epoch {self.epoch + 1}/{self.epochs}, step {self.step}{of_steps}"
            line += f", loss {self.losses[-1]:.3f}" if self.losses else ""
        line += f", {self.seconds:.1f} s"
        left = self.seconds_left()
        return f"{line}, about {left:.0f} s left" if left else line
