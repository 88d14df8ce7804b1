import copy
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import Input, Model, Sequential, layers
from matplotlib.patches import Polygon, Rectangle

from cnnlab import plots
from cnnlab.plots import canvas

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, size=(12, 10, 3), dtype=np.uint8)
KERNEL = RNG.integers(-3, 4, size=(3, 3, 3))
MAP = RNG.normal(size=(10, 8))
NETWORK = [
    ("picture", "input", (32, 32, 3)),
    ("conv", "convolution", (30, 30, 8)),
    ("pool", "pooling", (15, 15, 8)),
    ("flat", "flatten", (1800,)),
    ("scores", "fully connected", (10,)),
]
CALLS = {
    "volumes": ([{"in": PICTURE, "out": RNG.normal(size=(6, 6, 4))}], {"arrows": ["layer"]}),
    "dot_product": ([PICTURE, KERNEL, (2, 3)], {}),
    "sliding": ([PICTURE, MAP], {"kernel_size": 3, "counts": [1, 20, 80]}),
    "output_sizes": ([[(8, 3, 1, "valid"), (8, 3, 2, "same"), (5, 1, 1, "valid")]], {}),
    "matrices": ([{"a": MAP, "b": MAP[:4, :4]}], {"window": 2}),
    "receptive_fields": ([PICTURE, {"conv": np.abs(RNG.normal(size=(12, 10)))}, [(4, 6)]], {}),
    "areas": ([{"dense": 100_000, "conv": 9, "other": 50_000}], {}),
    "signals": ([{"a": RNG.normal(size=30), "b": RNG.normal(size=(2, 30))}], {"spans": [(3, 9)]}),
    "maps": ([{"row": [PICTURE, MAP], "other": [MAP, MAP]}, ["a", "b"]], {}),
    "architecture": ([NETWORK], {"skips": [("conv", "flat")], "picture": PICTURE}),
}


def texts(figure):
    """All that is written in a figure's axes, headings included."""
    return [
        text.get_text()
        for ax in figure.axes
        for text in [*ax.texts, ax.title, ax._left_title, ax.yaxis.label]
        if text.get_text()
    ]


def rectangles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize("name", CALLS)
def test_a_drawing_is_a_titled_figure_that_leaves_its_input_and_pyplot_alone(name):
    args, options = CALLS[name]
    before, rc = copy.deepcopy((args, options)), dict(plt.rcParams)
    figure = getattr(plots, name)(*args, **options, title="A title")
    figure.canvas.draw()
    assert isinstance(figure, canvas.Figure)
    assert figure.get_suptitle() == "A title"
    assert figure.get_figwidth() <= 9
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == rc
    np.testing.assert_equal((args, options), before)


def test_every_drawing_is_listed_and_tested():
    homes = {name: getattr(plots, name).__module__ for name in plots.__all__}
    rooms = ("cnnlab.plots.diagrams", "cnnlab.plots.networks")
    assert {name for name, home in homes.items() if home in rooms} == set(CALLS)


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


def test_sliding_shows_as_many_numbers_as_are_done_and_where_the_filter_stands():
    figure = plots.sliding(PICTURE, MAP[::2, ::2], kernel_size=3, stride=2, counts=[1, 7, 20])
    above, below = figure.axes[:3], figure.axes[3:]
    for ax, count in zip(below, [1, 7, 20], strict=True):
        done = np.asarray(ax.images[0].get_array().filled(np.nan)).ravel()
        np.testing.assert_array_equal(np.isfinite(done), np.arange(20) < count)
        np.testing.assert_array_equal(done[:count], MAP[::2, ::2].ravel()[:count])
    frame = rectangles(above[1])[0]  # number 7 is in row 1, column 2; the stride is 2
    assert (frame.get_y(), frame.get_x(), frame.get_width()) == (1.5, 3.5, 3)
    assert rectangles(below[1])[0].get_xy() == (1.5, 0.5)


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


