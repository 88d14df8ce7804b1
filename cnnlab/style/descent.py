"""The loop of a style transfer: Adam on pixels, from coarse to fine.

Nothing that a caller may want to change is part of a compiled function. Pictures, targets, weights
and settings all come in as tensors; what is compiled depends on shapes and on the loss alone, so
another run with other numbers uses the same function, and uses the numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnlab import training
from cnnlab.style.laplacian import synthesize
from cnnlab.style.loss import TERMS, Loss
from cnnlab.style.problem import StyleProblem
from cnnlab.style.recorder import Recorder

# The most steps that one call of a compiled function takes: a GPU then hardly waits for Python.
STEPS_PER_CALL = 20
BETAS, EPSILON = (np.float32(0.9), np.float32(0.99)), 1e-6  # K. Crowson's
Tensors = tuple[tf.Tensor, ...]


class AdamState(NamedTuple):
    """The state of Adam on a picture, or on the bands of its Laplacian pyramid.

    Attributes:
        bands: What is optimised: the pixels, (1, h, w, 3) in 0…255, alone, or a pyramid's bands.
        velocity: The running mean of each band's gradient.
        square: The running mean of its square.
        count: Steps taken, a float32 scalar.
        average: Of the pixels at this size, recent ones counting more; empty where none is kept.
        count_here: Steps taken at this size.
    """

    bands: Tensors
    velocity: Tensors
    square: Tensors
    count: tf.Tensor
    average: Tensors
    count_here: tf.Tensor

    @classmethod
    def start(cls, bands: Tensors, average: Tensors = ()) -> AdamState:
        """Return the state before the first step."""
        zeros, zero = tuple(map(tf.zeros_like, bands)), tf.constant(0.0)
        counts = {"count": zero, "count_here": zero}
        return cls(bands, velocity=zeros, square=zeros, average=average, **counts)

    def resized(self, size: tuple[int, int]) -> AdamState:
        """Return the state to continue with at another size: the average, and Adam's moments."""
        pixels = (enlarged(*self.average, size),)
        velocity, square = ((tf.image.resize(x, size),) for (x,) in (self.velocity, self.square))
        moments = {"velocity": velocity, "square": square, "count_here": tf.constant(0.0)}
        return self._replace(bands=pixels, average=pixels, **moments)


