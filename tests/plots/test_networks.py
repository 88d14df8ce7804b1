from itertools import pairwise

import numpy as np
import pytest
from figures import MAP, NETWORK, PICTURE, rectangles, texts
from keras import Input, Model, Sequential, layers
from matplotlib.patches import Polygon

from cnnlab import plots
from cnnlab.plots import canvas


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
