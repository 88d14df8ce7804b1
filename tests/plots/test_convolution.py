from itertools import pairwise

import numpy as np
import pytest
from figures import KERNEL, PICTURE, RNG, rectangles, texts
from keras import layers

from cnnlab import plots
from cnnlab.plots import canvas


def test_volumes_draw_every_channel_and_name_every_shape():
    figure = plots.volumes({"in": PICTURE, "out": RNG.normal(size=(6, 6, 4))}, arrows=["layer"])
    (ax,) = figure.axes
    assert len(ax.images) == 3 + 4
    np.testing.assert_array_equal(ax.images[1].get_array(), PICTURE[..., 1])
    assert {"in", "out", "12 × 10 × 3", "6 × 6 × 4", "layer"} <= set(texts(figure))
    one_scale = {(image.norm.vmin, image.norm.vmax) for image in ax.images[3:]}
    assert len(one_scale) == 1


def test_planes_further_right_stand_in_front():
    (ax,) = plots.volumes({"in": PICTURE}).axes
    order = [image.get_zorder() for image in ax.images]
    assert order == sorted(order)
    assert len(set(order)) == 3


def test_dot_product_writes_all_numbers_the_sums_and_the_total():
    figure = plots.dot_product(PICTURE, KERNEL, (2, 3))
    products = PICTURE[2:5, 3:6].astype(int) * KERNEL
    written = texts(figure)
    assert written.count("×  filter") == 1
    for value in [*products.sum(axis=(0, 1)), products.sum()]:
        assert f"{value:,}".replace("-", "−") in written
    numbers = [text for text in written if text.replace("−", "").replace(",", "").isdigit()]
    assert len(numbers) == 3 * 27 + 3 + 1
    frame = rectangles(figure.axes[0])[0]
    assert (frame.get_x(), frame.get_y()) == (2.5, 1.5)  # columns are x, rows are y


def test_products_of_small_integers_do_not_wrap_around():
    kernel = np.full((3, 3, 3), 2, np.uint8)
    bright = np.full((3, 3, 3), 200, np.uint8)
    assert f"{27 * 400:,}" in texts(plots.dot_product(bright, kernel, (0, 0)))


def test_numbers_that_are_not_whole_get_one_decimal():
    figure = plots.matrices({"a": np.array([[0.25, -1.0], [2.0, 1234.0]])})
    assert {"0.2", "−1", "2", "1,234"} <= set(texts(figure))


@pytest.mark.parametrize("at", [(10, 3), (2, 8), (-1, 0)])
def test_dot_product_refuses_a_patch_outside_the_picture(at):
    with pytest.raises(ValueError, match=rf"inside the picture.*Received: at=\({at[0]}"):
        plots.dot_product(PICTURE, KERNEL, at)


@pytest.mark.parametrize(
    ("case", "count", "zeros", "unseen"),
    [
        ((8, 3, 1, "valid"), 6, 0, 0),
        ((8, 3, 1, "same"), 8, 2, 0),
        ((8, 3, 2, "valid"), 3, 0, 1),
        ((8, 3, 2, "same"), 4, 1, 0),
        ((7, 3, 2, "same"), 4, 2, 0),
        ((9, 2, 4, "valid"), 2, 0, 3),
    ],
)
def test_output_sizes_count_places_padding_and_pixels_that_are_not_seen(case, count, zeros, unseen):
    figure = plots.output_sizes([case])
    shape = layers.Conv1D(1, case[1], case[2], case[3]).compute_output_shape((None, case[0], 1))
    assert shape[1] == count
    ax = figure.axes[0]
    assert sum(patch.get_y() > 1 for patch in rectangles(ax)) == count
    assert texts(figure).count("0") == zeros
    assert texts(figure).count("not\nseen") == unseen
    assert ax.get_title(loc="left").endswith(f"{case[0]} pixels in, {count} numbers out")


def test_an_odd_zero_of_padding_stands_at_the_end():
    ax = plots.output_sizes([(8, 3, 2, "same")]).axes[0]
    strip = [patch for patch in rectangles(ax) if patch.get_y() == 0]
    assert [patch.get_linestyle() for patch in strip] == ["-"] * 8 + [":"]


def test_output_sizes_refuse_an_unknown_padding():
    with pytest.raises(ValueError, match="Received: padding='full'"):
        plots.output_sizes([(8, 3, 1, "full")])


def test_matrices_share_one_scale_and_one_size_of_cells():
    a, b = np.arange(16.0).reshape(4, 4), np.array([[40.0, 2.0]])
    figure = plots.matrices({"a": a, "b": b}, window=2)
    (ax,) = figure.axes
    first, second = ax.images
    assert (first.norm.vmin, first.norm.vmax) == (second.norm.vmin, second.norm.vmax)
    left, right, bottom, top = second.get_extent()
    assert (right - left, bottom - top) == (2, 1)
    assert {"a", "b", *(f"{v:.0f}" for v in [*a.ravel(), *b.ravel()])} == set(texts(figure))
    assert len(texts(plots.matrices({"a": a}, numbers=False))) == 1


def test_written_numbers_can_be_read_on_their_cells():
    (ax,) = plots.matrices({"a": np.array([[0.0, 3.0, 8.0]])}).axes
    image = ax.images[0]
    for text, value in zip(ax.texts, [0.0, 3.0, 8.0], strict=False):
        assert text.get_color() == canvas.ink_on(image.cmap(image.norm(value))[:3])


def test_areas_are_to_scale():
    counts = {"conv": 900, "dense": 90_000, "half": 45_000}
    (ax,) = plots.areas(counts).axes
    area = [patch.get_width() * patch.get_height() for patch in rectangles(ax)]
    assert area[1] / area[0] == pytest.approx(0.5)  # the largest first, then as given
    assert area[2] / area[0] == pytest.approx(0.01)
    assert {"dense: 90,000", "half: 45,000", "conv: 900"} <= set(texts(plots.areas(counts)))
    # nothing runs over the next one or out of the drawing
    edges = sorted((patch.get_y(), patch.get_y() + patch.get_height()) for patch in rectangles(ax))
    assert all(low[1] <= high[0] for low, high in pairwise(edges))
    assert edges[-1][1] <= max(ax.get_ylim())
