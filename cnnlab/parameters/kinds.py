"""Kinds of parameters: numbers in a range, words, lists, pictures; what each accepts, in words."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from cnnlab import data, images

BUILT_IN = ("auto", "cifar10", "shapes10")  # names that `data.load` takes; others are folders

WEIGHT_FILES = (".h5", ".npz")  # endings of what `models.vgg16` reads


Result = TypeVar("Result")


class Kind(NamedTuple):
    """What a parameter may be.

    Attributes:
        expected: In words, to follow "Expected … to be".
        read: Returns a value in its plain form: int for NumPy's, tuple for a list. Raises
            ValueError for one that isn't of the kind; if it has a message, it is shown.
        optional: Whether None means something of its own.
    """

    expected: str
    read: Callable[[object], object]
    optional: bool = False


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def require(condition: bool) -> None:
    """Raise a ValueError without a message, to which `Kind.expected` says the rest."""
    if not condition:
        raise ValueError


def whole(low: int, high: float = math.inf) -> Kind:
    """Return the kind of a whole number from `low` to `high`."""

    def read(value: object) -> int:
        require(_is_number(value) and isinstance(value, Integral) and low <= value <= high)
        return int(value)

    span = f"in {low:,}…{high:,}" if high < math.inf else f"of at least {low}"
    return Kind(f"a whole number {span}", read)


def number(low: float, *, above: bool = False, below: float = math.inf) -> Kind:
    """Return the kind of a number of at least `low` (above it, if `above`) and below another."""

    def read(value: object) -> float:
        require(_is_number(value) and (low < value if above else low <= value) and value < below)
        return float(value)

    start = f"above {low:g}" if above else f"of at least {low:g}"
    return Kind(f"a number {start}" + (f" and below {below:g}" if below < math.inf else ""), read)


def part() -> Kind:
    """Return the kind of what `data.stratified` takes: a float is a share, an int a count."""

    def read(value: object) -> int | float:
        if isinstance(value, Integral):
            return whole(1).read(value)
        require(_is_number(value) and 0 < value <= 1)
        return float(value)

    return Kind("a share above 0.0, up to 1.0, or a count as a whole number from 1", read)


def share() -> Kind:
    """Return the kind of a number above 0, up to 1."""

    def read(value: object) -> float:
        require(_is_number(value) and 0 < value <= 1)
        return float(value)

    return Kind("a share above 0, up to 1", read)


def flag() -> Kind:
    """Return the kind of what is true or false."""

    def read(value: object) -> bool:
        require(isinstance(value, bool | np.bool_))
        return bool(value)

    return Kind("True or False", read)


def choice(*words: str) -> Kind:
    """Return the kind of one of some words."""

    def read(value: object) -> str:
        require(isinstance(value, str) and value in words)
        return str(value)

    return Kind(f"one of {', '.join(map(repr, words))}", read)


def each(
    kind: Kind, example: str, *, least: int = 1, most: float = math.inf, what: str = ""
) -> Kind:
    """Return the kind of a list of values of one kind, which `what` names if that isn't enough."""

    def read(value: object) -> tuple:
        value = value.tolist() if isinstance(value, np.ndarray) else value
        require(isinstance(value, list | tuple) and least <= len(value) <= most)
        return tuple(kind.read(item) for item in value)

    count = str(least) if least == most else f"{least} to {most}"
    count = f"{least} or more" if most == math.inf else count
    what = what or f"values, each {kind.expected}"
    return Kind(f"a list of {count} {what}, such as {example}", read)


def for_each(names: Sequence[str], kind: Kind) -> Kind:
    """Return the kind of a dictionary with a value of one kind for each of some names."""

    def read(value: object) -> dict[str, object]:
        require(isinstance(value, Mapping) and set(value) == set(names))
        return {name: kind.read(value[name]) for name in names}

    listed = ", ".join(map(repr, names))
    return Kind(f"a dictionary with {kind.expected} for each of {listed}", read)


def for_each_share(kind: Kind, example: str) -> Kind:
    """Return the kind of a dictionary with a value of one kind for each of some shares."""

    def read(value: object) -> dict[float, object]:
        require(isinstance(value, Mapping) and len(value) > 0)
        try:
            keys = [float(key) for key in value]  # papermill makes text of a dictionary's keys
        except ValueError:
            require(False)
        pairs = zip(map(share().read, keys), map(kind.read, value.values()), strict=True)
        return dict(sorted(pairs))

    words = f"a dictionary with {kind.expected} for each share above 0, up to 1"
    return Kind(f"{words}, such as {example}", read)


