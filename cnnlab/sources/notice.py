"""A box in a notebook that no reader can miss: something here is not what was wanted."""

from __future__ import annotations

import html


def box(heading: str, text: str) -> str:
    """Return the HTML of a warning, in colours that hold on a light page and on a dark one.

    Args:
        heading: What is the matter, in a few words; any characters.
        text: What follows from it; any characters.
    """
    return (
        '<div style="border:2px solid #d97706;border-left-width:12px;border-radius:4px;'
        'background:rgba(217,119,6,0.15);padding:10px 16px;margin:8px 0;max-width:60em">'
        f'<b style="font-size:1.25em">⚠ {html.escape(heading)}</b><br>{html.escape(text)}</div>'
    )
