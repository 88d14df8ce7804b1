import copy
import io
import pickle
from functools import partial

import matplotlib
import numpy as np
import pytest
from figures import (
    CALIBRATION,
    CLASSES,
    KERNEL,
    MAP,
    NETWORK,
    PICTURE,
    PROBABILITIES,
    pictures,
    run,
)
from matplotlib import pyplot
from PIL import Image

from cnnlab import plots

FIGURES = {
    "gallery": (plots.gallery, pictures(5), np.array([0, 1, 1, 2, 1]), CLASSES),
    "grid": (plots.grid, pictures(7), list("abcdefg")),
    "channels": (plots.channels, pictures(1)[0]),
    "augmented": (plots.augmented, pictures(1)[0], pictures(12)),
    "learning_curves": (plots.learning_curves, [run(lr=0.1), run(lr=0.2), run("linear", 1)]),
    "ladder": (plots.ladder, [run("linear", test=0.4), run(seed=0), run(seed=1, test=0.72)]),
    "confusion": (plots.confusion, np.array([[8, 2, 0], [1, 5, 4], [0, 0, 9]]), CLASSES),
    "mistakes": (plots.mistakes, pictures(3), [0, 1, 0], PROBABILITIES, CLASSES, [2, 1]),
    "reliability": (plots.reliability, {"before": CALIBRATION, "after": CALIBRATION}),
    "prediction_bars": (plots.prediction_bars, pictures(3), PROBABILITIES, CLASSES),
    "filters": (plots.filters, {"a": np.ones((3, 3, 3, 9)), "b": -np.ones((3, 3, 3, 9))}),
    "activation_maps": (plots.activation_maps, {"conv": np.ones((4, 4, 9))}, pictures(1)[0]),
    "heatmaps": (plots.heatmaps, pictures(2), [np.ones((8, 8)), np.zeros((8, 8))], ["a", "b"]),
    "lines": (partial(plots.lines, xlabel="x", ylabel="y"),
              {"up": ([1, 2], [3, 4]), "down": ([1, 2, 3], [4, 3, 2])}),
    "schedule": (plots.schedule, {"one-cycle": np.array([0.0, 0.1, 0.05])}),
    "board": (plots.board, {"a row": list(pictures(3)), "another": [pictures(1)[0], None, None]}),
    "contact_sheet": (plots.contact_sheet, pictures(1)[0], {"a": PICTURE, "b": PICTURE}),
    "close_ups": (plots.close_ups, pictures(1, 300)[0], [(0, 0), (20, 40)]),
    "gram": (plots.gram, np.ones((4, 6, 12)), (2, 9)),
    "progress": (plots.progress, pictures(1)[0], {"content": [3.0, 2.0], "style": [1.0, 0.1]}),
    "costs": (plots.costs, {"weights": {"block 1": 1.0, "block 2": 9.0},
                            "memory": {"block 1": 8.0, "block 2": 0.0}}),
    "changes": (plots.changes, {"head": {"conv1": 0.0}, "all": {"conv1": 0.1}}),
    "embedding": (plots.embedding, {"before": np.eye(4)[:, :2], "after": np.eye(4)[:, 2:]},
                  np.array([0, 1, 1, 2]), CLASSES),
    "score_lines": (
        partial(plots.score_lines, xlabel="x", ticks={0.1: "10 %", 1: "all"}, xscale="log"),
        {"pretrained": {0.1: [0.5, 0.6], 1: [0.9]}, "from scratch": {0.1: [0.2], 1: [0.9, 0.8]}}),
    "score_panels": (
        partial(plots.score_panels, xlabel="steps"),
        {"10 %": {"pretrained": {5: (0.6, 0.1), 20: (0.7, 0.0)}, "from scratch": {5: (0.2, 0.1)}},
         "all": {"from scratch": {5: (0.3, 0.1), 80: (0.7, 0.1)}}}),
    "volumes": (plots.volumes, {"in": PICTURE, "out": np.ones((6, 6, 4))}),
    "dot_product": (plots.dot_product, PICTURE, KERNEL, (2, 3)),
    "sliding": (partial(plots.sliding, kernel_size=3, counts=[1, 20, 80]), PICTURE, MAP),
    "output_sizes": (plots.output_sizes, [(8, 3, 1, "valid"), (8, 3, 2, "same")]),
    "matrices": (partial(plots.matrices, window=2), {"a": MAP, "b": MAP[:4, :4]}),
    "areas": (plots.areas, {"dense": 100_000, "conv": 9, "other": 50_000}),
    "signals": (partial(plots.signals, spans=[(3, 9)]), {"a": np.arange(30), "b": MAP}),
    "maps": (plots.maps, {"row": [PICTURE, MAP], "other": [MAP, MAP]}, ["a", "b"]),
    "receptive_fields": (plots.receptive_fields, PICTURE, {"conv": np.ones((12, 10))}, [(4, 6)]),
    "architecture": (partial(plots.architecture, skips=[("conv", "flat")], picture=PICTURE),
                     NETWORK),
}  # fmt: skip


def test_every_figure_has_a_case_here():
    assert set(plots.__all__) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_changes_nothing_but_itself(name):
    function, *arguments = copy.deepcopy(FIGURES[name])
    given = pickle.dumps(arguments)
    settings, open_figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    figure = function(*arguments, title="A title")
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure.get_figwidth() <= 9  # inches: it fits a page
    assert figure.get_suptitle() == "A title"
    assert pickle.dumps(arguments) == given
    assert dict(matplotlib.rcParams) == settings
    assert pyplot.get_fignums() == open_figures


LONG = tuple(f"{name} of a rather long_kind" for name in CLASSES)
LONG_CASES = {
    name: tuple(LONG if argument is CLASSES else argument for argument in case)
    for name, case in FIGURES.items()
} | {
    "grid": (plots.grid, pictures(5), ["a caption that is longer than its picture"] * 5),
    "learning_curves": (
        plots.learning_curves, [run(f"net {i} {LONG[0]}", i + 1) for i in range(8)],
    ),
    "ladder": (plots.ladder, [run(LONG[0], test=0.9), run(f"{LONG[1]}, {LONG[2]}", test=0.99)]),
    "activation_maps": (
        plots.activation_maps, {"block3_separable_conv2": -np.ones((4, 4, 2))}, pictures(1)[0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG_CASES)
def test_no_text_leaves_the_figure_however_long_the_names(name):
    function, *arguments = LONG_CASES[name]
    figure = function(*arguments, title="This is more than one line of any figure can hold. " * 2)
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    slack = 0.01  # inch, a pixel
    assert drawn.x0 >= -slack
    assert drawn.y0 >= -slack
    assert drawn.x1 <= width + slack
    assert drawn.y1 <= height + slack


def test_a_readers_dark_style_changes_no_pixel():
    function, *arguments = FIGURES["learning_curves"]
    expected = function(*arguments, title="A title")._repr_png_()
    dark = ["dark_background", {"savefig.facecolor": "black", "savefig.dpi": 30}]
    with pyplot.style.context(dark):
        assert function(*arguments, title="A title")._repr_png_() == expected


def test_a_notebook_shows_pictures_in_their_true_colors_and_charts_in_few_bytes():
    picture = np.full((8, 8, 3), (13, 77, 201), np.uint8)
    saved = Image.open(io.BytesIO(plots.grid([picture])._repr_png_()[0]))
    assert saved.mode == "RGB"
    assert (13, 77, 201) in {color for _, color in saved.getcolors(maxcolors=100_000)}
    chart = Image.open(io.BytesIO(plots.learning_curves([run()])._repr_png_()[0]))
    assert chart.mode == "P"
