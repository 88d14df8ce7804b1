"""The record of a style transfer under way: progress, times, the best picture, the result."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from cnnlab.style import timing
from cnnlab.style.loss import TERMS, Loss
from cnnlab.style.notebook import Line
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level


@dataclass(frozen=True)
class Progress:
    """What a callback is given.

    Attributes:
        step: Steps taken so far, over all sizes.
        steps: Steps in the whole run.
        level: The present size.
        losses: The terms by name, unweighted, as they were before the last step; "total" is their
            weighted sum.
        seconds: Since the start, compiling and callbacks included.
        seconds_left: Until the end, about.
        expected_seconds: As in `StyleResult`.
    """

    step: int
    steps: int
    level: Level
    losses: dict[str, float]
    seconds: float
    seconds_left: float
    expected_seconds: float
    _picture: Callable[[], np.ndarray] = field(repr=False)

    @functools.cached_property
    def image(self) -> np.ndarray:
        """The picture as it is now, uint8 (h, w, 3); fetched from the device when asked for."""
        return self._picture()


@dataclass(frozen=True)
class StyleResult:
    """A stylised picture and the run that made it.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        distances: Term -> its value, unweighted, for this very image at its size: averaged, rounded
            to uint8, in its final colours (of which colors="content" compares the luminance, all
            that it paints). Terms as in `history`; empty where memory ran out.
        history: Term -> float32 (steps,), unweighted: "content", "style", "variation"; and "total",
            their weighted sum. Of the optimiser's picture before each step, at the size of that
            step, so the last ones are not those of the image.
        levels: The sizes, with the steps planned at each.
        seconds: Of the whole call.
        compile_seconds: Of these, for tracing and compiling: little, once a shape is known.
        callback_seconds: Of these, in the callback.
        expected_seconds: For all but these two, as expected before the first step. When the same
            sizes were run before in this process, from what that took; else to a factor of two.
        stopped: Whether it was ended early; the picture is then the one reached so far.
    """

    image: np.ndarray
    distances: dict[str, float]
    history: dict[str, np.ndarray]
    levels: tuple[Level, ...]
    seconds: float
    compile_seconds: float
    callback_seconds: float
    expected_seconds: float
    stopped: bool = False

    @property
    def estimate(self) -> str:
        """What had been expected, in words."""
        return f"about {self.expected_seconds:.0f} s and the time to compile"


class Recorder:
    """Keep the picture reached so far, the losses of every step and the times, and report them.

    Losses stay on the device until they are reported, so that it needn't wait for Python.

    Attributes:
        best: The pixels to keep so far, float32 (1, h, w, 3); the start before the first step.
        levels: The sizes of the run.
        level: The present one.
        step: Steps taken.
        expected_seconds: As in `StyleResult`.

    Args:
        problem: Turns pixels into the picture.
        levels: The sizes of the run.
        best: The start.
        kind: What tells runs apart that take different times at the same size.
        callback: As for `stylize`.
        every: Steps between two reports.
        clock: Tells the time in seconds.
        started: When the run began, by the clock; None: now.
    """

    def __init__(
        self,
        problem: StyleProblem,
        levels: Sequence[Level],
        best: tf.Tensor,
        *,
        kind: object = None,
        callback: Callable[[Progress], None] | None = None,
        every: int = 10,
        clock: Callable[[], float] = time.perf_counter,
        started: float | None = None,
    ):
        self.problem, self.levels, self.best, self.kind = problem, tuple(levels), best, kind
        self.callback, self.every, self.clock, self.line = callback, every, clock, Line()
        self.started = clock() if started is None else started
        self.step, self.steps, self.level = 0, sum(lv.steps for lv in levels), levels[0]
        self.losses: list[tf.Tensor | np.ndarray] = []
        self.compile_seconds = self.callback_seconds = 0.0
        self._compared: tuple | None = None
        guesses = timing.step_seconds(levels, problem.plan, problem.dtype)
        # A size is prepared in about the time of a step: features of the content and of the styles.
        self._costs = [
            timing.remembered(kind, level) or (guess, guess)
            for level, guess in zip(levels, guesses, strict=True)
        ]
        self.guessed_seconds = math.fsum(
            level.steps * guess for level, guess in zip(levels, guesses, strict=True)
        )
        self._begun = clock()
        self.expected_seconds = self._begun - self.started + self._cost(self.steps)

    def _cost(self, steps: int) -> float:
        """Return the seconds that the first steps were expected to take, and to prepare them."""
        total = 0.0
        for level, (prepare, step) in zip(self.levels, self._costs, strict=True):
            total += prepare + min(steps, level.steps) * step
            steps -= level.steps
            if steps <= 0:
                break
        return total

    def _working_seconds(self) -> float:
        """Return the seconds so far, without those of compiling and of callbacks."""
        return self.clock() - self.started - self.compile_seconds - self.callback_seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the end, about: as expected, at the pace so far."""
        done, whole = (self._cost(n) if n else 0.0 for n in (self.step, self.steps))
        spent = self._working_seconds() - (self._begun - self.started)
        return (whole - done) * (spent / done if done else 1.0)

    @property
    def until_report(self) -> int:
        """Steps to take before the next report."""
        return self.every - self.step % self.every

    def sizes(self) -> Iterator[Level]:
        """Yield the sizes, each when the one before is done, and remember the time that it took."""
        for level in self.levels:
            self.level = level
            self.line.show(f"step {self.step} of {self.steps}, preparing {self._size()}")
            began, self._prepared = self._working_seconds(), None
            yield level
            if self.losses:
                np.array(self.losses[-1][-1])  # waits for the device
            prepare = self._prepared - began
            step = (self._working_seconds() - self._prepared) / level.steps
            timing.remember(self.kind, level, prepare, step)

    def _size(self) -> str:
        return f"{self.level.width} × {self.level.height} pixels"

    def compare_with(self, loss: Loss, targets: tuple) -> None:
        """Set what is minimised at the present size."""
        self._compared = self.level, loss, targets

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Count the time of the block as compiling; it is all that precedes the first step."""
        self.line.show(f"step {self.step} of {self.steps}, compiling for {self._size()}")
        self._prepared, began = self._working_seconds(), self.clock()
        yield
        self.compile_seconds += self.clock() - began

    def record(self, best: tf.Tensor, losses: tf.Tensor | np.ndarray) -> None:
        """Record steps taken, not more than `until_report`, with their losses (steps, 4)."""
        self.best = best
        self.losses.append(losses)
        self.step += losses.shape[0]
        reports = self.step % self.every == 0 or self.step == self.steps
        if not (reports or self.line.due):
            return
        values = dict(zip(TERMS, np.array(losses[-1]).tolist(), strict=True))
        if not math.isfinite(values["total"]):
            raise FloatingPointError(
                f"Expected finite losses, but at step {self.step} they are {values}; try a smaller "
                "learning_rate, smaller weights, or precision='float32'"
            )
        left = self.seconds_left
        if self.line.due:
            self.line.show(
                f"step {self.step} of {self.steps}, loss {values['total']:.3g}, "
                f"about {left:.0f} s left"
            )
        if reports and self.callback:
            self._call(values, left)

    def _call(self, values: dict[str, float], left: float) -> None:
        began = self.clock()
        progress = Progress(
            step=self.step,
            steps=self.steps,
            level=self.level,
            losses=values,
            seconds=began - self.started,
            seconds_left=left,
            expected_seconds=self.expected_seconds,
            _picture=functools.partial(self.problem.to_picture, self.best),
        )
        try:
            self.callback(progress)
        finally:
            self.callback_seconds += self.clock() - began

    def result(self, *, stopped: bool = False) -> StyleResult:
        """Return what has been reached, at the size of the last level, with its distances."""
        last = self.levels[-1]
        pixels = tf.image.resize(self.best, (last.height, last.width), "bicubic")
        image = self.problem.to_picture(pixels)
        level, *compared = self._compared or (None,)
        loss, targets = compared if level is last else self.problem.final_loss(last)
        shown = self.problem.network_pixels(image)
        terms = loss(shown, targets, tf.constant(float(self.step))).numpy().tolist()
        return self._result(image, dict(zip(TERMS, terms, strict=True)), stopped=stopped)

    def result_as_it_is(self) -> StyleResult:
        """Return what has been reached at the size that it has, which takes no more memory."""
        return self._result(self.problem.to_picture(self.best), {}, stopped=True)

    def _result(
        self, image: np.ndarray, distances: dict[str, float], *, stopped: bool
    ) -> StyleResult:
        history = np.concatenate([np.zeros((0, len(TERMS)), np.float32), *self.losses])
        seconds = self.clock() - self.started
        self.line.show(
            f"{'stopped after' if stopped else 'took'} {self.step} of {self.steps} steps, "
            f"{seconds:.1f} s, of which {self.compile_seconds:.1f} s to compile"
        )
        return StyleResult(
            image=image,
            distances=distances,
            history=dict(zip(TERMS, history.T, strict=True)),
            levels=self.levels,
            seconds=seconds,
            compile_seconds=self.compile_seconds,
            callback_seconds=self.callback_seconds,
            expected_seconds=self.expected_seconds,
            stopped=stopped,
        )
