"""A style transfer under way: step after step, watched, and stopped without losing anything."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from cnnlab.style.goal import Scene
from cnnlab.style.plan import Estimate, Level
from cnnlab.style.steps import (
    MOST_STEPS,
    TERMS,
    AdamState,
    Objective,
    Rates,
    compiled_adam,
    lbfgs,
)


@dataclass(frozen=True)
class Progress:
    """What a callback gets to see.

    Attributes:
        step: Steps taken so far, over all sizes.
        steps: Steps in the whole run.
        level: The size being worked at.
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
    _finish: Callable[[], np.ndarray] = field(repr=False)

    @property
    def image(self) -> np.ndarray:
        """The picture as it is now, uint8 (h, w, 3); fetched from the device when asked for."""
        return self._finish()


@dataclass(frozen=True)
class StyleResult:
    """A stylised picture and how it came about.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        history: Term -> float32 (steps,), unweighted, as it was before each step: "content",
            "style", "variation"; and "total", their weighted sum.
        seconds: Of the whole call after its checks, compiling included.
        levels: The sizes worked at, with the steps taken at each.
        estimate: What had been expected.
        stopped: Whether it was interrupted; the picture is then the best there was.
    """

    image: np.ndarray
    history: dict[str, np.ndarray]
    seconds: float
    levels: tuple[Level, ...]
    estimate: Estimate
    stopped: bool = False


class Watch:
    """Keeps what has been reached: the best picture and the losses of every step.

    Losses stay on the device until someone wants to see them, so that it need not wait for Python.

    Attributes:
        best: The picture that is worth keeping so far, float32 (1, h, w, 3).
    """

    def __init__(
        self,
        plan: Sequence[Level],
        estimate: Estimate,
        finish: Callable[[tf.Tensor], np.ndarray],
        callback: Callable[[Progress], None] | None,
        every: int,
        started: float,
    ):
        self.plan, self.estimate, self.finish = plan, estimate, finish
        self.callback, self.every, self.started = callback, every, started
        self.step, self.steps = 0, sum(level.steps for level in plan)
        self.losses: list[tf.Tensor | np.ndarray] = []
        self.best: tf.Tensor | None = None

    @property
    def until_report(self) -> int:
        """Steps to take before the next look at the losses."""
        return self.every - self.step % self.every

    def note(self, best: tf.Tensor, losses: tf.Tensor | np.ndarray, level: Level) -> None:
        """Steps have been taken, not more than `until_report`; their losses are (steps, 4)."""
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
            finish = functools.partial(self.finish, best)
            self.callback(
                Progress(self.step, self.steps, level, values, seconds, self.estimate, finish)
            )

    def result(self, stopped: bool) -> StyleResult:
        """What there is now, at the size that was promised."""
        last = self.plan[-1]
        pixels = tf.image.resize(self.best, (last.height, last.width), "bicubic")
        history = np.concatenate([np.zeros((0, len(TERMS)), np.float32), *self.losses])
        return StyleResult(
            self.finish(pixels),
            dict(zip(TERMS, history.T, strict=True)),
            time.perf_counter() - self.started,
            tuple(self.plan),
            self.estimate,
            stopped,
        )


def descend_by_adam(
    scene: Scene, objective: Objective, plan: Sequence[Level], rates: Rates, watch: Watch
) -> None:
    """Adam, size after size; `watch` gets the average of its iterates."""
    take_steps, state = compiled_adam(objective), AdamState.start(watch.best)
    most = _most_steps()
    for level in plan:
        if level is not plan[0]:
            state = state.resized(level.height, level.width)
        goal = scene.goal(level, objective)
        left = level.steps
        while left:
            count = min(most, left, watch.until_report)
            state, losses = take_steps(state, goal, rates, tf.constant(float(count)))
            watch.note(state.average, losses[:count], level)
            left -= count


def _most_steps() -> int:
    """Steps in one call. Python hears of Stop between calls only, and on a CPU a step is long."""
    return MOST_STEPS if tf.config.list_physical_devices("GPU") else 1


def descend_by_lbfgs(
    scene: Scene, objective: Objective, plan: Sequence[Level], watch: Watch
) -> None:
    """L-BFGS, size after size; `watch` gets the point with the lowest loss at its size."""
    for level in plan:
        start = tf.image.resize(watch.best, (level.height, level.width), "bicubic")
        start = tf.clip_by_value(start, 0, 255)
        lowest = math.inf

        def note(pixels: tf.Tensor, losses: np.ndarray, level: Level = level) -> None:
            nonlocal lowest
            better = losses[0, 0] < lowest
            lowest = min(lowest, losses[0, 0])
            watch.note(pixels if better else watch.best, losses, level)

        lbfgs(start, scene.goal(level, objective), objective, level.steps, note)
