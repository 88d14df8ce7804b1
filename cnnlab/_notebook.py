"""What a notebook shows: a line that keeps up with some work, and errors in one sentence."""

import time
import traceback
from pathlib import Path

SECONDS_A_LINE = 0.5  # between two changes of a line
_PACKAGE = str(Path(__file__).parent)


def shell():
    """Return the shell of the notebook's kernel that this runs in, None elsewhere."""
    from IPython import get_ipython  # takes a while, and scripts may do without

    found = get_ipython()
    return found if hasattr(found, "kernel") else None


class Line:
    """One output of a notebook's cell, written again as long as something goes on.

    Outside of a notebook nothing is written.
    """

    def __init__(self):
        self._thing, self._handle, self._next = None, None, 0.0

    def __repr__(self) -> str:
        return str(self._thing)

    @property
    def due(self) -> bool:
        """Whether there is a notebook, and nothing was shown in it for a while."""
        return shell() is not None and time.perf_counter() >= self._next

    def show(self, thing: object) -> None:
        """Show a thing as text in place of what the line had."""
        self._thing, self._next = thing, time.perf_counter() + SECONDS_A_LINE
        if shell() is None:
            return
        if self._handle:
            self._handle.update(self)
        else:
            from IPython.display import display

            self._handle = display(self, display_id=True)


class ShortTraceback:
    """Mix into an exception to have a notebook show its message and the reader's own line.

    Outside of IPython the traceback is whole. IPython asks for `_render_traceback_` where an
    exception has one: https://ipython.readthedocs.io/en/stable/config/integrating.html
    """

    def _render_traceback_(self) -> list[str]:
        lines = []
        for frame in traceback.extract_tb(self.__traceback__):
            if frame.filename.startswith(_PACKAGE):
                break
            if "IPython" not in Path(frame.filename).parts:
                lines.append(f"----> {frame.lineno} {frame.line}")
        return [*lines, f"{type(self).__name__}: {self}"]
