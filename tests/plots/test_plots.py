import copy
import io
import itertools
import pickle
from types import SimpleNamespace

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from cnnlab import plots
from cnnlab.plots import (
    canvas,
)
from cnnlab.plots import (
    scores as score_plots,
)

CLASSES = ("airplane", "cat", "dog")


def pictures(n, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def run(name="plain CNN", epochs=3, *, seconds=6.0, test=0.7, val=True, **settings):
    history = {"loss": [2.0 / (i + 1) for i in range(epochs)]}
    history["accuracy"] = [0.3 + 0.1 * i for i in range(epochs)]
    if val:
        history |= {f"val_{key}": [v - 0.05 for v in values] for key, values in history.items()}
    return SimpleNamespace(
        name=name, settings=settings, history=history, seconds=seconds, test_accuracy=test
    )


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], dtype=np.float32)
CALIBRATION = (
    np.array([np.nan, 0.4, 0.9]),
    np.array([np.nan, 0.5, 0.8]),
    np.array([0, 4, 12]),
    0.1,
)
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
    "lines": (lambda series, **options: plots.lines(series, xlabel="x", ylabel="y", **options),
              {"up": ([1, 2], [3, 4]), "down": ([1, 2, 3], [4, 3, 2])}),
    "schedule": (plots.schedule, {"one-cycle": np.array([0.0, 0.1, 0.05])}),
    "board": (plots.board, {"a row": list(pictures(3)), "another": [pictures(1)[0], None, None]}),
    "close_ups": (plots.close_ups, pictures(1, 300)[0], [(0, 0), (20, 40)]),
    "gram": (plots.gram, np.ones((4, 6, 12)), (2, 9)),
    "progress": (plots.progress, pictures(1)[0], {"content": [3.0, 2.0], "style": [1.0, 0.1]}),
    "costs": (plots.costs, {"weights": {"block 1": 1.0, "block 2": 9.0},
                            "memory": {"block 1": 8.0, "block 2": 0.0}}),
    "changes": (plots.changes, {"head": {"conv1": 0.0}, "all": {"conv1": 0.1}}),
    "embedding": (plots.embedding, {"before": np.eye(4)[:, :2], "after": np.eye(4)[:, 2:]},
                  np.array([0, 1, 1, 2]), CLASSES),
    "score_lines": (lambda series, **options: plots.score_lines(
        series, xlabel="x", ticks={0.1: "10 %", 1: "all"}, xscale="log", **options),
        {"pretrained": {0.1: [0.5, 0.6], 1: [0.9]}, "from scratch": {0.1: [0.2], 1: [0.9, 0.8]}}),
    "per_class": (plots.per_class, CLASSES, [0.5, 0.6, 0.7], [0.9, np.nan, 0.8]),
}  # fmt: skip


def texts(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def shown(ax, layer=0):
    return ax.images[layer].get_array()


def contrast(a, b):
    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    high, low = sorted((luminance(to_rgb(a)), luminance(to_rgb(b))), reverse=True)
    return (high + 0.05) / (low + 0.05)


# What holds for every figure


def test_every_figure_has_a_case_here():
    homes = {name: getattr(plots, name).__module__ for name in plots.__all__}
    drawings = ("cnnlab.plots.diagrams", "cnnlab.plots.networks")  # which have a file of their own
    assert {name for name, home in homes.items() if home not in drawings} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_changes_nothing_but_itself(name):
    function, *arguments = copy.deepcopy(FIGURES[name])
    given = pickle.dumps(arguments)
    settings, open_figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    figure = function(*arguments, title="A title")
    assert isinstance(figure, matplotlib.figure.Figure)
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
    saved = Image.open(io.BytesIO(plots.grid([picture])._repr_png_()))
    assert saved.mode == "RGB"
    assert (13, 77, 201) in {color for _, color in saved.getcolors(maxcolors=100_000)}
    chart = Image.open(io.BytesIO(plots.learning_curves([run()])._repr_png_()))
    assert chart.mode == "P"


# The means of drawing


@pytest.mark.parametrize("grey", np.linspace(0, 1, 41))
def test_ink_is_readable_on_every_grey(grey):
    assert contrast(canvas.ink_on((grey,) * 3), (grey,) * 3) >= 4.5


@pytest.mark.parametrize(
    ("wanted", "sizes", "expected"),
    [
        ([0.2, 0.8], [0.1, 0.1], [0.2, 0.8]),  # free: nothing moves
        ([0.5, 0.5], [0.2, 0.2], [0.4, 0.6]),
        ([0.6, 0.5], [0.2, 0.2], [0.65, 0.45]),  # the order of the values is kept
        ([0.5, 0.5], [0.4, 0.2], [0.35, 0.65]),
        ([1.0, 1.0, 1.0], [0.1, 0.1, 0.1], [0.8, 0.9, 1.0]),  # never above the upper bound
        ([0.0, 0.05], [0.2, 0.2], [0.0, 0.2]),  # nor below the lower one
    ],
)
def test_labels_move_as_little_as_they_must(wanted, sizes, expected):
    np.testing.assert_allclose(canvas.spread(wanted, sizes, 0.0, 1.0), expected, atol=1e-12)


def test_float_pictures_are_rounded_and_clipped_not_wrapped():
    given = np.array([-3.0, 0.4, 254.7, 300.0], np.float32).reshape(1, 4, 1).repeat(3, axis=2)
    assert canvas.pixels(given)[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 1)])
