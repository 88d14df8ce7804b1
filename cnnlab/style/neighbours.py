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
from collections.abc import Iterator, Sequence

import tensorflow as tf

from cnnlab.style.descent import AdamState, adam_moves, compiled_steps, take_steps
from cnnlab.style.laplacian import decompose, resized, synthesize
from cnnlab.style.loss import Loss
from cnnlab.style.matching import (
    LAYERS,
    SMALL,
    centered_directions,
    grid,
    hypercolumns,
    layer_factors,
    nearest,
)
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level
from cnnlab.style.recorder import Recorder
from cnnlab.style.settings import positive_int
from cnnlab.style.vgg import VGGPlan, extract_features

COARSEST = 64  # longer side, about
PLACES = 64  # at most so many a side, and its square of each style, are compared in the last steps
BETAS, EPSILON = (0.9, 0.999), 1e-8 / 255  # PyTorch's
# The network's weights; then what the loss needs of the style: see `matched_loss` and the other.
Wanted = tuple[dict[str, tuple[tf.Tensor, ...]], ...]


def _turned(pixels: tf.Tensor) -> Iterator[tf.Tensor]:
    """Yield a picture turned by 0, 90, 180 and 270 degrees."""
    yield from (tf.image.rot90(pixels, k) for k in range(4))


@functools.lru_cache(maxsize=64)
def matched_loss(plan: VGGPlan) -> Loss:
    """Return the mean of 1 − cosine between a picture's hypercolumns and those borrowed, as a loss.

    Its targets are the network's weights, the layers' factors in a hypercolumn, and what each place
    borrowed, (places, channels), of length 1.
    """

    def terms(pixels: tf.Tensor, targets: Wanted, step: tf.Tensor | None = None) -> tf.Tensor:
        weights, factors, vectors = targets
        features = extract_features(pixels, weights, plan, LAYERS)
        own = hypercolumns(features, factors, grid(pixels))
        own = tf.math.l2_normalize(own, axis=1, epsilon=SMALL)
        return _as_terms(tf.reduce_mean(1 - tf.reduce_sum(own * vectors, 1)))

    return terms


@functools.lru_cache(maxsize=64)
def unmatched_loss(plan: VGGPlan) -> Loss:
    """Return the sum over layers of 1 − the cosine to the nearest of the style's features.

    Its targets are the network's weights, layer name -> (places, channels) of all styles, turned
    four ways, and the seed, int32. It draws the places compared anew at each step: a grid of the
    picture's, some of the style's.
    """

    def terms(pixels: tf.Tensor, targets: Wanted, step: tf.Tensor) -> tf.Tensor:
        weights, styles, seed = targets
        seed = tf.stack([seed, tf.cast(step, tf.int32)])
        features = extract_features(pixels, weights, plan, LAYERS)
        losses = []
        for i, name in enumerate(LAYERS):
            drawn = tf.random.experimental.stateless_fold_in(seed, i)
            drawn = tf.unstack(tf.random.experimental.stateless_split(drawn, 2))
            own = _some_places(tf.cast(features[name][0], tf.float32), drawn[0])
            keys = _some_rows(styles[name], drawn[1])
            likeness = tf.matmul(tf.stop_gradient(own), keys, transpose_b=True)
            found = tf.gather(keys, tf.argmax(likeness, axis=1, output_type=tf.int32))
            losses.append(tf.reduce_mean(1 - tf.reduce_sum(own * found, 1)))
        return _as_terms(tf.add_n(losses))

    return terms


def _as_terms(loss: tf.Tensor) -> tf.Tensor:
    """Return a loss of style alone as the terms that every loss has."""
    return tf.stack([loss, 0.0, loss, 0.0])


_draw = functools.partial(tf.random.stateless_uniform, dtype=tf.int32, minval=0)


