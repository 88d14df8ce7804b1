"""The record of a style transfer under way: progress, the best picture, the result."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from cnnlab.style.objective import TERMS
from cnnlab.style.pyramid import Estimate, Level


@dataclass(frozen=True)
class Progress:
    """What a callback is given.

    Attributes:
        step: Steps taken so far, over all sizes.
        steps: Steps in the whole run.
        level: The present size.
        losses: The terms by name, unweighted; "total" is their weighted sum.
        seconds: Since the start, compiling included.
        estimate: What the whole run was expected to need.
    """

    step: int
    steps: int
    level: Level
    losses: dict[str, float]
    seconds: float
    estimate: Estimate
    _picture: Callable[[], np.ndarray] = field(repr=False)

    @property
    def image(self) -> np.ndarray:
        """The picture as it is now, uint8 (h, w, 3); fetched from the device when asked for."""
        return self._picture()


@dataclass(frozen=True)
class StyleResult:
    """A stylised picture and the run that made it.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        history: Term -> float32 (steps,), unweighted, as it was before each step: "content",
            "style", "variation"; and "total", their weighted sum.
        seconds: Of the whole call, compiling included.
        levels: The sizes, with the steps planned at each.
        estimate: What had been expected.
        stopped: Whether it was interrupted; the picture is then the one reached so far.
    """

    image: np.ndarray
    history: dict[str, np.ndarray]
    seconds: float
    levels: tuple[Level, ...]
    estimate: Estimate
    stopped: bool = False


class Recorder:
    """Keep the picture reached so far and the losses of every step, and report them.

    Losses stay on the device until they are reported, so that it needn't wait for Python.

    Attributes:
        best: The pixels to keep so far, float32 (1, h, w, 3); the start before the first step.
        levels: The sizes of the run.
        step: Steps taken.
    """

    def __init__(
        self,
        best: tf.Tensor,
        levels: Sequence[Level],
        estimate: Estimate,
        to_picture: Callable[[tf.Tensor], np.ndarray],
        *,
        callback: Callable[[Progress], None] | None = None,
        every: int = 10,
        started: float = 0.0,
    ):
        self.best, self.levels, self.estimate = best, tuple(levels), estimate
        self.to_picture, self.callback, self.every = to_picture, callback, every
        self.started = started or time.perf_counter()
        self.step, self.steps = 0, sum(level.steps for level in levels)
        self.losses: list[tf.Tensor | np.ndarray] = []

    @property
    def until_report(self) -> int:
        """Steps to take before the next report."""
        return self.every - self.step % self.every

    def record(self, best: tf.Tensor, losses: tf.Tensor | np.ndarray, level: Level) -> None:
        """Record steps taken, not more than `until_report`, with their losses (steps, 4)."""
        self.best = best
        self.losses.append(losses)
        self.step += losses.shape[0]
        if self.step % self.every and self.step < self.steps:
            return
        values = dict(zip(TERMS, np.array(losses[-1]).tolist(), strict=True))
        if not math.isfinite(values["total"]):
            raise FloatingPointError(
                f"Expected finite losses, but at step {self.step} they are {values}; try a smaller "
                "learning_rate, smaller weights, or precision='float32'"
            )
        if self.callback:
            seconds = time.perf_counter() - self.started
            picture = functools.partial(self.to_picture, best)
            self.callback(
                Progress(self.step, self.steps, level, values, seconds, self.estimate, picture)
            )

    @property
    def level(self) -> Level:
        """The size of the next step; the last one when all are taken."""
        end = 0
        for level in self.levels:
            end += level.steps
            if self.step < end:
                return level
        return self.levels[-1]

    def result(self, *, stopped: bool) -> StyleResult:
        """Return what has been reached, at the size of the last level."""
        last = self.levels[-1]
        pixels = tf.image.resize(self.best, (last.height, last.width), "bicubic")
        history = np.concatenate([np.zeros((0, len(TERMS)), np.float32), *self.losses])
        return StyleResult(
            self.to_picture(pixels),
            dict(zip(TERMS, history.T, strict=True)),
            time.perf_counter() - self.started,
            self.levels,
            self.estimate,
            stopped,
        )