def test_what_is_not_rgb_is_refused(shape):
    with pytest.raises(ValueError, match=rf"Received: shape=\({shape[0]}, {shape[1]}"):
        plots.grid([np.zeros(shape, np.uint8)])


def test_a_mosaic_keeps_the_order_and_leaves_the_rest_blank():
    tiles = pictures(5, size=32)
    sheet = canvas.mosaic(tiles, 3, fill=255)
    assert sheet.shape == (32 + 2 + 32, 3 * 32 + 2 * 2, 3)
    np.testing.assert_array_equal(sheet[:32, 34:66], tiles[1])
    np.testing.assert_array_equal(sheet[34:, :32], tiles[3])
    assert (sheet[34:, 68:] == 255).all()


# Pictures


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_grid_has_one_axes_a_picture(n):
    images = pictures(n)
    figure = plots.grid(images, [f"no. {i}" for i in range(n)], columns=3)
    assert len(figure.axes) == n
    for i, ax in enumerate(figure.axes):
        np.testing.assert_array_equal(shown(ax), images[i])
        assert ax.get_title() == f"no. {i}"
        assert ax.images[0].get_interpolation() == "nearest"
    last = figure.axes[-1].get_subplotspec()
    assert (last.rowspan.start, last.colspan.start) == divmod(n - 1, min(3, n))


def test_grid_takes_pictures_of_different_sizes():
    images = [pictures(1, 8)[0], pictures(1, 1000)[0, :300]]
    figure = plots.grid(images)
    assert [shown(ax).shape for ax in figure.axes] == [(8, 8, 3), (300, 1000, 3)]
    assert figure.axes[1].images[0].get_interpolation() != "nearest"  # it is shrunk


def test_grid_names_the_list_that_is_too_short():
    with pytest.raises(ValueError, match=r"len\(images\)=3, len\(captions\)=2"):
        plots.grid(pictures(3), ["a", "b"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.grid([]),
        lambda: plots.augmented(pictures(1)[0], pictures(0)),
        lambda: plots.heatmaps([], []),
        lambda: plots.prediction_bars([], [], CLASSES),
    ],
)
def test_no_picture_is_a_clear_error(draw):
    with pytest.raises(
        ValueError, match=r"at least one picture\. Received: len\((images|versions)"
    ):
        draw()


