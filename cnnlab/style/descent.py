"""The descent of a style transfer: Adam or L-BFGS on pixels, from coarse to fine.

Nothing that a caller may want to change is part of a compiled function. Pictures, targets, weights
and settings all come in as tensors; what is compiled depends on shapes and on `Objective` alone, so
another run with other numbers uses the same function, and uses the numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnlab.style.objective import TERMS, Objective, Targets, terms_and_gradient
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level
from cnnlab.style.recorder import Recorder

# The most steps that one call of `compiled_adam` takes: a GPU then hardly ever waits for Python.
STEPS_PER_CALL = 20


class AdamSettings(NamedTuple):
    """Adam's settings as scalar tensors: see `adam`."""

    learning_rate: tf.Tensor
    beta_1: tf.Tensor
    beta_2: tf.Tensor
    epsilon: tf.Tensor
    averaging: tf.Tensor

    @classmethod
    def of(
        cls,
        *,
        learning_rate: float,
        averaging: float,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-6,
    ) -> AdamSettings:
        """Make them from numbers; the defaults are K. Crowson's."""
        values = learning_rate, beta_1, beta_2, epsilon, averaging
        return cls(*(tf.constant(value, tf.float32) for value in values))


class AdamState(NamedTuple):
    """The state of Adam: all (1, h, w, 3) float32 but the counts, which are float32 scalars.

    Attributes:
        pixels: The iterate, in 0…255.
        average: The average of the iterates at this size, recent ones counting more.
        velocity: The running mean of the gradient.
        square: The running mean of its square.
        count: Steps taken.
        count_here: Steps taken at this size.
    """

    pixels: tf.Tensor
    average: tf.Tensor
    velocity: tf.Tensor
    square: tf.Tensor
    count: tf.Tensor
    count_here: tf.Tensor

    @classmethod
    def start(cls, pixels: tf.Tensor) -> AdamState:
        """Return the state before the first step."""
        zeros, zero = tf.zeros_like(pixels), tf.constant(0.0)
        return cls(pixels, pixels, zeros, zeros, zero, zero)

    def resized(self, height: int, width: int) -> AdamState:
        """Return the state to continue with at another size: the average, and Adam's moments."""
        size = height, width
        pixels = tf.image.resize(self.average, size, "bicubic")
        pixels = tf.clip_by_value(pixels, 0, 255)
        velocity, square = (tf.image.resize(x, size) for x in (self.velocity, self.square))
        return AdamState(pixels, pixels, velocity, square, self.count, tf.constant(0.0))


def adam(state: AdamState, gradient: tf.Tensor, settings: AdamSettings) -> AdamState:
    """Take one step of Adam, kept in 0…255, and average the iterates.

    Iterates keep moving around the minimum by the learning rate; their average lies inside.

    Sources: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980; the average from Polyak and
    Juditsky 1992, exponential here, and free of bias from its start in the same way as Adam's own.
    """
    count, here = state.count + 1, state.count_here + 1
    velocity = settings.beta_1 * state.velocity + (1 - settings.beta_1) * gradient
    square = settings.beta_2 * state.square + (1 - settings.beta_2) * tf.square(gradient)
    size = tf.sqrt(square / (1 - settings.beta_2**count)) + settings.epsilon
    move = settings.learning_rate * velocity / (1 - settings.beta_1**count) / size
    pixels = tf.clip_by_value(state.pixels - move, 0, 255)
    share = (1 - settings.averaging) / (1 - settings.averaging**here)
    average = state.average + share * (pixels - state.average)
    return AdamState(pixels, average, velocity, square, count, here)


@functools.lru_cache(maxsize=64)
def compiled_adam(objective: Objective, jit_compile: bool = False) -> Callable:
    """Compile (state, targets, settings, count) -> (state, losses): `count` steps in one call.

    The count is a float32 scalar of at most STEPS_PER_CALL (integers would live on the CPU). The
    losses are (STEPS_PER_CALL, 4): before each step, and 0 where none was taken.
    """

    @tf.function(jit_compile=jit_compile)
    def steps(
        state: AdamState, targets: Targets, settings: AdamSettings, count: tf.Tensor
    ) -> tuple[AdamState, tf.Tensor]:
        history = tf.zeros((STEPS_PER_CALL, len(TERMS)))
        for i in tf.range(tf.cast(count, tf.int32)):
            terms, gradient = terms_and_gradient(state.pixels, targets, objective)
            state = adam(state, gradient, settings)
            history = tf.tensor_scatter_nd_update(history, [[i]], [terms])
        return state, history

    return steps


