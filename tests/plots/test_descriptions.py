import numpy as np
from figures import CLASSES, NETWORK, pictures, run

from cnnlab import plots
from cnnlab.plots.descriptions import LONGEST


def alt(figure):
    shown = figure._repr_png_ or figure._repr_jpeg_
    return shown()[1]["alt"]


def test_a_chart_is_its_title_its_scales_and_its_lines():
    series = {"max": ([1, 2], [3, 4]), "average": ([1, 2], [4, 3])}
    figure = plots.lines(series, xlabel="side", ylabel="change", title="Pooling: which?")
    assert alt(figure) == "Pooling: which?. Chart: change against side; max; average"


def test_a_new_curve_is_named_beside_the_old_one():
    words = alt(plots.learning_curves([run(lr=0.1), run(lr=0.2)], title="Two"))
    assert words.startswith("Two. Chart: ")
    assert "plain CNN lr=0.1; plain CNN lr=0.2" in words


def test_numbers_are_not_read_aloud_and_names_are():
    words = alt(plots.confusion(np.array([[8, 2, 0], [1, 5, 4], [0, 0, 9]]), CLASSES))
    assert words.startswith("Chart: truth against predicted; airplane; cat; dog")
    assert not any(character.isdigit() for character in words)


def test_pictures_and_drawings_are_called_so():
    board = plots.board({"": list(pictures(2))}, ["content", "style"], title="A\nboard.")
    assert alt(board) == "A board. Pictures: content; style"
    assert alt(plots.architecture(NETWORK)).startswith("Drawing: ")
    assert "convolution" in alt(plots.architecture(NETWORK))


def test_what_is_too_long_is_cut_between_words():
    words = alt(plots.grid(pictures(60), [f"caption of number {i}" for i in range(60)]))
    assert LONGEST - 30 < len(words) <= LONGEST
    assert words.endswith("…")
    assert "caption of number 0; caption of number 1;" in words
