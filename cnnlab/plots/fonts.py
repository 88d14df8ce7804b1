"""Letters of every script: class names may be in any, and Matplotlib's own font has few."""

from __future__ import annotations

import functools
import logging

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

logger = logging.getLogger(__name__)


def make_legible(figure: Figure) -> None:
    """Give texts whose font lacks some of their letters one of this machine's that has them.

    Where none has them, a letter is written by its number, such as U+732B, and that is logged:
    Matplotlib would draw an empty box for each.
    """
    for text in figure.findobj(Text):
        own = _letters(font_manager.findfont(text.get_fontproperties()))
        missing = frozenset(c for c in text.get_text() if ord(c) not in own and c.isprintable())
        if not missing:
            continue
        if family := _family_with(missing):
            text.set_fontfamily([*text.get_fontfamily(), family])
        else:
            for letter in missing:
                text.set_text(text.get_text().replace(letter, f"U+{ord(letter):04X}"))


@functools.lru_cache(maxsize=512)
def _letters(path: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(path).get_charmap())


@functools.cache
def _family_with(letters: frozenset[str]) -> str | None:
    """Find an installed font that has these letters; log where there is none."""
    needed = {ord(letter) for letter in letters}
    for font in font_manager.fontManager.ttflist:
        if font.style == "normal" and font.name != "Last Resort":
            try:
                if needed <= _letters(font.fname):
                    return font.name
            except (OSError, RuntimeError):  # a broken font is somebody else's
                continue
    logger.warning(
        "No font on this machine has %s, so figures show their numbers. Install one that has, such "
        "as Noto Sans CJK, and start Python again.",
        "".join(sorted(letters)),
    )
    return None
