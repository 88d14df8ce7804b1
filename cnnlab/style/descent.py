"""The inner loop of style transfer: one objective, and two ways down it.

Nothing that a caller may want to change is baked into a compiled function. Pictures, targets,
weights and rates all come in as tensors; what is compiled depends on shapes and on `Objective`
alone, so another run with other numbers uses the same function, and uses the numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnlab.style import features as style_features
from cnnlab.style import losses as style_losses
from cnnlab.style.features import Chain

TERMS = ("total", "content", "style", "variation")
# The most steps that one call of `compiled_adam` takes: a GPU then hardly ever waits for Python.
MOST_STEPS = 20


@dataclass(frozen=True)
class Objective:
    """What is compared, without numbers: the part of a style transfer that gets compiled.

    Attributes:
        chain: The network, to the deepest layer compared.
        content_layers: Names; empty leaves content out.
        style_layers: Names; empty leaves style out.
        style_loss: One of `style_losses.STYLE_LOSSES`.
        jit_compile: Whether to compile with XLA.
    """

    chain: Chain
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_loss: str = "gram"
    jit_compile: bool = False


class Region(NamedTuple):
    """A part of the picture and the style that it is to have.

    Attributes:
        targets: Layer name -> `StyleTarget`.
        weight: Scalar share of the style loss.
        masks: Layer name -> (height, width) of that layer; empty for the whole picture.
    """

    targets: dict[str, style_losses.StyleTarget]
    weight: tf.Tensor
    masks: dict[str, tf.Tensor]


class Goal(NamedTuple):
    """The numbers of an objective, all float32 tensors unless noted.

    Attributes:
        weights: The network's, from `style_features.to_device`, in the precision to compute in.
        content: Layer name -> features wanted, in the same precision.
        regions: The styles wanted.
        layer_weights: Layer name -> its shares (in the content loss, in the style loss).
        term_weights: (3,): of content, style and total variation.
    """

    weights: dict[str, tuple[tf.Tensor, ...]]
    content: dict[str, tf.Tensor]
    regions: tuple[Region, ...]
    layer_weights: dict[str, tf.Tensor]
    term_weights: tf.Tensor


def losses(pixels: tf.Tensor, goal: Goal, objective: Objective) -> tf.Tensor:
    """The terms in the order of `TERMS`, (4,); the first is the weighted sum of the others."""
    content, style = objective.content_layers, objective.style_layers
    answers = {}
    if content or style:
        answers = style_features.features(
            pixels, goal.weights, objective.chain, dict.fromkeys(content + style)
        )
    shares = goal.layer_weights
    terms = [
        sum(
            (
                shares[n][0] * style_losses.content_distance(answers[n], goal.content[n])
                for n in content
            ),
            tf.constant(0.0),
        ),
        sum(
            (shares[n][1] * _style(n, answers[n], goal.regions, objective) for n in style),
            tf.constant(0.0),
        ),
        style_losses.total_variation(pixels),
    ]
    return tf.stack([tf.reduce_sum(goal.term_weights * tf.stack(terms)), *terms])


def _style(
    name: str, answer: tf.Tensor, regions: tuple[Region, ...], objective: Objective
) -> tf.Tensor:
    kind = objective.style_loss
    found = (style_losses.statistics(answer, kind, region.masks.get(name)) for region in regions)
    return sum(
        region.weight * style_losses.style_distance(statistics, region.targets[name], kind)
        for region, statistics in zip(regions, found, strict=True)
    )


def slope(pixels: tf.Tensor, goal: Goal, objective: Objective) -> tuple[tf.Tensor, tf.Tensor]:
    """The losses and the gradient of their weighted sum, times the number of pixels.

    So scaled, a gradient's size doesn't depend on the picture's: a loss is a mean over pixels.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pixels)
        terms = losses(pixels, goal, objective)
        total = terms[0]
    area = tf.cast(tf.size(pixels) // 3, tf.float32)
    return terms, area * tape.gradient(total, pixels)


class Rates(NamedTuple):
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
    ) -> Rates:
        """Rates from numbers; those with defaults are K. Crowson's."""
        values = learning_rate, beta_1, beta_2, epsilon, averaging
        return cls(*(tf.constant(value, tf.float32) for value in values))


