import logging

import pytest
from matplotlib import font_manager
from matplotlib.text import Text

from cnnlab.plots import canvas, fonts


def drawn(text):
    figure = canvas.new_figure(2, text)
    ax = figure.subplots()
    canvas.write(ax, text, (0.5, 0.5))
    assert figure._repr_png_()[0].startswith(b"\x89PNG")
    return figure


@pytest.fixture
def no_other_fonts(monkeypatch):
    own = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    fonts._family_with.cache_clear()
    yield
    fonts._family_with.cache_clear()


def test_letters_that_no_font_has_are_written_by_number_and_said_once(no_other_fonts, caplog):
    with caplog.at_level(logging.WARNING):
        figure = drawn("cat 猫")  # Matplotlib's warning of missing glyphs would be an error here
        drawn("cat 猫")
    assert {text.get_text() for text in figure.findobj(Text)} >= {"cat U+732B"}
    assert [record.getMessage()[:34] for record in caplog.records] == [
        "No font on this machine has 猫, so "
    ]


def test_letters_that_another_font_has_are_drawn_in_it(caplog):
    own = fonts._letters(font_manager.findfont("DejaVu Sans"))
    other = next(f for f in font_manager.fontManager.ttflist if f.name == "STIXGeneral")
    letter = next(chr(c) for c in sorted(fonts._letters(other.fname) - own) if chr(c).isprintable())
    figure = drawn(f"cat {letter}")
    assert f"cat {letter}" in {text.get_text() for text in figure.findobj(Text)}
    assert not caplog.text
