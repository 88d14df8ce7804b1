"""Splits: draw a part of a set in which every class has its proportion."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import numpy as np

from cnnlab import images
from cnnlab.data.folders import SHARES, Files


def stratified(labels: np.ndarray, size: int | float, *, seed: int = 0) -> np.ndarray:
    """Draw a part in which every class has its proportion, and at least one member.

    Args:
        labels: Integers (n,).
        size: A count (int) or a fraction (float in 0…1).
        seed: For a random stream of its own. The shares of a class drawn with the same seed
            contain each other: a larger part only adds to a smaller one of the class.

    Returns:
        int64 indices into labels, in ascending order.

    Raises:
        ValueError: Labels of another shape, a size that they don't allow, or no such seed.
    """
    if np.ndim(labels) != 1:
        raise ValueError(
            "Expected labels of shape (n,), a class for each picture; take labels.argmax(axis=1) "
            f"of one-hot rows. Received: labels.shape={np.shape(labels)}"
        )
    if not len(labels):
        raise ValueError("Expected at least one label. Received: len(labels)=0")
    classes, members = np.unique(labels, return_inverse=True)
    size = count_of(size, len(labels), at_least=len(classes))
    shares = _shares(np.bincount(members), size)
    rng = generator(seed)
    drawn = [
        rng.permutation(np.flatnonzero(members == index))[:share]
        for index, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(drawn))


def generator(seed: int) -> np.random.Generator:
    """Start a random stream, the same for the same seed; refuse seeds that Keras wouldn't take."""
    return np.random.default_rng(images.whole_number(seed, "seed", 0, 2**32 - 1))


def count_of(
    size: int | float, total: int, *, at_least: int, at_most: int | None = None, name: str = "size"
) -> int:
    """Turn a count or a fraction of the total into a count, and refuse one beyond its bounds."""
    at_most = total if at_most is None else at_most
    try:
        count = (
            round(size * total) if isinstance(size, float | np.floating) else operator.index(size)
        )
    except (TypeError, ValueError, OverflowError):
        count = -1
    if not at_least <= count <= at_most or isinstance(size, bool):
        raise ValueError(
            f"Expected a count from {at_least} (one of each class) to {at_most:,}, or a fraction "
            f"of {total:,} as a float that makes such a count. Received: {name}={size!r}"
        )
    return count


def largest_part(labels: np.ndarray) -> int:
    """Return how large a part can be that leaves at least one member of each class."""
    counts = np.unique(labels, return_counts=True)[1]
    low, high = 0, len(labels)  # the first does, the second doesn't
    while high - low > 1:
        middle = (low + high) // 2
        fits = middle < len(counts) or (_shares(counts, middle) < counts).all()
        low, high = (middle, high) if fits else (low, middle)
    return low


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide a size among classes in proportion, whole and at least 1 each (largest remainders)."""
    exact = counts * (size / counts.sum())
    shares = np.maximum(np.floor(exact), 1).astype(int)
    while shares.sum() < size:
        shares[np.argmax(exact - shares)] += 1
    while shares.sum() > size:
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    return shares


def divide(labels: np.ndarray, size: int | float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of what stays and of a stratified part that is taken away."""
    classes = len(np.unique(labels))
    most = largest_part(labels)
    size = count_of(size, len(labels), at_least=classes, at_most=most, name="val_size")
    taken = stratified(labels, size, seed=seed)
    stays = np.setdiff1d(np.arange(len(labels)), taken, assume_unique=True)
    if len(np.unique(labels[stays])) < classes:
        raise ValueError(
            f"Expected a part that leaves training pictures of every class. Received: {size!r} of "
            f"{len(labels):,}"
        )
    return stays, taken


def complete(
    files: Mapping[str, Files], val_size: int | float | None, seed: int
) -> dict[str, Files]:
    """Take validation and test set out of the training set where the folder has none."""
    files = dict(files)
    total = len(files["train"].paths)
    for name, size in (("test", None), ("val", val_size)):
        if name in files:
            continue
        paths, labels = files["train"]
        classes = len(np.unique(labels))
        if size is None:
            size = max(round(SHARES[name] * total), classes)
        most = largest_part(labels)  # of what the test set has left
        count = count_of(size, total, at_least=classes, at_most=most, name=f"{name}_size")
        for part, indices in zip(("train", name), divide(labels, count, seed=seed), strict=True):
            files[part] = Files([paths[index] for index in indices], labels[indices])
    return files
