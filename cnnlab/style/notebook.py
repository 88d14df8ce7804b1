"""What a notebook shows while a cell works, and what Stop does to the cell."""

from __future__ import annotations

from typing import Any, TypeVar

from cnnlab._notebook import Line, shell

Result = TypeVar("Result")
_cell: dict[str, Any] = {}  # of the running cell: its line on the page, whether it was stopped


def _shell():
    """Return the notebook's shell, which forgets a cell when the next one starts; or None."""
    found = shell()
    if found is not None:
        found.events.register("pre_run_cell", _forget)
    return found


def _forget(info: object = None) -> None:
    _cell.clear()


def line() -> Line:
    """Return the running cell's line, one for all of its works; outside of a notebook a new one."""
    return Line() if _shell() is None else _cell.setdefault("line", Line())


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