def for_some(names: Sequence[str], kind: Kind, what: str) -> Kind:
    """Return the kind of a dictionary with a value of one kind for some of many names."""

    def read(value: object) -> dict[str, object]:
        require(isinstance(value, Mapping) and value and set(value) <= set(names))
        return {name: kind.read(item) for name, item in value.items()}

    return Kind(f"a dictionary with {kind.expected} for some {what}", read)


def either(first: Kind, second: Kind) -> Kind:
    """Return the kind of what is of one of two kinds."""

    def read(value: object) -> object:
        try:
            return first.read(value)
        except ValueError:
            return second.read(value)

    return Kind(f"{first.expected}, or {second.expected}", read)


def picture() -> Kind:
    """Return the kind of what `images.read` reads; it is read once, to see that it can be."""

    def read(value: object) -> object:
        images.read(value, 16)  # type: ignore[arg-type]  # says what else it takes
        return value

    return Kind("a path or an http(s) address of a picture", read)


def pictures(numbers: Mapping[str, object]) -> Kind:
    """Return the kind of what `data.load` loads; a folder is read once, to see that it can be.

    Args:
        numbers: TRAIN_PICTURES, VAL_PICTURES and TEST_PICTURES, as far as there are; they have to
            leave pictures of every class. With a TEST_PICTURES, they are what is kept at most.
    """

    def read(value: object) -> str:
        require(isinstance(value, str | Path | int) and not isinstance(value, bool))
        labels = _built_in(numbers) if value in BUILT_IN else _folder(str(value), numbers)
        for name, y in labels.items():
            size = numbers.get(name)
            if isinstance(size, Integral) and "TEST_PICTURES" in numbers:
                size = min(int(size), len(y))
            if size is not None:
                _named(name, "size", lambda y=y, size=size: data.stratified(y, size))
        return str(value)  # papermill makes a number of a folder called 2024

    words = ", ".join(f'"{word}"' for word in BUILT_IN)
    return Kind(f"{words} or a folder with one subfolder a class", read)


def _built_in(numbers: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return labels like those of the built-in sets, by the number that is a part of them."""
    train, test = np.arange(50_000) % 10, np.arange(10_000) % 10
    val = numbers.get("VAL_PICTURES")
    if "TEST_PICTURES" in numbers or val is None:
        return {"TRAIN_PICTURES": train, "VAL_PICTURES": train, "TEST_PICTURES": test}
    left = 50_000 - len(_named("VAL_PICTURES", "size", lambda: data.stratified(train, val)))
    if left < 10:
        raise ValueError(
            f"Expected VAL_PICTURES to leave some of 50,000 to train on. Received: {val!r}"
        )
    return {"TRAIN_PICTURES": train[:left]}


def _folder(folder: str, numbers: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Read a folder, which finds every broken picture, and return the labels as above."""
    val_size = None if "TEST_PICTURES" in numbers else numbers.get("VAL_PICTURES")
    logger = logging.getLogger("cnnlab.data")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns when it is loaded in full
    try:
        load = partial(data.load, folder, image_size=16, val_size=val_size)
        found = _named("VAL_PICTURES", "val_size", load)
    finally:
        logger.setLevel(level)
    labels = {"TRAIN_PICTURES": found.y_train, "TEST_PICTURES": found.y_test}
    return labels | ({"VAL_PICTURES": found.y_val} if "TEST_PICTURES" in numbers else {})


def _named(name: str, argument: str, call: Callable[[], Result]) -> Result:
    """Call something; where it refuses an argument, say the parameter's name in its place."""
    try:
        return call()
    except ValueError as error:
        raise ValueError(re.sub(rf"\b{argument}=", f"{name}=", str(error))) from None


def weights() -> Kind:
    """Return the kind of what `models.vgg16` takes as weights."""
    words = ("auto", "imagenet", "shipped")

    def read(value: object) -> str:
        require(isinstance(value, str | Path))
        path = Path(os.path.expanduser(str(value)))
        require(value in words or (path.suffix.lower() in WEIGHT_FILES and path.is_file()))
        return str(value)

    endings = " or ".join(WEIGHT_FILES)
    return Kind(f"one of {', '.join(map(repr, words))} or the path of a file {endings}", read)
