"""Style transfer by nearest neighbours: each place of the picture borrows from one of the style's.

No statistics and no weights of losses: for each place of the content, the place of the style whose
features point the same way is found, and the picture is optimised until its features are those.

Source: Kolkin, Kucera, Paris, Sykora, Shechtman and Shakhnarovich 2022, Neural Neighbor Style
Transfer, https://arxiv.org/abs/2203.13215. Where this departs from it: each layer has a fixed share
of a hypercolumn, so that networks of any scale find the same neighbours; the final colours are a
choice of `stylize`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from cnnlab.style.laplacian import decompose, resized, synthesize
from cnnlab.style.matching import (
    LAYERS,
    SMALL,
    centered_directions,
    grid,
    hypercolumns,
    layer_factors,
    nearest,
)
from cnnlab.style.objective import TERMS
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level
from cnnlab.style.recorder import Recorder
from cnnlab.style.settings import positive_int
from cnnlab.style.vgg import VGGPlan, extract_features

COARSEST = 64  # longer side, about
PLACES = 64  # at most so many a side, and its square of each style, are compared in the last steps
STEPS_PER_CALL = 20
BETA_1, BETA_2 = 0.9, 0.999


class PyramidState(NamedTuple):
    """The state of Adam on a Laplacian pyramid; each field but the last has one tensor a band."""

    bands: tuple[tf.Tensor, ...]
    velocity: tuple[tf.Tensor, ...]
    square: tuple[tf.Tensor, ...]
    count: tf.Tensor

    @classmethod
    def start(cls, pixels: tf.Tensor) -> PyramidState:
        """Return the state before the first step at a size."""
        bands = decompose(pixels)
        zeros = tuple(tf.zeros_like(band) for band in bands)
        return cls(bands, zeros, zeros, tf.constant(0.0))


class Wanted(NamedTuple):
    """What the picture's features are compared with.

    Attributes:
        weights: The network's, from `vgg.device_weights`.
        factors: Layer name -> scalar that features are multiplied by in a hypercolumn.
        vectors: (places, channels): what each place borrowed, of length 1; or empty in the last
            steps, which find neighbours anew.
        styles: Layer name -> (places, channels) of all styles, turned four ways; in the last steps.
    """

    weights: dict[str, tuple[tf.Tensor, ...]]
    factors: dict[str, tf.Tensor]
    vectors: tf.Tensor
    styles: dict[str, tf.Tensor]


def _turned(pixels: tf.Tensor) -> Iterator[tf.Tensor]:
    """Yield a picture turned by 0, 90, 180 and 270 degrees."""
    yield from (tf.image.rot90(pixels, k) for k in range(4))


def matched_loss(pixels: tf.Tensor, wanted: Wanted, plan: VGGPlan) -> tf.Tensor:
    """Compute the mean of 1 − cosine between the picture's hypercolumns and those borrowed."""
    features = extract_features(pixels, wanted.weights, plan, LAYERS)
    own = hypercolumns(features, wanted.factors, grid(pixels))
    own = tf.math.l2_normalize(own, axis=1, epsilon=SMALL)
    return tf.reduce_mean(1 - tf.reduce_sum(own * wanted.vectors, 1))