def test_receptive_fields_frame_theory_and_fade_with_the_gradient():
    gradient = np.zeros((12, 10))
    gradient[5, 5], gradient[5, 6] = 4.0, 1.0
    figure = plots.receptive_fields(PICTURE, {"conv": gradient, "none": 0 * gradient}, [(4, 6)] * 2)
    ax, flat = figure.axes
    alpha = ax.images[1].get_array()[..., 3]
    assert alpha[5, 5] == 1
    assert alpha[5, 6] == pytest.approx(0.5)
    assert np.count_nonzero(alpha) == 2
    assert not flat.images[1].get_array()[..., 3].any()
    frame = rectangles(ax)[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (3.5, 3.5, 3, 3)
    assert ax.get_xlim() == (-0.5, 9.5)


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


def test_signals_draw_lines_and_shade_only_what_is_asked():
    line, two = RNG.normal(size=30), RNG.normal(size=(2, 30))
    figure = plots.signals({"one": line, "two": two}, spans=[None, (3, 9)])
    first, second = figure.axes
    np.testing.assert_array_equal(first.lines[0].get_ydata(), line)
    assert [len(first.lines), len(second.lines)] == [1, 2]
    assert second.lines[0].get_color() != second.lines[1].get_color()
    assert not first.patches
    assert second.patches[0].get_x() == 3
    assert second.patches[0].get_width() == 6


def test_maps_of_a_row_share_a_scale_and_signed_ones_are_white_at_0():
    signed, small = np.array([[-2.0, 1.0], [0.0, np.nan]]), np.array([[0.5, 0.0], [0.0, 0.0]])
    figure = plots.maps({"signed": [signed, small], "light": [small, PICTURE]}, ["a", "b"])
    images = [ax.images[0] for ax in figure.axes]
    assert [(image.norm.vmin, image.norm.vmax) for image in images[:3]] == [
        (-2, 2),
        (-2, 2),
        (0, 0.5),
    ]
    assert images[0].cmap(images[0].norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.01)
    np.testing.assert_array_equal(images[3].get_array(), PICTURE)
    assert {"a", "b", "signed", "light"} == set(texts(figure))


def test_maps_refuse_a_row_that_does_not_fit_the_headings():
    with pytest.raises(ValueError, match=r"Expected 2 arrays.*Received: 1 in row 'short'"):
        plots.maps({"full": [MAP, MAP], "short": [MAP]}, ["a", "b"])


def test_architecture_draws_a_box_and_a_label_for_each_volume():
    figure = plots.architecture(NETWORK)
    (ax,) = figure.axes
    boxes = [patch for patch in ax.patches if isinstance(patch, Polygon)]
    assert len(boxes) == 3 * len(NETWORK)
    written = " ".join(texts(figure))
    for name, _, shape in NETWORK:
        assert name in written
        assert "×".join(map(str, shape)) in written
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["input", "convolution", "pooling", "flatten", "fully connected"]


def fronts(figure):
    """Width and height of each volume's front, in the order drawn."""
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Polygon)]
    corners = [box.get_xy() for box in boxes[::3]]
    return [(np.ptp(xy[:, 0]), np.ptp(xy[:, 1])) for xy in corners]


def test_boxes_grow_with_pixels_and_with_channels():
    shapes = [(64, 64, 4), (64, 64, 64), (16, 16, 64)]
    thin, thick, small = fronts(
        plots.architecture([(f"conv{i}", "convolution", s) for i, s in enumerate(shapes)])
    )
    assert thick[0] > 2 * thin[0]
    assert thick[1] == pytest.approx(thin[1])
    assert small[1] == pytest.approx(thick[1] / 2)  # the square root of 16 / 64
    assert small[0] == pytest.approx(thick[0])


