import numpy as np
import pytest
from figures import CLASSES, PROBABILITIES, pictures, shown, texts
from matplotlib.colors import to_rgba

from cnnlab import plots
from cnnlab.plots import canvas


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
    images, labels = pictures(5, 32), np.array([2, 1, 1, 0, 1])
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