def unmatched_loss(pixels: tf.Tensor, wanted: Wanted, plan: VGGPlan, seed: tf.Tensor) -> tf.Tensor:
    """Compute the sum over layers of 1 − the cosine to the nearest of the style's features.

    Args:
        pixels: float32 (1, h, w, 3).
        wanted: With `styles`.
        plan: From `vgg.read_vgg`.
        seed: int32 (2,): draws the places compared: a grid of the picture's, some of the style's.
    """
    features = extract_features(pixels, wanted.weights, plan, LAYERS)
    losses = []
    for i, name in enumerate(LAYERS):
        own = tf.cast(features[name][0], tf.float32)
        stride = max(1, max(own.shape[:2]) // PLACES)
        places_seed, keys_seed = tf.unstack(
            tf.random.experimental.stateless_split(
                tf.random.experimental.stateless_fold_in(seed, i), 2
            )
        )
        draw = functools.partial(tf.random.stateless_uniform, dtype=tf.int32, minval=0)
        offset = draw((2,), places_seed, maxval=stride)
        for axis in (0, 1):
            places = offset[axis] + stride * tf.range(own.shape[axis] // stride)
            own = tf.gather(own, places, axis=axis)
        own = centered_directions(tf.reshape(own, (-1, own.shape[-1])))
        keys = wanted.styles[name]
        if keys.shape[0] > 4 * PLACES**2:
            rows = draw((4 * PLACES**2,), keys_seed, maxval=keys.shape[0])
            keys = tf.gather(keys, rows)
        keys = centered_directions(tf.cast(keys, tf.float32))
        likeness = tf.matmul(tf.stop_gradient(own), keys, transpose_b=True)
        found = tf.gather(keys, tf.argmax(likeness, axis=1, output_type=tf.int32))
        losses.append(tf.reduce_mean(1 - tf.reduce_sum(own * found, 1)))
    return tf.add_n(losses)


@functools.lru_cache(maxsize=64)
def compiled_steps(plan: VGGPlan, matched: bool, jit_compile: bool = False) -> Callable:
    """Compile (state, wanted, learning rate, seed, count) -> (state, losses): as `compiled_adam`.

    `matched` takes `matched_loss`, else `unmatched_loss` with places drawn anew at each step.
    """

    @tf.function(jit_compile=jit_compile)
    def steps(
        state: PyramidState,
        wanted: Wanted,
        learning_rate: tf.Tensor,
        seed: tf.Tensor,
        count: tf.Tensor,
    ) -> tuple[PyramidState, tf.Tensor]:
        history = tf.zeros((STEPS_PER_CALL, len(TERMS)))
        for i in tf.range(tf.cast(count, tf.int32)):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(state.bands)
                pixels = synthesize(state.bands)
                if matched:
                    loss = matched_loss(pixels, wanted, plan)
                else:
                    step = tf.stack([seed, tf.cast(state.count, tf.int32)])
                    loss = unmatched_loss(pixels, wanted, plan, step)
            gradient = tape.gradient(loss, state.bands)
            state = _adam(state, gradient, learning_rate)
            terms = tf.stack([loss, 0.0, loss, 0.0])
            history = tf.tensor_scatter_nd_update(history, [[i]], [terms])
        return state, history

    return steps


def _adam(
    state: PyramidState, gradient: Sequence[tf.Tensor], learning_rate: tf.Tensor
) -> PyramidState:
    """Take one step of Adam on each band, with the settings that PyTorch has by default."""
    count = state.count + 1
    bands, velocities, squares = [], [], []
    for band, velocity, square, slope in zip(
        state.bands, state.velocity, state.square, gradient, strict=True
    ):
        velocities.append(BETA_1 * velocity + (1 - BETA_1) * slope)
        squares.append(BETA_2 * square + (1 - BETA_2) * tf.square(slope))
        size = tf.sqrt(squares[-1] / (1 - BETA_2**count)) + 1e-8 / 255
        bands.append(band - learning_rate * velocities[-1] / (1 - BETA_1**count) / size)
    return PyramidState(tuple(bands), tuple(velocities), tuple(squares), count)


def _wanted(problem: StyleProblem, pixels: tf.Tensor, level: Level, content_share: float) -> Wanted:
    """Find what each place borrows; `pixels` are the picture so far, enlarged to this size."""
    styles = [
        tf.constant(problem.network_style(s, level)[None], tf.float32) for s in problem.styles
    ]
    extract = functools.partial(
        extract_features, weights=problem.weights, plan=problem.plan, layers=LAYERS
    )
    factors = layer_factors([extract(style) for style in styles])
    keys = tf.concat(
        [
            hypercolumns(extract(turned), factors, grid(turned))
            for style in styles
            for turned in _turned(style)
        ],
        0,
    )
    content = tf.constant(problem.network_content(level)[None], tf.float32)
    mixed = content_share * content + (1 - content_share) * pixels
    queries = hypercolumns(extract(mixed), factors, grid(mixed))
    vectors = tf.gather(keys, nearest(queries, keys))
    vectors = tf.math.l2_normalize(vectors, axis=1, epsilon=SMALL)
    return Wanted(problem.weights, factors, vectors, {})


def _styles_by_layer(problem: StyleProblem, level: Level) -> dict[str, tf.Tensor]:
    """Return every place's features in all styles, turned four ways: name -> (places, channels)."""
    rows = {name: [] for name in LAYERS}
    for style in problem.styles:
        picture = tf.constant(problem.network_style(style, level)[None], tf.float32)
        for turned in _turned(picture):
            features = extract_features(turned, problem.weights, problem.plan, LAYERS)
            for name, own in features.items():
                rows[name].append(tf.reshape(own, (-1, own.shape[-1])))
    return {name: tf.concat(own, 0) for name, own in rows.items()}


def neighbour_levels(
    problem: StyleProblem,
    size: int | tuple[int, int],
    steps: int | Sequence[int],
    count: int | None,
    ratio: float = 2.0,
) -> tuple[Level, ...]:
    """Return the sizes to work at from coarse to fine, and the last one again.

    Args:
        problem: Gives the pictures.
        size: As for `stylize`.
        steps: Over all, shared out alike; or one number a size and one for the last steps.
        count: How many sizes; None starts as near to 64 pixels as it can.
        ratio: Of a size to the one before.

    Raises:
        ValueError: A size is too small for the network, or the steps are too few.
    """
    listed = isinstance(steps, Sequence)
    if (len(steps) if listed else positive_int("steps", steps)) < 2:
        raise ValueError(
            f"Expected steps for a size and for the last ones, 2 or more. Received: steps={steps!r}"
        )
    if not listed:
        sizes = problem.levels(size, steps - 1, count, ratio, COARSEST)
        share = steps // (len(sizes) + 1)
        steps = [steps - share * len(sizes), *[share] * len(sizes)]
    levels = problem.levels(size, list(steps[:-1]), count, ratio)
    last = levels[-1]
    return (*levels, Level(last.height, last.width, positive_int("steps", steps[-1])))


def descend_by_neighbours(
    problem: StyleProblem,
    recorder: Recorder,
    *,
    learning_rate: float,
    content_share: float,
    seed: int = 0,
    jit_compile: bool = False,
) -> None:
    """Borrow from the style at each size, then once more with neighbours found at every step.

    Args:
        problem: Gives the pictures and the network.
        recorder: Holds the sizes, of which the last is there twice, and in `best` the start.
        learning_rate: Of Adam, in 0…255.
        content_share: Of the content in the picture that neighbours are looked for by; the rest is
            the picture so far with the content's finest detail. The coarsest size uses the content.
        seed: Of the places drawn.
        jit_compile: Whether to compile with XLA.
    """
    gpu = bool(tf.config.list_physical_devices("GPU"))
    most = STEPS_PER_CALL if gpu else 1  # Python hears of Stop between calls, as in `descent`
    pixels, level_before = recorder.best, None
    for number, level in enumerate(recorder.levels):
        shape, matched = (level.height, level.width), number < len(recorder.levels) - 1
        if matched:
            pixels = resized(pixels, shape)
            detail = decompose(tf.constant(problem.network_content(level)[None], tf.float32))[0]
            searched = pixels + detail if level_before else pixels
            share = content_share if level_before else 1.0
            wanted = _wanted(problem, searched, level, share)
        else:
            styles = _styles_by_layer(problem, level)
            wanted = wanted._replace(vectors=tf.zeros((0, 0)), styles=styles)
        take_steps = compiled_steps(problem.plan, matched, jit_compile)
        state, left, level_before = PyramidState.start(pixels), level.steps, level
        numbers = tf.constant(learning_rate, tf.float32), tf.constant(seed)
        while left:
            count = min(most, left, recorder.until_report)
            state, losses = take_steps(state, wanted, *numbers, tf.constant(float(count)))
            pixels = synthesize(state.bands)
            recorder.record(tf.clip_by_value(pixels, 0, 255), losses[:count], level)
            left -= count
