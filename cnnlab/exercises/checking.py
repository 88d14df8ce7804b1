"""The check of a function against its exercise, and the verdict in words."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cnnlab.exercises.table import EXERCISES, Exercise

LONGEST = 12  # numbers that an array may have to be shown whole
TOLERANCES = {"rtol": 1e-3, "atol": 1e-6}


@dataclass(frozen=True)
class Verdict:
    """Whether a reader's function does what its exercise asks.

    Attributes:
        right: True, False, or None for a function that returns nothing yet.
        text: The same in a sentence or two.
    """

    right: bool | None
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        color = {True: "#009e73", False: "#d55e00", None: "#888"}[self.right]
        look = f"border-left: 4px solid {color}; padding-left: .6em; white-space: pre-wrap"
        return f"<div style='{look}'>{html.escape(self.text)}</div>"


def check(function: Callable, /) -> Verdict:
    """Try a function on a few inputs, and say whether it does what the exercise of its name asks.

    Args:
        function: What the reader wrote; its name says which exercise it is.

    Returns:
        A verdict; a notebook shows it as a sentence.

    Raises:
        ValueError: There is no exercise of this name.
    """
    name = getattr(function, "__name__", repr(function))
    if name not in EXERCISES:
        raise ValueError(f"Expected one of {', '.join(EXERCISES)}. Received: {name}")
    exercise = EXERCISES[name]
    for arguments in exercise.inputs:
        try:
            with np.errstate(all="ignore"):  # what it leads to is said below
                answer = function(*(np.copy(a) if np.ndim(a) else a for a in arguments))
        except Exception as e:
            given = f"{name}({_short(*arguments)})"
            return Verdict(False, f"{given} stops with {type(e).__name__}: {e}")
        if answer is None or answer is ...:
            return Verdict(None, f"{name}: nothing returned yet")
        wanted = exercise.solution(*arguments)
        if not _same(answer, wanted):
            return Verdict(False, _difference(name, exercise, arguments, answer, wanted))
    return Verdict(True, f"{name}: right, on {len(exercise.inputs)} inputs")


def _same(answer: object, wanted: object) -> bool:
    try:
        answer, wanted = np.asarray(answer, float), np.asarray(wanted, float)
    except (TypeError, ValueError):
        return False
    return answer.shape == wanted.shape and np.allclose(
        answer, wanted, **TOLERANCES, equal_nan=True
    )


def _difference(name: str, exercise: Exercise, arguments: tuple, answer, wanted) -> str:
    text = f"{name}({_short(*arguments)}) should be {_short(wanted)} and is {_short(answer)}."
    text += _first_difference(answer, wanted)
    if np.shape(answer) != np.shape(wanted):
        text += f" Expected an array of shape {np.shape(wanted)}. Received: {np.shape(answer)}."
    for mistake, function in exercise.mistakes.items():
        with np.errstate(all="ignore"):
            if _same(answer, function(*arguments)):
                return f"{text} {mistake}"
    return text


def _first_difference(answer: object, wanted: object) -> str:
    """Say where an array too long to be shown differs first, or nothing of others."""
    if np.size(wanted) <= LONGEST or np.shape(answer) != np.shape(wanted):
        return ""
    try:
        answer, wanted = np.asarray(answer, float), np.asarray(wanted, float)
    except (TypeError, ValueError):
        return " It holds what are no numbers."
    same = np.isclose(answer, wanted, **TOLERANCES, equal_nan=True)
    if same.all():
        return ""
    place = tuple(np.argwhere(~same)[0].tolist())
    text = f" At {list(place)}: expected {wanted[place]:.4g}, received {answer[place]:.4g}."
    return f"{text} It contains nan." if np.isnan(answer).any() else text


def _short(*values: object) -> str:
    return ", ".join(_value(value) for value in values)


def _value(value: object) -> str:
    if np.size(value) > LONGEST:
        return f"<array of shape {np.shape(value)}>"
    if np.ndim(value):
        return np.array2string(np.asarray(value), precision=3, separator=", ").replace("\n", "")
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
