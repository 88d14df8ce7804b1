"""Errors whose message says it all: a notebook shows that, not the library's seventy lines."""

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


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