def _some_places(maps: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return directions at a grid of places of (h, w, channels), of at most PLACES a side."""
    stride = max(1, max(maps.shape[:2]) // PLACES)
    offset = _draw((2,), seed, maxval=stride)
    for axis in (0, 1):
        places = offset[axis] + stride * tf.range(maps.shape[axis] // stride)
        maps = tf.gather(maps, places, axis=axis)
    return centered_directions(tf.reshape(maps, (-1, maps.shape[-1])))


def _some_rows(keys: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return directions of some of (places, channels)."""
    if keys.shape[0] > 4 * PLACES**2:
        keys = tf.gather(keys, _draw((4 * PLACES**2,), seed, maxval=keys.shape[0]))
    return centered_directions(tf.cast(keys, tf.float32))


def pyramid_adam(
    state: AdamState, gradient: Sequence[tf.Tensor], settings: dict[str, tf.Tensor]
) -> AdamState:
    """Take one step of Adam on each band."""
    moves, *means = adam_moves(
        state, gradient, settings["learning_rate"], betas=BETAS, epsilon=EPSILON
    )
    bands = tuple(band - move for band, move in zip(state.bands, moves, strict=True))
    return state._replace(bands=bands, velocity=means[0], square=means[1], count=state.count + 1)


def _matched_targets(problem: StyleProblem, searched: tf.Tensor, level: Level) -> Wanted:
    """Find what each place borrows, for the picture given."""
    styles = [problem.network_style(picture, level) for picture, _, _ in problem.styles]
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
    queries = hypercolumns(extract(searched), factors, grid(searched))
    vectors = tf.gather(keys, nearest(queries, keys))
    return problem.weights, factors, tf.math.l2_normalize(vectors, axis=1, epsilon=SMALL)


class NeighbourProblem(StyleProblem):
    """The same problem by neighbours: at each size, and at the last one again."""

    def final_loss(self, level: Level, seed: int = 0) -> tuple[Loss, Wanted]:
        """Return the loss of the last steps and its targets: every place of all styles, turned."""
        rows = {name: [] for name in LAYERS}
        for picture, _, _ in self.styles:
            for turned in _turned(self.network_style(picture, level)):
                features = extract_features(turned, self.weights, self.plan, LAYERS)
                for name, own in features.items():
                    rows[name].append(tf.reshape(own, (-1, own.shape[-1])))
        styles = {name: tf.concat(own, 0) for name, own in rows.items()}
        return unmatched_loss(self.plan), (self.weights, styles, tf.constant(seed % 2**31))

    def levels(
        self,
        size: int | tuple[int, int],
        steps: int | Sequence[int],
        count: int | None,
        *,
        ratio: float = 2.0,
        coarsest: int = COARSEST,
    ) -> tuple[Level, ...]:
        """Return the sizes to work at from coarse to fine, and the last one again.

        Args:
            size: As for `stylize`.
            steps: Over all, shared out alike; or one number a size and one for the last steps.
            count: How many sizes; None starts as near to `coarsest` as it can.
            ratio: Of a size to the one before.
            coarsest: Longer side, about.

        Raises:
            ValueError: A size is too small for the network, or the steps are too few.
        """
        listed = isinstance(steps, Sequence)
        if (len(steps) if listed else positive_int("steps", steps)) < 2:
            raise ValueError(
                "Expected steps for a size and for the last ones, 2 or more. "
                f"Received: steps={steps!r}"
            )
        if not listed:
            sizes = super().levels(size, steps - 1, count, ratio=ratio, coarsest=coarsest)
            share = steps // (len(sizes) + 1)
            steps = [steps - share * len(sizes), *[share] * len(sizes)]
        levels = super().levels(size, list(steps[:-1]), count, ratio=ratio)
        last = levels[-1]
        return (*levels, Level(last.height, last.width, positive_int("steps", steps[-1])))


def descend_by_neighbours(
    problem: NeighbourProblem,
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
    pixels, (first, *_, last) = recorder.best, recorder.levels
    settings = {"learning_rate": tf.constant(learning_rate, tf.float32)}
    for level in recorder.sizes():
        if level is last:
            loss, wanted = problem.final_loss(level, seed)
        else:
            pixels = resized(pixels, (level.height, level.width))
            searched = content = problem.network_content(level)
            if level is not first:
                mixed = pixels + decompose(content)[0]
                searched = content_share * content + (1 - content_share) * mixed
            loss, wanted = matched_loss(problem.plan), _matched_targets(problem, searched, level)
        recorder.compare_with(loss, wanted)
        steps = compiled_steps(loss, pyramid_adam, jit_compile)
        at_size = functools.partial(steps, targets=wanted, settings=settings)
        state = take_steps(at_size, AdamState.start(decompose(pixels)), recorder)
        pixels = synthesize(state.bands)