def test_gallery_shows_each_class_in_its_row():
    images, labels = pictures(5, size=32), np.array([2, 1, 1, 0, 1])
    ax = plots.gallery(images, labels, CLASSES, per_class=2).axes[0]
    sheet = shown(ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(CLASSES)
    for row, columns in enumerate(([3], [1, 2], [0])):
        for column, i in enumerate(columns):
            tile = sheet[34 * row : 34 * row + 32, 34 * column : 34 * column + 32]
            np.testing.assert_array_equal(tile, images[i])
    assert (sheet[:32, 34:] == 255).all()


def test_gallery_says_how_many_classes_it_left_out():
    figure = plots.gallery(pictures(4), np.arange(4), ["a", "b", "c", "d"], max_classes=3)
    assert "the first 3 of 4 classes" in texts(figure)


def test_channels_shows_each_plane_in_grey():
    image = pictures(1)[0]
    cells = plots.channels(image).axes
    np.testing.assert_array_equal(shown(cells[0]), image)
    for plane, ax in enumerate(cells[1:]):
        for c in range(3):
            np.testing.assert_array_equal(shown(ax)[..., c], image[..., plane])
    assert cells[3].get_title() == f"blue, mean {image[..., 2].mean():.0f}"


def test_augmented_shows_the_picture_and_every_version():
    original, versions = pictures(1, 32)[0], pictures(7, 32, seed=1)
    left, right = plots.augmented(original, versions, columns=5).axes
    np.testing.assert_array_equal(shown(left), original)
    np.testing.assert_array_equal(shown(right), canvas.mosaic(versions, 5, fill=255))


def test_mistakes_follow_the_order_given():
    images = pictures(3)
    figure = plots.mistakes(images, np.array([0, 1, 0]), PROBABILITIES, CLASSES, np.array([2, 1]))
    assert [ax.get_title() for ax in figure.axes] == ["cat 50%", "dog 60%"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["truth: airplane", "truth: cat"]
    np.testing.assert_array_equal(shown(figure.axes[0]), images[2])
    first = plots.mistakes(images, [0, 1, 0], PROBABILITIES, CLASSES, [2, 1], count=1)
    assert [ax.get_title() for ax in first.axes] == ["cat 50%"]


def test_no_mistakes_is_said():
    figure = plots.mistakes(pictures(3), [0, 2, 1], PROBABILITIES, CLASSES, np.array([], int))
    assert texts(figure) == ["No mistakes to show."]


def test_prediction_bars_color_the_right_answer():
    labels = np.array([0, 1, 0])
    figure = plots.prediction_bars(pictures(3), PROBABILITIES, CLASSES, labels=labels, k=2)
    bars = figure.axes[1::2]
    for ax, row in zip(bars, PROBABILITIES, strict=True):
        widths = [bar.get_width() for bar in ax.patches[2:]]
        np.testing.assert_allclose(widths, sorted(row, reverse=True)[:2])
        assert ax.get_xlim() == (0, 1)
    colors = [[bar.get_facecolor() for bar in ax.patches[2:]] for ax in bars]
    right, wrong, other = map(to_rgba, ("#9AD6C2", "#F3B98F", "#D2D2D2"))
    assert colors == [[right, other], [wrong, right], [wrong, other]]  # the third truth is 3rd
    assert [t.get_text() for t in bars[1].texts] == ["dog", "60%", "cat", "30%"]
    assert [t.get_weight() for t in bars[1].texts[::2]] == ["normal", "bold"]
    assert figure.axes[2].get_xlabel() == "truth: cat"


def test_prediction_bars_without_truth_judge_nothing():
    figure = plots.prediction_bars(pictures(1), PROBABILITIES[:1], CLASSES, k=5)
    colors = [bar.get_facecolor() for bar in figure.axes[1].patches[3:]]
    assert colors == [to_rgba(canvas.PALE_BLUE), *[to_rgba("#D2D2D2")] * 2]
    assert figure.axes[0].get_xlabel() == ""


# Training


def test_curves_stand_where_their_values_were_taken():
    loss, accuracy = plots.learning_curves([run(epochs=3)]).axes
    train, val = loss.lines
    assert train.get_xdata().tolist() == [0.5, 1.5, 2.5]
    assert val.get_xdata().tolist() == [1, 2, 3]
    assert train.get_ydata().tolist() == [2.0, 1.0, 2.0 / 3]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [0.25, 0.35, 0.45])


def test_curves_over_seconds_share_a_runs_time_among_its_epochs():
    ax = plots.learning_curves([run(epochs=3, seconds=6.0)], metrics=["loss"], x="seconds").axes[0]
    assert ax.lines[1].get_xdata().tolist() == [2, 4, 6]


def test_each_run_is_named_at_the_end_of_its_validation_curve():
    runs = [run("linear", 1), run("plain CNN", 3), run("no validation", 2, val=False)]
    ax = plots.learning_curves(runs).axes[1]
    ends = {label.get_text(): label.xy for label in ax.texts}
    assert ends == {
        "linear": (1, pytest.approx(0.25)),
        "plain CNN": (3, pytest.approx(0.45)),
        "no validation": (1.5, 0.4),
    }


def test_a_run_that_diverged_is_named_at_its_last_number():
    broken = run("too fast", 3)
    broken.history["val_loss"] = [2.0, 5.0, float("nan")]
    ax = plots.learning_curves([broken, run()], metrics=["loss"]).axes[0]
    assert ax.texts[0].xy == (2, 5.0)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_names_at_line_ends_never_overlap(n):
    runs = [run(f"model {i} with a name of two lines" if i % 2 else f"model {i}") for i in range(n)]
    figure = plots.learning_curves(runs)
    figure.draw_without_rendering()
    labels = figure.axes[1].texts
    assert len(labels) == n
    boxes = sorted((matplotlib.text.Text.get_window_extent(t) for t in labels), key=lambda b: b.y0)
    for lower, upper in itertools.pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1  # pixel


def test_runs_of_one_name_are_told_apart_by_the_settings_that_differ():
    runs = [
        run(lr=0.001, batch=64),
        run(lr=0.003, batch=64),
        run("linear", lr=0.1),
        run(lr=0.003, batch=64),
    ]
    labels = [label.get_text() for label in plots.learning_curves(runs).axes[1].texts]
    assert labels == ["plain CNN lr=0.001", "plain CNN lr=0.003", "linear", "plain CNN lr=0.003 #2"]


def test_runs_without_an_epoch_are_left_out_and_none_is_an_error():
    ax = plots.learning_curves([run("stopped", 0), run("linear")]).axes[1]
    assert [label.get_text() for label in ax.texts] == ["linear"]
    with pytest.raises(ValueError, match="an epoch of loss or accuracy"):
        plots.learning_curves([run("stopped", 0)])
    with pytest.raises(ValueError, match="Received: x='minutes'"):
        plots.learning_curves([run()], x="minutes")


def test_ladder_puts_seeds_of_one_model_on_one_rung():
    runs = [run("linear", test=0.4, seconds=5), run("skipped", test=None)]
    runs += [
        run("resnet", test=t, seed=s, seconds=100 + s) for s, t in enumerate((0.94, 0.95, 0.96))
    ]
    left, right = plots.ladder(runs, pictures=10_000).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["linear", "resnet"]
    means = [line.get_xdata() for line in left.lines if line.get_markersize() == 6 and
             line.get_marker() == "o"]  # fmt: skip
    np.testing.assert_allclose(np.ravel(means), [0.4, 0.95])
    seeds = [line.get_xdata().tolist() for line in left.lines if line.get_marker() == "|"]
    assert seeds == [[0.94, 0.95, 0.96]]
    assert [t.get_text() for t in left.texts] == ["40.0%", "95.0%  +55.0"]
    assert [bar.get_width() for bar in right.patches] == [5, 101]
    assert [t.get_text() for t in right.texts] == ["5 s", "1 min 41 s"]


def test_ladder_draws_the_interval_of_the_mean():
    left = plots.ladder([run(test=0.5)], pictures=100).axes[0]
    band = next(line for line in left.lines if line.get_linewidth() == 9)
    np.testing.assert_allclose(band.get_xdata(), [0.4038, 0.5962], atol=1e-4)


def test_a_step_is_counted_from_the_mean_of_the_rung_below():
    left = plots.ladder([run("a", test=t, seed=s) for s, t in enumerate((0.5, 0.7))] + [run("b")])
    assert [t.get_text() for t in left.axes[0].texts] == ["60.0%", "70.0%  +10.0"]


def test_a_step_down_is_written_on_the_free_side():
    left = plots.ladder([run("a", test=0.9), run("b", test=0.8)]).axes[0]
    up, down = left.texts
    assert (down.get_text(), down.get_ha(), up.get_ha()) == ("80.0%  −10.0", "right", "left")


def test_ladder_of_validation_accuracies_needs_no_test():
    left = plots.ladder([run(test=None)], metric="val_accuracy").axes[0]
    assert left.texts[0].get_text() == "45.0%"
    with pytest.raises(ValueError, match="at least one run with a test accuracy"):
        plots.ladder([run(test=None)])
    with pytest.raises(ValueError, match="Received: metric='loss'"):
        plots.ladder([run()], metric="loss")


def test_lines_are_named_where_there_are_several():
    series = {"a": ([1, 10], [3, 4]), "b": (np.array([1, 10, 100]), np.array([4, 3, np.nan]))}
    ax = plots.lines(series, xlabel="rate", ylabel="loss", xscale="log").axes[0]
    assert [(t.get_text(), tuple(t.xy)) for t in ax.texts] == [("a", (10, 4)), ("b", (10, 3))]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("rate", "loss", "log")
    assert plots.lines({"a": ([1, 2], [3, 4])}, xlabel="", ylabel="").axes[0].texts[:] == []


def test_schedule_counts_steps_or_epochs():
    rates = {"one-cycle": [0.0, 0.1, 0.05, 0.0]}
    steps, epochs = (plots.schedule(rates, steps_per_epoch=n).axes[0] for n in (None, 2))
    assert steps.lines[0].get_xdata().tolist() == [0, 1, 2, 3]
    assert epochs.lines[0].get_xdata().tolist() == [0, 0.5, 1, 1.5]
    assert (steps.get_xlabel(), epochs.get_xlabel()) == ("steps", "epochs")


# Scores


def test_confusion_gives_errors_a_scale_of_their_own():
    matrix = np.array([[8, 2, 0], [1, 15, 4], [0, 0, 9]])
    ax = plots.confusion(matrix, CLASSES).axes[0]
    errors, recall = shown(ax, 0), shown(ax, 1)
    np.testing.assert_array_equal(np.ma.getmaskarray(errors), np.eye(3, dtype=bool))
    np.testing.assert_array_equal(np.ma.getmaskarray(recall), ~np.eye(3, dtype=bool))
    np.testing.assert_allclose(recall.compressed(), [0.8, 0.75, 1.0])
    assert errors[1, 2] == pytest.approx(0.2)  # row = truth
    assert ax.images[0].get_clim() == (0, pytest.approx(0.2))
    assert ax.images[1].get_clim() == (0, 1)


def test_confusion_writes_counts_or_percentages_where_something_is():
    matrix = np.array([[8, 2, 0], [1, 15, 4], [0, 0, 1009]])
    places = {(0, 0): "8", (1, 0): "2", (0, 1): "1", (1, 1): "15", (2, 1): "4", (2, 2): "1,009"}
    ax = plots.confusion(matrix, CLASSES).axes[0]
    assert {t.get_position(): t.get_text() for t in ax.texts} == places
    ax = plots.confusion(matrix, CLASSES, normalize=True).axes[0]
    assert [t.get_text() for t in ax.texts] == ["80", "20", "5", "75", "20", "100"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "truth")


def test_confusion_texts_are_readable_on_every_color():
    matrix = np.arange(400).reshape(20, 20)
    ax = plots.confusion(matrix, [str(i) for i in range(20)]).axes[0]
    assert len(ax.texts) == 399
    for text in ax.texts:
        j, i = text.get_position()
        layer = ax.images[int(i == j)]
        background = layer.cmap(layer.norm(layer.get_array()[i, j]))
        assert contrast(text.get_color(), background[:3]) >= 4.5


def test_confusion_of_many_classes_has_no_text():
    ax = plots.confusion(np.ones((200, 200), int), [f"class {i}" for i in range(200)]).axes[0]
    assert len(ax.texts) == 0
    assert not any("class" in label.get_text() for label in ax.get_yticklabels())


def test_confusion_of_a_class_without_pictures_shows_no_recall():
    ax = plots.confusion(np.array([[5, 0], [0, 0]]), ("cat", "dog")).axes[0]
    assert np.ma.getmaskarray(shown(ax, 0))[1].all()
    assert np.ma.getmaskarray(shown(ax, 1))[1].all()
    assert ax.images[0].get_clim() == (0, 1)  # no error at all: any scale, but not 0…0


def test_confusion_refuses_names_that_do_not_fit():
    with pytest.raises(ValueError, match=r"shape=\(2, 2\), len\(classes\)=3"):
        plots.confusion(np.eye(2), CLASSES)


def test_interval_is_wilsons():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        np.testing.assert_allclose(score_plots.interval(hits / n, n), (low, high), atol=5e-5)


def test_reliability_draws_bins_that_hold_pictures():
    top, bottom = plots.reliability({"net": CALIBRATION}).axes
    dots = next(line for line in top.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(dots.get_xydata(), [[0.4, 0.5], [0.9, 0.8]])
    gaps = top.collections[1].get_segments()
    np.testing.assert_array_equal(gaps, [[[0.4, 0.4], [0.4, 0.5]], [[0.9, 0.9], [0.9, 0.8]]])
    assert [bar.get_height() for bar in bottom.patches] == [0, 0.25, 0.75]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bottom.patches] == pytest.approx(
        [1 / 6, 1 / 2, 5 / 6]
    )
    assert "net\ncalibration error 10.0 points" in texts(top.figure)


def test_per_class_ranks_by_recall_and_keeps_the_worst():
    ax = plots.per_class(list("abcd"), [0.1, 0.2, 0.3, 0.4], [0.5, np.nan, 0.9, 0.7], limit=3).axes[
        0
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["d", "a", "b"]
    precision, recall = ax.lines
    np.testing.assert_array_equal(precision.get_xdata(), [0.4, 0.1, 0.2])
    np.testing.assert_array_equal(recall.get_xdata(), [0.7, 0.5, np.nan])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is the top one


# Inside a network


def test_filters_share_one_scale_around_grey():
    weak, strong = np.full((2, 2, 3, 1), 0.5), np.zeros((2, 2, 3, 1))
    strong[0, 0] = 2.0
    strong[1, 1] = -2.0
    first, second = plots.filters({"untrained": weak, "trained": strong}, columns=1).axes
    assert np.unique(shown(first)).tolist() == [159]  # 127.5 · 1.25
    assert [shown(second)[i, i, 0] for i in (0, -1)] == [255, 0]
    assert shown(second)[0, -1, 0] == 128
    assert "weights up to ±0.5; grey is 0, full colour ±2" in texts(first.figure)


@pytest.mark.parametrize("n", [1, 7, 8, 9])
def test_filters_fill_rows_of_columns(n):
    ax = plots.filters(np.ones((3, 3, 1, n)), columns=4).axes[0]
    tile, gap = 30, 1  # 3 px, ten times as large
    assert shown(ax).shape[0] == -(-n // 4) * (tile + gap) - gap


def test_filters_of_a_deeper_layer_are_refused():
    with pytest.raises(ValueError, match=r"shape=\(3, 3, 64, 8\)"):
        plots.filters(np.zeros((3, 3, 64, 8)))


def test_activation_maps_fix_zero_at_white():
    positive, signed = np.zeros((32, 32, 3)), np.zeros((32, 32, 3))
    positive[0, 0, 1] = 4.0
    signed[0, 0, 2] = -1.0
    signed[0, 1, 2] = 3.0
    maps = {"relu": positive, "norm": signed}
    top, relu, norm = plots.activation_maps(maps, pictures(1, 32)[0], per_layer=2).axes
    assert relu.images[0].get_clim() == (0, 4)
    assert norm.images[0].get_clim() == (-3, 3)
    for ax in (relu, norm):
        layer = ax.images[0]
        assert to_rgb(layer.cmap(layer.norm(0.0))) == pytest.approx((1, 1, 1), abs=0.01)
    assert relu.get_ylabel() == "relu\n32×32×3\n0…4"
    assert norm.get_ylabel() == "norm\n32×32×3\n±3"
    np.testing.assert_array_equal(shown(relu)[:32, :32], positive[..., 1])  # varies most
    np.testing.assert_array_equal(shown(top)[:32, :32], pictures(1, 32)[0])


def test_activation_maps_leave_missing_channels_blank_and_survive_silent_layers():
    figure = plots.activation_maps({"dead": np.zeros((4, 4, 1))}, pictures(1)[0], per_layer=3)
    sheet = shown(figure.axes[1])
    assert sheet[:, :32].tolist() == np.zeros((32, 32)).tolist()
    assert np.ma.getmaskarray(sheet)[:, 34:].all()
    assert figure.axes[1].get_ylabel() == "dead\n4×4×1\n0…0"
    figure.draw_without_rendering()


def test_heatmaps_leave_the_picture_in_view():
    images, maps = pictures(2), [np.zeros((8, 8)), np.linspace(0, 1, 16).reshape(4, 4)]
    *cells, bar = plots.heatmaps(images, maps, ["none", "some"], label="Grad-CAM").axes
    assert len(cells) == 2
    for ax, image, heat in zip(cells, images, maps, strict=True):
        picture, veil = ax.images
        np.testing.assert_array_equal(picture.get_array(), image)
        np.testing.assert_array_equal(veil.get_array(), heat)
        assert veil.get_extent() == picture.get_extent()  # a coarse map covers all of it
        assert veil.get_clim() == (0, 1)
        assert veil.cmap(0.0)[3] == 0
        assert veil.cmap(1.0)[3] < 1
    assert bar.get_xlabel() == "Grad-CAM"


def test_signed_heatmaps_are_symmetric_around_a_clear_zero():
    maps = [np.array([[0.1, -0.4], [0.0, 0.2]]), np.zeros((2, 2))]
    ax = plots.heatmaps(pictures(2), maps, signed=True).axes[0]
    veil = ax.images[1]
    assert veil.get_clim() == (-0.4, 0.4)
    assert veil.cmap(veil.norm(0.0))[3] == pytest.approx(0, abs=0.02)
    low, high = veil.cmap(0.0), veil.cmap(1.0)
    assert (low[:3], high[:3]) == (to_rgb(canvas.BLUE), to_rgb(canvas.VERMILLION))
    assert low[3] == high[3]


def test_heatmaps_need_a_map_for_each_picture():
    with pytest.raises(ValueError, match=r"len\(images\)=2, len\(maps\)=1"):
        plots.heatmaps(pictures(2), [np.zeros((8, 8))])


# Transfer


def test_costs_write_each_value_and_refuse_panels_of_other_parts():
    figure = plots.costs(
        {"a": {"x": 1.5, "y": 1234.0}, "b": {"x": 0.0, "y": 2.0}}, units=(" M", "")
    )
    assert {"1.5 M", "1,234 M", "0", "2"} <= set(texts(figure))
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [1.5, 1234]
    with pytest.raises(ValueError, match=r"parts \['x'\] in every panel.*\['z'\] in 'b'"):
        plots.costs({"a": {"x": 1}, "b": {"z": 1}})


def test_score_lines_go_through_means_and_show_every_seed():
    series = {"one": {0.1: [0.2, 0.6], 1: [0.8, 0.9]}, "two": {1: [0.5]}}
    ax = plots.score_lines(series, xlabel="share", ticks={1: "all"}, xscale="log").axes[0]
    drawn = [np.transpose(line.get_data()).tolist() for line in ax.lines]
    assert drawn[0] == [[0.1, pytest.approx(0.4)], [1, pytest.approx(0.85)]]
    assert drawn[1:3] == [[[0.1, 0.2], [0.1, 0.6]], [[1, 0.8], [1, 0.9]]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["all"]


def test_embedding_names_each_class_that_is_there_at_its_middle():
    points = np.array([[0, 0], [2, 2], [9, 9], [5, 1]], float)
    figure = plots.embedding({"p": points}, np.array([0, 0, 0, 2]), CLASSES)
    names = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert names == {"airplane": (2, 2), "dog": (5, 1)}


def test_changes_say_which_layers_were_frozen_and_share_one_scale():
    moved = {"head": {"a": 0.0, "b": 0.0}, "all": {"a": 0.1, "b": 0.4}}
    first, second = plots.changes(moved).axes
    assert [text.get_text() for text in first.texts] == ["frozen: 0"] * 2
    assert [text.get_text() for text in second.texts] == []
    assert [bar.get_width() for bar in second.patches] == [0.1, 0.4]
    assert first.get_xlim() == second.get_xlim()