@functools.lru_cache(maxsize=64)
def compiled_gradient(objective: Objective, jit_compile: bool = False) -> Callable:
    """Compile (pixels, targets) -> (losses, gradient)."""

    @tf.function(jit_compile=jit_compile)
    def evaluate(pixels: tf.Tensor, targets: Targets) -> tuple[tf.Tensor, tf.Tensor]:
        return terms_and_gradient(pixels, targets, objective)

    return evaluate


class _StepsTaken(Exception):
    """End SciPy's loop from inside."""


def lbfgs(
    pixels: tf.Tensor,
    evaluate: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    steps: int,
    record: Callable[[tf.Tensor, np.ndarray], None],
) -> None:
    """Run SciPy's L-BFGS-B, bounded to 0…255, for `steps` evaluations of the gradient.

    Args:
        pixels: Where to start, (1, h, w, 3) in 0…255.
        evaluate: From pixels to (terms, gradient), as in `terms_and_gradient`.
        steps: Evaluations; those inside line searches count too, since they cost as much.
        record: Is called with each point evaluated, (1, h, w, 3), and its losses, (1, 4).
    """
    from scipy.optimize import Bounds, minimize  # only needed here, and slow to import

    area, taken = pixels.shape[1] * pixels.shape[2], 0

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal taken
        if taken == steps:
            raise _StepsTaken
        taken += 1
        point = tf.constant(flat.reshape(pixels.shape), tf.float32)
        terms, gradient = (x.numpy() for x in evaluate(point))
        record(point, terms[None])
        return float(terms[0]) * area, gradient.ravel().astype(np.float64)

    start = pixels.numpy().ravel().astype(np.float64)
    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 0, "gtol": 0, "maxcor": 10}
    try:
        minimize(
            value_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0, 255),
            options=options,
        )
    except _StepsTaken:
        pass


def descend_by_adam(
    problem: StyleProblem,
    recorder: Recorder,
    settings: AdamSettings,
    *,
    jit_compile: bool = False,
    steps_per_call: int | None = None,
) -> None:
    """Run Adam from coarse to fine, recording the average of its iterates.

    Args:
        problem: What to minimise.
        recorder: Holds the sizes and, in `best`, the pixels to start from.
        settings: Adam's.
        jit_compile: Whether to compile with XLA.
        steps_per_call: Most steps of one compiled call, at most `STEPS_PER_CALL`. None takes that
            on a GPU and 1 on a CPU: Python hears of Stop between calls, and a step is long there.
    """
    if steps_per_call is None:
        steps_per_call = STEPS_PER_CALL if tf.config.list_physical_devices("GPU") else 1
    take_steps = compiled_adam(problem.objective, jit_compile)
    state = AdamState.start(recorder.best)
    for level in recorder.levels:
        if level is not recorder.levels[0]:
            state = state.resized(level.height, level.width)
        targets = problem.targets(level)
        left = level.steps
        while left:
            count = min(steps_per_call, left, recorder.until_report)
            state, losses = take_steps(state, targets, settings, tf.constant(float(count)))
            recorder.record(state.average, losses[:count], level)
            left -= count


def descend_by_lbfgs(
    problem: StyleProblem, recorder: Recorder, *, jit_compile: bool = False
) -> None:
    """Run L-BFGS from coarse to fine, recording the point with the lowest loss at each size."""
    evaluate = compiled_gradient(problem.objective, jit_compile)
    for level in recorder.levels:
        targets = problem.targets(level)
        start = tf.image.resize(recorder.best, (level.height, level.width), "bicubic")
        start = tf.clip_by_value(start, 0, 255)
        lowest = math.inf

        def record(pixels: tf.Tensor, losses: np.ndarray, level: Level = level) -> None:
            nonlocal lowest
            better = losses[0, 0] < lowest
            lowest = min(lowest, losses[0, 0])
            recorder.record(pixels if better else recorder.best, losses, level)

        lbfgs(start, functools.partial(evaluate, targets=targets), level.steps, record)
