"""What each exercise asks for: its solution, inputs to try, and the likely mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Exercise:
    """What a function should do.

    Attributes:
        solution: Does it.
        inputs: Tuples of arguments to try it on.
        mistakes: What is likely to be wrong, in words, and a function that does it so.
    """

    solution: Callable
    inputs: Sequence[tuple]
    mistakes: Mapping[str, Callable] = field(default_factory=dict)


# ---- Notebook 1 --------------------------------------------------------------------------------


def _output_size(pixels, kernel, stride, padding):
    return -(-pixels // stride) if padding == "same" else (pixels - kernel) // stride + 1


def _softmax(scores):
    powers = np.exp(scores - np.max(scores))
    return powers / powers.sum()


def _receptive_field(layers):
    side, distance = 1, 1
    for kernel, stride in layers:
        side, distance = side + (kernel - 1) * distance, distance * stride
    return side


# ---- Notebook 2 --------------------------------------------------------------------------------


def _parameters(side, channels, filters):
    return filters * (side * side * channels + 1)


def _top_k_accuracy(scores, labels, k):
    best = np.argsort(scores, axis=1)[:, -k:]
    return np.mean([label in row for label, row in zip(labels, best, strict=True)])


def _nearest_class(features, labels, query):
    cosines = features @ query / np.linalg.norm(features, axis=1)
    return labels[np.argmax(cosines)]


# ---- Notebook 3 --------------------------------------------------------------------------------


def _covariance(maps):
    rows = np.reshape(maps, (-1, np.shape(maps)[-1]))
    rows = rows - rows.mean(axis=0)
    return rows.T @ rows / len(rows)


def _roughness(picture):
    down = np.mean(np.diff(picture, axis=0) ** 2)
    return down + np.mean(np.diff(picture, axis=1) ** 2)


def _adain(maps, wanted):
    """Huang and Belongie 2017, https://arxiv.org/abs/1703.06868."""
    return (maps - maps.mean((0, 1))) / maps.std((0, 1)) * wanted.std((0, 1)) + wanted.mean((0, 1))


_rng = np.random.default_rng(0)
_MAPS, _OTHERS = _rng.normal(2, 3, (6, 5, 4)), _rng.normal(-1, 2, (7, 9, 4))
_LABELS = _rng.integers(10, size=50)
_SCORES = _rng.normal(size=(50, 10)) + 2 * np.eye(10)[_LABELS]
_POINTS = _rng.normal(size=(30, 8)) * _rng.uniform(0.1, 10, (30, 1))

