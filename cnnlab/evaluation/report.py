"""A `Report`: what a model said of pictures of known class, and every score that follows."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class ClassScore(NamedTuple):
    """How well one class is recognised; a score whose denominator is 0 is `nan`, not 0."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Calibration(NamedTuple):
    """Confidence against accuracy, bin by bin; an empty bin holds `nan` and a count of 0.

    Attributes:
        confidence: float64 (bins,), mean probability of the predicted class, in 0…1.
        accuracy: float64 (bins,), share of right predictions, in 0…1.
        low: float64 (bins,), lower end of the accuracy's 95 % interval, see `wilson_interval`.
        high: float64 (bins,), its upper end.
        count: int64 (bins,), pictures per bin.
        error: Expected calibration error: mean |confidence - accuracy|, weighted by the counts.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    error: float


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What a model said about n pictures of known class, and every score that follows from it.

    `evaluate` makes one from a model; probabilities from anywhere else can be given directly.

    Attributes:
        probabilities: float (n, k), every row sums to 1.
        labels: Integers (n,) in 0…k-1, the true classes.
        classes: k names.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]

    def __post_init__(self) -> None:
        probabilities, labels = np.asarray(self.probabilities), np.asarray(self.labels)
        if probabilities.ndim != 2 or len(probabilities) == 0:
            raise ValueError(
                "Expected probabilities of shape (n, classes) with n > 0. "
                f"Received: probabilities.shape={probabilities.shape}"
            )
        n, k = probabilities.shape
        if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) or probabilities.min() < 0:
            raise ValueError(
                "Expected rows of probabilities: no value below 0, each row with a sum of 1. "
                f"Received: probabilities[0]={probabilities[0]}. "
                "For logits, take their softmax first; `evaluate(model, ...)` does."
            )
        require_names(self.classes)
        if len(self.classes) != k:
            raise ValueError(
                f"Expected {k} class names, one per column of the probabilities. "
                f"Received: classes={tuple(self.classes)}"
            )
        # Labels (n, 1) would compare with predictions (n,) as an n x n table, without an error.
        if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Expected integer labels of shape ({n},), one per picture. "
                f"Received: labels.shape={labels.shape}, labels.dtype={labels.dtype}. "
                "Take `labels[:, 0]` of a column, `labels.argmax(axis=1)` of one-hot rows."
            )
        if labels.min() < 0 or labels.max() >= k:
            raise ValueError(
                f"Expected labels in 0…{k - 1}. "
                f"Received: labels from {labels.min()} to {labels.max()}"
            )
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "classes", tuple(self.classes))

    @property
    def predictions(self) -> np.ndarray:
        """int64 (n,): the most probable class of each picture."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of right predictions, in 0…1."""
        return float(np.count_nonzero(self.predictions == self.labels) / len(self.labels))

    @property
    def interval(self) -> float:
        """Half the width of the accuracy's 95 % interval, in 0…1, see `wilson_interval`.

        It tells how far chance alone moves the accuracy on another test set of this size.
        """
        low, high = wilson_interval(self.accuracy, len(self.labels))
        return float((high - low) / 2)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats: of -ln of the probability given to the true class."""
        p = self.probabilities[np.arange(len(self.labels)), self.labels].astype(np.float64)
        # A probability that underflowed to 0 costs 87 nats instead of infinitely many.
        return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).sum() / len(p))

    @property
    def confusion(self) -> np.ndarray:
        """int64 (k, k): pictures of the row's class that were taken for the column's."""
        k = len(self.classes)
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    @property
    def per_class(self) -> tuple[ClassScore, ...]:
        """Precision, recall, F1 and number of pictures of each class."""
        confusion = self.confusion
        hits, truths, guesses = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        return tuple(
            ClassScore(name, _ratio(hit, guess), _ratio(hit, truth), _ratio(2 * hit, guess + truth),
                       int(truth))
            for name, hit, truth, guess in zip(self.classes, hits, truths, guesses, strict=True)
        )  # fmt: skip

    @property
    def mistakes(self) -> np.ndarray:
        """int64: indices of the wrongly predicted pictures, the most confident first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")]

    def most_confused(self, n: int = 5) -> list[tuple[str, str, int]]:
        """List the n most frequent mistakes as (true class, predicted class, count)."""
        errors = self.confusion
        np.fill_diagonal(errors, 0)
        pairs = np.argsort(-errors, axis=None, kind="stable")[:n]
        cells = zip(*np.unravel_index(pairs, errors.shape), strict=True)
        return [
            (self.classes[int(truth)], self.classes[int(guess)], int(errors[truth, guess]))
            for truth, guess in cells
            if errors[truth, guess]
        ]

    def calibration(self, bins: int = 10) -> Calibration:
        """Compare confidence with accuracy: is a confidence of 90 % right 9 times in 10?

        Pictures are sorted by the probability of their predicted class into bins of equal width
        over 0…1.

        Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

        Args:
            bins: How many. A bin holds its upper edge and not its lower one.

        Raises:
            ValueError: Less than one bin.
        """
        if bins < 1:
            raise ValueError(f"Expected at least one bin. Received: bins={bins}")
        confidence = self.probabilities.max(axis=1).astype(np.float64)
        right = self.predictions == self.labels
        bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
        count = np.bincount(bin_of, minlength=bins)
        sums = np.bincount(bin_of, confidence, minlength=bins)
        hits = np.bincount(bin_of, right, minlength=bins)
        some = np.where(count > 0, count, np.nan)
        error = float(np.abs(sums - hits).sum() / len(right))
        accuracy = hits / some
        low, high = (np.asarray(end) for end in wilson_interval(accuracy, some))
        return Calibration(sums / some, accuracy, low, high, count, error)

    def __repr__(self) -> str:
        return f"Report({self._headline()})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(score.name)}</th><td>{_percent(score.precision)}</td>"
            f"<td>{_percent(score.recall)}</td><td>{_percent(score.f1)}</td>"
            f"<td>{score.support:,}</td></tr>"
            for score in self.per_class
        )
        return (
            f"<table><caption>{self._headline()}</caption><thead><tr><th>class</th>"
            "<th>precision</th><th>recall</th><th>F1</th><th>pictures</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )

    def _headline(self) -> str:
        return (
            f"accuracy {self.accuracy:.2%} ± {self.interval:.2%} (95 % interval), "
            f"loss {self.loss:.3f}, {len(self.labels):,} pictures"
        )


def require_names(classes: Any) -> None:
    """Refuse class names without an order of their own, and names that two classes share.

    Raises:
        ValueError: They are a set, a dictionary, or not all different.
    """
    if isinstance(classes, Mapping) or not hasattr(classes, "__getitem__"):
        raise ValueError(
            "Expected classes to be a list of names, in the order of the model's outputs. "
            f"Received: classes={classes!r}, a {type(classes).__name__}; write them as a list"
        )
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise ValueError(
            "Expected a name of its own for each class. Received: classes with "
            f"{', '.join(map(repr, twice))} more than once; rename one, or join the classes"
        )


def wilson_interval(
    share: float | np.ndarray, n: int | np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Compute the 95 % Wilson score interval of a share of n independent trials.

    Unlike the textbook's share ± 1.96·√(share·(1-share)/n) it is no single point at 0 or 1, and
    stays in 0…1; its middle is a little nearer to ½ than the share.
    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    Args:
        share: In 0…1, such as an accuracy.
        n: How many trials, such as the pictures that were scored; more than 0.

    Returns:
        Its lower and its upper end.
    """
    z = 1.959964  # standard deviations around the mean that hold 95 %
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return middle - half, middle + half


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan


def _percent(score: float) -> str:
    return "–" if math.isnan(score) else f"{score:.1%}"