def enlarged(pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize pixels (1, h, w, 3) to the next size, in 0…255."""
    return tf.clip_by_value(tf.image.resize(pixels, size, "bicubic"), 0, 255)


def adam_moves(
    state: AdamState,
    gradient: Sequence[tf.Tensor],
    learning_rate: tf.Tensor,
    *,
    betas: tuple[float, float],
    epsilon: float,
) -> tuple[Tensors, Tensors, Tensors]:
    """Return how far Adam moves each band down its gradient; and the new velocity and square.

    Source: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980.
    """
    (beta_1, beta_2), count = betas, state.count + 1
    moves, velocities, squares = [], [], []
    for velocity, square, slope in zip(state.velocity, state.square, gradient, strict=True):
        velocities.append(beta_1 * velocity + (1 - beta_1) * slope)
        squares.append(beta_2 * square + (1 - beta_2) * tf.square(slope))
        size = tf.sqrt(squares[-1] / (1 - beta_2**count)) + epsilon
        moves.append(learning_rate * velocities[-1] / (1 - beta_1**count) / size)
    return tuple(moves), tuple(velocities), tuple(squares)


def averaged_adam(
    state: AdamState, gradient: Sequence[tf.Tensor], settings: dict[str, tf.Tensor]
) -> AdamState:
    """Take one step of Adam on pixels, kept in 0…255, and average the iterates.

    Iterates keep moving around the minimum by the learning rate; their average lies inside.

    Source: Polyak and Juditsky 1992; exponential here, and free of bias from its start in the same
    way as Adam's own averages.
    """
    (pixels,), (average,), here = state.bands, state.average, state.count_here + 1
    averaging = settings["averaging"]
    # A loss is a mean over pixels: times their number, its gradient doesn't depend on the size.
    area = tf.cast(tf.size(pixels) // 3, tf.float32)
    (move,), velocity, square = adam_moves(
        state, [area * x for x in gradient], settings["learning_rate"], betas=BETAS, epsilon=EPSILON
    )
    pixels = tf.clip_by_value(pixels - move, 0, 255)
    share = (1 - averaging) / (1 - averaging**here)
    average += share * (pixels - average)
    moments = {"velocity": velocity, "square": square, "count": state.count + 1}
    return AdamState((pixels,), average=(average,), count_here=here, **moments)


@functools.lru_cache(maxsize=64)
def compiled_steps(loss: Loss, update: Callable, jit_compile: bool = False) -> Callable:
    """Compile (state, targets, settings, count) -> (state, losses): `count` steps in one call.

    The count is a float32 scalar of at most STEPS_PER_CALL (integers would live on the CPU); 0 only
    compiles. The losses are (STEPS_PER_CALL, 4): before each step, and 0 where none was taken.

    Args:
        loss: As `loss.loss_of` returns it.
        update: From a state, its gradient and the settings to the next state.
        jit_compile: Whether to compile with XLA.
    """

    @tf.function(jit_compile=jit_compile)
    def steps(
        state: AdamState, targets: NamedTuple, settings: dict[str, tf.Tensor], count: tf.Tensor
    ) -> tuple[AdamState, tf.Tensor]:
        history = tf.zeros((STEPS_PER_CALL, len(TERMS)))
        for i in tf.range(tf.cast(count, tf.int32)):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(state.bands)
                terms = loss(synthesize(state.bands), targets, state.count)
                total = terms[0]
            state = update(state, tape.gradient(total, state.bands), settings)
            history = tf.tensor_scatter_nd_update(history, [[i]], [terms])
        return state, history

    return steps


def take_steps(
    steps: Callable[[AdamState, tf.Tensor], tuple[AdamState, tf.Tensor]],
    state: AdamState,
    recorder: Recorder,
    steps_per_call: int | None = None,
) -> AdamState:
    """Take all steps of the present size, and record them.

    Args:
        steps: A compiled function, of state and count alone.
        state: To start from.
        recorder: Knows how many steps there are.
        steps_per_call: Most steps of one call, at most `STEPS_PER_CALL`. None takes that on a GPU
            and 1 on a CPU: Python hears of Stop between calls, and a step is long there.
    """
    if steps_per_call is None:
        steps_per_call = STEPS_PER_CALL if training.device().is_gpu else 1
    with recorder.compiling():
        steps(state, count=tf.constant(0.0))
    left = recorder.level.steps
    while left:
        count = min(steps_per_call, left, recorder.until_report)
        state, losses = steps(state, count=tf.constant(float(count)))
        found = state.average or (tf.clip_by_value(synthesize(state.bands), 0, 255),)
        recorder.record(*found, losses[:count])
        left -= count
    return state


def descend_by_adam(
    problem: StyleProblem,
    recorder: Recorder,
    *,
    learning_rate: float,
    averaging: float,
    jit_compile: bool = False,
    steps_per_call: int | None = None,
) -> None:
    """Run Adam from coarse to fine, recording the average of its iterates.

    Args:
        problem: What to minimise.
        recorder: Holds the sizes and, in `best`, the pixels to start from.
        learning_rate: About how far a pixel may move in a step, in 0…255.
        averaging: Share of the past in the average of the iterates, 0…1.
        jit_compile: Whether to compile with XLA.
        steps_per_call: As for `take_steps`.
    """
    settings = {
        "learning_rate": tf.constant(learning_rate, tf.float32),
        "averaging": tf.constant(averaging, tf.float32),
    }
    steps = compiled_steps(problem.loss, averaged_adam, jit_compile)
    state = AdamState.start((recorder.best,), average=(recorder.best,))
    for level in recorder.sizes():
        if level is not recorder.levels[0]:
            state = state.resized((level.height, level.width))
        targets = problem.targets(level)
        recorder.compare_with(problem.loss, targets)
        at_size = functools.partial(steps, targets=targets, settings=settings)
        state = take_steps(at_size, state, recorder, steps_per_call)
