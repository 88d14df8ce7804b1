"""L-BFGS on pixels, from coarse to fine: the optimizer of the original paper, on the device.

Source: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5 (two loops over the
last steps). Where this departs from it: pixels are kept in 0…255 by projection, and the line search
only asks for a decrease; where the curvature that it meets isn't positive, the pair is left out.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable

import tensorflow as tf

from cnnlab.style.descent import enlarged
from cnnlab.style.loss import Loss
from cnnlab.style.problem import StyleProblem
from cnnlab.style.recorder import Recorder

PAIRS = 10  # of steps and changes of the gradient that the curvature is estimated from
FIRST_MOVE = 5.0  # of the pixel that moves most, in 0…255, while nothing is known of the curvature
DECREASE = 1e-4  # share of what the slope promises that a step has to bring
SMALLEST = 1e-4  # share of a step that is tried
# (step, change of the gradient, their product), the newest last.
Pairs = collections.deque[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


@functools.lru_cache(maxsize=64)
def compiled_gradient(loss: Loss, jit_compile: bool = False) -> Callable:
    """Compile (pixels, targets) -> (losses (4,), gradient of their total times the pixels)."""

    @tf.function(jit_compile=jit_compile)
    def evaluate(pixels: tf.Tensor, targets: tuple) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            terms = loss(pixels, targets)
            total = terms[0]
        area = tf.cast(tf.size(pixels) // 3, tf.float32)
        return terms, area * tape.gradient(total, pixels)

    return evaluate


def dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Compute the inner product of two pictures, a scalar."""
    return tf.reduce_sum(a * b)


def newton_direction(gradient: tf.Tensor, pairs: Pairs) -> tf.Tensor:
    """Return the way down by the curvature that the pairs show: two loops over them."""
    way, shares = -gradient, []
    for step, change, product in reversed(pairs):
        shares.append(dot(step, way) / product)
        way -= shares[-1] * change
    if pairs:
        _, change, product = pairs[-1]
        way *= product / dot(change, change)
    else:
        way *= FIRST_MOVE / (tf.reduce_max(tf.abs(gradient)) + 1e-30)
    for (step, change, product), share in zip(pairs, reversed(shares), strict=True):
        way += (share - dot(change, way) / product) * step
    return way


def lbfgs(
    pixels: tf.Tensor,
    evaluate: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    steps: int,
    record: Callable[[tf.Tensor, tf.Tensor], None],
) -> tf.Tensor:
    """Minimise by L-BFGS in 0…255; return the pixels with the lowest loss.

    Args:
        pixels: Where to start, (1, h, w, 3) in 0…255.
        evaluate: From pixels to losses and the gradient, as `compiled_gradient` makes it.
        steps: Evaluations; those inside line searches count too, since they cost as much.
        record: Is called after each with the best pixels so far, and the losses (1, 4).
    """
    area, pairs = pixels.shape[1] * pixels.shape[2], collections.deque(maxlen=PAIRS)
    terms, gradient = evaluate(pixels)
    record(pixels, terms[None])
    way, share = newton_direction(gradient, pairs), 1.0
    for _ in range(steps - 1):
        tried = tf.clip_by_value(pixels + share * way, 0, 255)
        step = tried - pixels
        new_terms, new_gradient = evaluate(tried)
        gain, promised = area * (new_terms[0] - terms[0]), dot(gradient, step)
        if good := bool(gain <= DECREASE * tf.minimum(promised, 0.0)):
            change = new_gradient - gradient
            product = dot(step, change)
            if product > 1e-8 * dot(change, change):
                pairs.append((step, change, product))
            pixels, terms, gradient = tried, new_terms, new_gradient
            share = 1.0
        else:
            share /= 4
            if share < SMALLEST:  # what was known of the curvature misleads
                pairs.clear()
                share = 1.0
        record(pixels, new_terms[None])
        if good or share == 1.0:
            way = newton_direction(gradient, pairs)
    return pixels


def descend_by_lbfgs(
    problem: StyleProblem, recorder: Recorder, *, jit_compile: bool = False
) -> None:
    """Run L-BFGS from coarse to fine, recording the point with the lowest loss at each size."""
    compiled, pixels = compiled_gradient(problem.loss, jit_compile), recorder.best
    for level in recorder.sizes():
        pixels = enlarged(pixels, (level.height, level.width))
        targets = problem.targets(level)
        recorder.compare_with(problem.loss, targets)
        evaluate = functools.partial(compiled, targets=targets)
        with recorder.compiling():
            evaluate(pixels)
        pixels = lbfgs(pixels, evaluate, level.steps, recorder.record)
