"""The record of a style transfer under way: progress, times, the best picture, the result."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from cnnlab.style import notebook
from cnnlab.style.loss import TERMS, Loss
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level
from cnnlab.style.timing import Timer, step_seconds


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
    """Keep the picture reached so far and the losses of every step, and report them.

    Losses stay on the device until they are reported, so that it needn't wait for Python.

    Attributes:
        best: The pixels to keep so far, float32 (1, h, w, 3); the start before the first step.
        levels: The sizes of the run.
        level: The present one.
        step: Steps taken.
        timer: The seconds of the run.

    Args:
        problem: Turns pixels into the picture.
        levels: The sizes of the run.
        best: The start.
        callback: As for `stylize`.
        every: Steps between two reports.
        kind: As for `Timer`.
        **times: Likewise, the clock and when the run began.
    """

    def __init__(
        self,
        problem: StyleProblem,
        levels: Sequence[Level],
        best: tf.Tensor,
        *,
        callback: Callable[[Progress], None] | None = None,
        every: int = 10,
        kind: Hashable = None,
        **times,
    ):
        self.problem, self.levels, self.best = problem, tuple(levels), best
        self.callback, self.every, self.line = callback, every, notebook.line()
        self.step, self.steps, self.level = 0, sum(lv.steps for lv in levels), levels[0]
        self.losses: list[tf.Tensor] = []
        self._compared: tuple | None = None
        guesses = step_seconds(levels, problem.plan, problem.dtype)
        self.timer = Timer(levels, guesses, kind=(kind, problem.kind), **times)

    @property
    def until_report(self) -> int:
        """Steps to take before the next report."""
        return self.every - self.step % self.every

    def sizes(self) -> Iterator[Level]:
        """Yield the sizes, each when the one before is done, and remember the time that it took."""
        for level in self.levels:
            self.level, began = level, self.timer.working
            self._show("preparing")
            yield level
            np.array(self.losses[-1][-1])  # waits for the device
            taken, prepare = self.timer.working - began, self._prepared - began
            self.timer.remember(level, prepare, taken - prepare)

    def _show(self, what: str) -> None:
        size = f"{self.level.width} × {self.level.height} pixels"
        self.line.show(f"step {self.step} of {self.steps}, {size}, {what}")

    def compare_with(self, loss: Loss, targets: tuple) -> None:
        """Set what is minimised at the present size."""
        self._compared = self.level, loss, targets

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Count the time of the block as compiling; the steps of the size follow it."""
        self._show("compiling")
        self._prepared = self.timer.working
        with self.timer.apart("compiling"):
            yield

    def record(self, best: tf.Tensor, losses: tf.Tensor) -> None:
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
        left = self.timer.left(self.step)
        if self.line.due:
            self._show(f"loss {values['total']:.3g}, about {left:.0f} s left")
        if reports and self.callback:
            progress = Progress(
                step=self.step,
                steps=self.steps,
                level=self.level,
                losses=values,
                seconds=self.timer.seconds,
                seconds_left=left,
                expected_seconds=self.timer.expected,
                _picture=functools.partial(self.problem.to_picture, best),
            )
            with self.timer.apart("calling"):
                self.callback(progress)

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
        timer, words = self.timer, "stopped after" if stopped else "took"
        self.line.show(
            f"{words} {self.step} of {self.steps} steps, {timer.seconds:.1f} s, of which "
            f"{timer.compiling:.1f} s to compile"
        )
        return StyleResult(
            image=image,
            distances=distances,
            history=dict(zip(TERMS, history.T, strict=True)),
            levels=self.levels,
            seconds=timer.seconds,
            compile_seconds=timer.compiling,
            callback_seconds=timer.calling,
            expected_seconds=timer.expected,
            stopped=stopped,
        )
