from types import SimpleNamespace

import numpy as np
import pytest
from figures import CALIBRATION, CLASSES, contrast, shown, texts
from matplotlib.colors import to_hex, to_rgba_array

from cnnlab import plots
from cnnlab.plots import canvas


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


def test_reliability_draws_bins_that_hold_pictures():
    top, bottom = plots.reliability({"net": CALIBRATION}, least=1).axes
    dots = next(line for line in top.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(dots.get_xydata(), [[0.4, 0.5], [0.9, 0.8]])
    bars, gaps = (lines.get_segments() for lines in top.collections)
    np.testing.assert_array_equal(bars, [[[0.4, 0.15], [0.4, 0.85]], [[0.9, 0.55], [0.9, 0.93]]])
    np.testing.assert_array_equal(gaps, [[[0.4, 0.4], [0.4, 0.5]], [[0.9, 0.9], [0.9, 0.8]]])
    assert [bar.get_height() for bar in bottom.patches] == [0, 0.25, 0.75]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bottom.patches] == pytest.approx(
        [1 / 6, 1 / 2, 5 / 6]
    )
    assert "net\ncalibration error 10.0 points" in texts(top.figure)


def test_reliability_hides_bins_of_few_pictures_and_has_a_key():
    figure = plots.reliability({"net": CALIBRATION})
    top, bottom = figure.axes
    dots = next(line for line in top.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(dots.get_xydata(), [[0.9, 0.8]])
    assert [len(lines.get_segments()) for lines in top.collections] == [1, 1]
    assert [bar.get_height() for bar in bottom.patches] == [0, 0.25, 0.75]  # none is lost
    (key,) = figure.legends
    colors = [to_hex(to_rgba_array(handle.get_color())[0]).upper() for handle in key.legend_handles]
    words = [text.get_text() for text in key.get_texts()]
    assert words == ["as sure as right", "a bin of 10 pictures or more", "95 % interval", "gap"]
    assert colors == [canvas.MUTED, canvas.BLUE, canvas.PALE_BLUE, canvas.VERMILLION]


def test_reliability_without_a_bin_of_enough_pictures_is_drawn_all_the_same(recwarn):
    few = SimpleNamespace(**vars(CALIBRATION) | {"count": np.ones(3)})
    figure = plots.reliability({"net": few}, title="Few pictures")
    figure.draw_without_rendering()
    assert [str(w.message) for w in recwarn if "constrained" in str(w.message)] == []
    assert figure.axes[0].get_position().width > 0.3


def test_a_confusion_of_no_classes_is_refused():
    with pytest.raises(ValueError, match="a row and a column for each class"):
        plots.confusion(np.zeros((0, 0)), [])
