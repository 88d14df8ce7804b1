"""What a notebook shows while a cell works, and what Stop does to the cell."""

from __future__ import annotations

import time
from typing import TypeVar

from IPython import get_ipython
from IPython.display import display

SECONDS_BETWEEN = 0.5  # two updates of the line
Result = TypeVar("Result")
_cell: dict[str, object] = {}  # of the running cell: its line on the page, whether it was stopped


def _shell():
    """Return the notebook's shell, which forgets a cell when the next one starts; or None."""
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    shell.events.register("pre_run_cell", _forget)
    return shell


def _forget(info: object = None) -> None:
    _cell.clear()


class Line:
    """A line of text below a cell that tells how far its work is; one for all works of a cell."""

    def __init__(self):
        self.text, self._next = "", 0.0

    def __repr__(self) -> str:
        return self.text

    @property
    def due(self) -> bool:
        """Whether there is a notebook that the line wasn't shown in for a while."""
        return _shell() is not None and time.perf_counter() >= self._next

    def show(self, text: str) -> None:
        """Show the text in place of what the line had, if there is a notebook."""
        self.text, self._next = text, time.perf_counter() + SECONDS_BETWEEN
        if _shell() is None:
            return
        if handle := _cell.get("line"):
            handle.update(self)
        else:
            _cell["line"] = display(self, display_id=True)


def go_on() -> None:
    """Raise KeyboardInterrupt if the running cell was stopped: one Stop ends all of its work."""
    if _cell.get("stopped"):
        raise KeyboardInterrupt("This cell was stopped; what follows in it isn't begun")


def stopped(stop: KeyboardInterrupt, result: Result) -> Result:
    """Return what there is when Stop ends a work in a notebook; elsewhere let the exception rise.

    Raises:
        KeyboardInterrupt: Outside of a notebook. Its `result` is the result.
    """
    stop.result = result
    if _shell() is None:
        raise stop
    _cell["stopped"] = True
    return result