EXERCISES = {
    "output_size": Exercise(
        _output_size,
        [(8, 3, 1, "valid"), (8, 3, 2, "valid"), (32, 5, 2, "same"), (33, 5, 2, "same")],
        {
            "The first place counts too: one more.": lambda n, k, s, p: (n - k) // s,
            "A place that the filter reaches only in part doesn't count: round down.": (
                lambda n, k, s, p: -(-(n - k) // s) + 1
            ),
            'With "same" zeros surround the picture, and the size of the filter doesn\'t count.': (
                lambda n, k, s, p: _output_size(n, k, s, "valid")
            ),
            'With "same" the last stride may be incomplete, and has a place all the same: round '
            "up.": lambda n, k, s, p: n // s if p == "same" else _output_size(n, k, s, p),
        },
    ),
    "softmax": Exercise(
        _softmax,
        [(np.array([1.0, 2.0, 3.0]),), (np.zeros(4),), (np.array([-5.0, 0.0, 1000.0]),)],
        {
            "Scores may be negative, probabilities not: raise e to their power first.": (
                lambda s: s / s.sum()
            ),
            "They don't add up to 1: divide by the sum of all.": lambda s: np.exp(s),
            "e to the power of 1,000 is more than a float holds. Only differences of scores count: "
            "take the largest off all of them first.": lambda s: np.exp(s) / np.exp(s).sum(),
            "Divide by the sum of all, not by the largest.": (
                lambda s: np.exp(s) / np.exp(s).max()
            ),
        },
    ),
    "receptive_field": Exercise(
        _receptive_field,
        [
            ([(3, 1)],),
            ([(3, 1), (3, 1)],),
            ([(3, 1), (2, 2), (3, 1)],),
            ([(7, 2), (3, 2), (3, 1)],),
        ],
        {
            "After a stride, a step in the map is worth more pixels: multiply.": (
                lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers)
            ),
            "A layer's own stride counts for the layers after it, not for itself.": (
                lambda layers: (
                    1
                    + sum(
                        (kernel - 1) * np.prod([s for _, s in layers[: i + 1]], dtype=int)
                        for i, (kernel, _) in enumerate(layers)
                    )
                )
            ),
        },
    ),
    "parameters": Exercise(
        _parameters,
        [(3, 3, 64), (3, 64, 64), (1, 512, 10)],
        {
            "Each filter has a bias too.": lambda side, c, f: f * side * side * c,
            "One bias a filter, not one for each of its weights or channels.": (
                lambda side, c, f: f * (side * side * c + c)
            ),
            "A filter is as deep as its input: count the channels.": (
                lambda side, c, f: f * (side * side + 1)
            ),
        },
    ),
    "top_k_accuracy": Exercise(
        _top_k_accuracy,
        [(_SCORES, _LABELS, 1), (_SCORES, _LABELS, 5), (_SCORES, _LABELS, 10)],
        {
            "These are the k lowest scores: `argsort` begins with the smallest.": (
                lambda scores, labels, k: np.mean(
                    (np.argsort(scores, axis=1)[:, :k] == labels[:, None]).any(axis=1)
                )
            ),
            "That is the number of right answers: divide by the number of pictures.": (
                lambda scores, labels, k: len(labels) * _top_k_accuracy(scores, labels, k)
            ),
        },
    ),
    "nearest_class": Exercise(
        _nearest_class,
        [(_POINTS, np.arange(30), query) for query in _rng.normal(size=(5, 8))],
        {
            "A dot product grows with the length of the features: divide by it, so that only "
            "their direction counts.": lambda f, labels, q: labels[np.argmax(f @ q)],
            "That is the nearest by distance; here the angle counts.": (
                lambda f, labels, q: labels[np.argmin(np.linalg.norm(f - q, axis=1))]
            ),
        },
    ),
    "covariance": Exercise(
        _covariance,
        [(_MAPS,), (_OTHERS,)],
        {
            "That is the Gram matrix: take each map's mean off first.": (
                lambda maps: np.einsum("hwi,hwj->ij", maps, maps) / maps[..., 0].size
            ),
            "It is a mean over all places: divide by their number.": (
                lambda maps: _covariance(maps) * maps[..., 0].size
            ),
            "Divide by the number of places, not by one less.": (
                lambda maps: np.cov(np.reshape(maps, (-1, np.shape(maps)[-1])).T)
            ),
            "Each map has a mean of its own: take it over height and width alone.": (
                lambda maps: np.einsum("hwi,hwj->ij", *[maps - maps.mean()] * 2) / maps[..., 0].size
            ),
        },
    ),
    "roughness": Exercise(
        _roughness,
        [(_MAPS,), (255 * np.eye(4)[..., None],)],
        {
            "Square the differences.": (
                lambda x: sum(np.mean(np.abs(np.diff(x, axis=axis))) for axis in (0, 1))
            ),
            "Take means, not sums, or a larger picture is rougher.": (
                lambda x: sum(np.sum(np.diff(x, axis=axis) ** 2) for axis in (0, 1))
            ),
            "Neighbours to the right are missing.": lambda x: np.mean(np.diff(x, axis=0) ** 2),
            "Neighbours below are missing.": lambda x: np.mean(np.diff(x, axis=1) ** 2),
        },
    ),
    "adain": Exercise(
        _adain,
        [(_MAPS, _OTHERS), (_OTHERS, _MAPS)],
        {
            "Each map has a mean and a spread of its own: take them over height and width alone.": (
                lambda x, y: (x - x.mean()) / x.std() * y.std() + y.mean()
            ),
            "Divide by the standard deviation, the root of the variance.": (
                lambda x, y: (x - x.mean((0, 1))) / x.var((0, 1)) * y.var((0, 1)) + y.mean((0, 1))
            ),
            "The mean is right now, the spread isn't yet.": (
                lambda x, y: x - x.mean((0, 1)) + y.mean((0, 1))
            ),
        },
    ),
}
