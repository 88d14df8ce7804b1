"""What a figure shows, in words: the alternative text that a screen reader reads aloud."""

from __future__ import annotations

import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LONGEST = 600  # characters: what comes after them is cut
SEPARATOR = "; "


def describe(figure: Figure) -> str:
    """Say what a figure shows: its title, of what kind it is, and the words written in it.

    Numbers are left out: the hundred of a matrix, read aloud one by one, tell nobody anything.

    Args:
        figure: Any figure, drawn already, so that its axes have their texts.

    Returns:
        One line, such as "Pooling. Chart: change against side of the window; max; average".
    """
    title = figure.get_suptitle()
    written = [text.get_text() for text in figure.texts if text.get_text() != title]
    for ax in figure.axes:
        written += _written(ax)
    words = SEPARATOR.join(dict.fromkeys(filter(_is_words, map(_one_line, written))))
    kinds = {_kind(ax) for ax in figure.axes if ax.get_label() != "<colorbar>"}
    kind = " and ".join(sorted(kinds - {"drawing"})).capitalize() or "Drawing"
    text = f"{kind}: {words}" if words else kind
    text = ". ".join(filter(None, [_one_line(title).rstrip("."), text]))
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rpartition(SEPARATOR)[0] + "…"


def _kind(ax: Axes) -> str:
    if ax.images and not _has_scales(ax):
        return "pictures"
    return "chart" if ax.axison else "drawing"


def _has_scales(ax: Axes) -> bool:
    """Tell the scales of a chart from the notes beside a picture, which are written as labels."""
    return ax.axison and (not ax.images or bool(len(ax.get_xticks()) and len(ax.get_yticks())))


def _written(ax: Axes) -> list[str]:
    """List an axes' texts: its heading, what its scales are, then the names in it."""
    across, up = ax.get_xlabel(), ax.get_ylabel()
    scales = [f"{up} against {across}"] if across and up and _has_scales(ax) else [up, across]
    ticks = [*ax.get_yticklabels(), *ax.get_xticklabels()] if ax.axison else []
    legend = ax.get_legend().get_texts() if ax.get_legend() else []
    names = [text.get_text() for text in (*ticks, *ax.texts, *legend)]
    return [*(ax.get_title(loc=side) for side in ("left", "center", "right")), *scales, *names]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_words(text: str) -> bool:
    """Tell words from numbers, with their units, and from numbers set as formulas."""
    return bool(re.search(r"[^\W\d_]{2}", text)) and "\\math" not in text