@pytest.mark.parametrize("count", [1, 9, 22, 40])
def test_any_number_of_volumes_fits_and_no_labels_overlap(count):
    shapes = [(224 >> (i // 4), 224 >> (i // 4), 64 << min(3, i // 4)) for i in range(count)]
    shapes = [(max(h, 7), max(w, 7), c) for h, w, c in shapes]
    net = [(f"block{i}_conv", "convolution", shape) for i, shape in enumerate(shapes)]
    figure = plots.architecture(net)
    figure.canvas.draw()
    (ax,) = figure.axes
    corners = np.concatenate([p.get_xy() for p in ax.patches if isinstance(p, Polygon)])
    assert corners[:, 0].min() >= 0
    assert corners[:, 0].max() <= canvas.WIDTH
    names = [text for text in ax.texts if "block" in text.get_text()]
    spans = [text.get_window_extent() for text in names]
    assert all(a.x1 <= b.x0 for a, b in pairwise(spans))
    assert all(span.y0 >= 0 and span.x0 >= 0 for span in spans)


def residual_model():
    inputs = Input((16, 16, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    y = layers.Conv2D(4, 3, padding="same", name="a1")(x)
    y = layers.Conv2D(4, 3, padding="same", name="a2")(layers.ReLU()(y))
    x = layers.ReLU()(layers.Add(name="a")([x, layers.BatchNormalization()(y)]))
    y = layers.Conv2D(8, 3, strides=2, padding="same", name="b1")(x)
    y = layers.Conv2D(8, 3, padding="same", name="b2")(y)
    x = layers.Add(name="b")([y, layers.Conv2D(8, 1, strides=2, name="shortcut")(x)])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return Model(inputs, layers.Dense(10, name="logits")(layers.Dropout(0.5)(x)))


def test_a_residual_model_is_drawn_along_its_longest_path_with_its_shortcuts():
    figure = plots.architecture(residual_model())
    (ax,) = figure.axes
    labels = [text.get_text() for text in ax.texts]
    for name in ["pixels", "stem", "a1", "a2", "a", "b1", "b2", "b", "mean", "logits"]:
        assert any(label.split("  ")[0] == name for label in labels), name
    assert not any("shortcut" in label for label in labels)
    assert labels.count("1×1") == 1
    assert len(fronts(figure)) == 10
    assert len(ax.lines) == 2
    assert "shortcut" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("grown", [False, True])
def test_a_sequential_model_is_drawn_with_its_input(grown):
    parts = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.MaxPooling2D()]
    parts += [layers.Flatten(), layers.Dense(3, name="scores")]
    model = Sequential([Input((8, 8, 3))] if grown else [Input((8, 8, 3)), *parts])
    for layer in parts if grown else []:
        model.add(layer)
    labels = " ".join(texts(plots.architecture(model)))
    for shape in ["8×8×3", "6×6×4", "3×3×4", "36"]:
        assert shape in labels
    assert len(fronts(plots.architecture(model))) == 5


def test_a_nested_network_is_one_volume():
    inner = Sequential([Input((8, 8, 3)), layers.Conv2D(4, 3)], name="backbone")
    flip = Sequential([Input((8, 8, 3)), layers.RandomFlip()], name="augment")
    model = Sequential([Input((8, 8, 3)), flip, inner, layers.Flatten(), layers.Dense(2)])
    labels = " ".join(texts(plots.architecture(model)))
    assert "backbone" in labels
    assert "augment" not in labels


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.architecture([]), "Received: layers of length 0"),
        (
            lambda: plots.architecture([("a", "magic", (1, 1, 1))]),
            "Received: kind='magic' of layer 'a'",
        ),
        (
            lambda: plots.architecture(NETWORK, skips=[("conv", "nowhere")]),
            "Received: 'nowhere' in a shortcut",
        ),
        (
            lambda: plots.architecture(Sequential([layers.Dense(1)], name="unbuilt")),
            "Received: model 'unbuilt'",
        ),
    ],
)
def test_architecture_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