class AdamState(NamedTuple):
    """Where Adam is: all (1, h, w, 3) float32 but the counts, which are float32 scalars.

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
        zeros, zero = tf.zeros_like(pixels), tf.constant(0.0)
        return cls(pixels, pixels, zeros, zeros, zero, zero)

    def resized(self, height: int, width: int) -> AdamState:
        """The state to go on with at another size: from the average, with what Adam has learnt."""
        size = height, width
        pixels = tf.image.resize(self.average, size, "bicubic")
        pixels = tf.clip_by_value(pixels, 0, 255)
        velocity, square = (tf.image.resize(x, size) for x in (self.velocity, self.square))
        return AdamState(pixels, pixels, velocity, square, self.count, tf.constant(0.0))


def adam(state: AdamState, gradient: tf.Tensor, rates: Rates) -> AdamState:
    """One step of Adam, kept in 0…255, and of the average of its iterates.

    Iterates keep jumping about the minimum by the learning rate; their average lies inside.

    Sources: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980; the average from Polyak and
    Juditsky 1992, exponential here, and free of bias from its start in the same way as Adam's own.
    """
    count, here = state.count + 1, state.count_here + 1
    velocity = rates.beta_1 * state.velocity + (1 - rates.beta_1) * gradient
    square = rates.beta_2 * state.square + (1 - rates.beta_2) * tf.square(gradient)
    size = tf.sqrt(square / (1 - rates.beta_2**count)) + rates.epsilon
    move = rates.learning_rate * velocity / (1 - rates.beta_1**count) / size
    pixels = tf.clip_by_value(state.pixels - move, 0, 255)
    share = (1 - rates.averaging) / (1 - rates.averaging**here)
    average = state.average + share * (pixels - state.average)
    return AdamState(pixels, average, velocity, square, count, here)


@functools.lru_cache(maxsize=64)
def compiled_adam(objective: Objective) -> Callable:
    """(state, goal, rates, count) -> (state, losses): `count` steps in one call, compiled.

    The count is a float32 scalar of at most MOST_STEPS (integers would live on the CPU). The losses
    are (MOST_STEPS, 4): before each step, and 0 where none was taken.
    """

    @tf.function(jit_compile=objective.jit_compile)
    def steps(
        state: AdamState, goal: Goal, rates: Rates, count: tf.Tensor
    ) -> tuple[AdamState, tf.Tensor]:
        history = tf.zeros((MOST_STEPS, len(TERMS)))
        for i in tf.range(tf.cast(count, tf.int32)):
            terms, gradient = slope(state.pixels, goal, objective)
            state = adam(state, gradient, rates)
            history = tf.tensor_scatter_nd_update(history, [[i]], [terms])
        return state, history

    return steps


@functools.lru_cache(maxsize=64)
def compiled_slope(objective: Objective) -> Callable:
    """(pixels, goal) -> (losses, gradient), compiled."""

    @tf.function(jit_compile=objective.jit_compile)
    def evaluate(pixels: tf.Tensor, goal: Goal) -> tuple[tf.Tensor, tf.Tensor]:
        return slope(pixels, goal, objective)

    return evaluate


class _Enough(Exception):
    """Ends SciPy's loop from inside."""


def lbfgs(
    pixels: tf.Tensor,
    goal: Goal,
    objective: Objective,
    steps: int,
    note: Callable[[tf.Tensor, np.ndarray], None],
) -> None:
    """SciPy's L-BFGS-B, with the pixels' own bounds, for `steps` evaluations of the gradient.

    Args:
        pixels: Where to start, (1, h, w, 3) in 0…255.
        goal: The numbers of the objective.
        objective: What to minimise.
        steps: Evaluations; those inside line searches count too, since they cost as much.
        note: Is called with each point evaluated, (1, h, w, 3), and its losses, (1, 4).
    """
    from scipy.optimize import Bounds, minimize  # only needed here, and slow to import

    evaluate, area, taken = compiled_slope(objective), pixels.shape[1] * pixels.shape[2], 0

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal taken
        if taken == steps:
            raise _Enough
        taken += 1
        point = tf.constant(flat.reshape(pixels.shape), tf.float32)
        terms, gradient = (x.numpy() for x in evaluate(point, goal))
        note(point, terms[None])
        return float(terms[0]) * area, gradient.ravel().astype(np.float64)

    start = pixels.numpy().ravel().astype(np.float64)
    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 0, "gtol": 0, "maxcor": 10}
    try:
        minimize(
            value_and_slope,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0, 255),
            options=options,
        )
    except _Enough:
        pass
