import itertools

import numpy as np
import pytest
from figures import CLASSES, RNG, texts
from matplotlib.colors import to_rgb

from cnnlab import plots


def test_lines_are_named_where_there_are_several():
    series = {"a": ([1, 10], [3, 4]), "b": (np.array([1, 10, 100]), np.array([4, 3, np.nan]))}
    ax = plots.lines(series, xlabel="rate", ylabel="loss", xscale="log").axes[0]
    assert [(t.get_text(), tuple(t.xy)) for t in ax.texts] == [("a", (10, 4)), ("b", (10, 3))]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("rate", "loss", "log")
    assert plots.lines({"a": ([1, 2], [3, 4])}, xlabel="", ylabel="").axes[0].texts[:] == []


def test_a_band_lies_around_the_line_that_it_is_named_after():
    series = {"a": ([1, 2, 3], [3.0, 4.0, 5.0]), "b": ([1, 2, 3], [0.0, 0.0, 0.0])}
    ax = plots.lines(series, xlabel="", ylabel="", bands={"a": [0.5, 1.0, 2.0]}).axes[0]
    (band,) = ax.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {(1, 2.5), (2, 3), (3, 3), (1, 3.5), (2, 5), (3, 7)}
    assert ax.lines[0].get_color() == "#0072B2"
    assert to_rgb(band.get_facecolor()[0][:3]) == to_rgb("#0072B2")


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


def test_score_panels_draw_bars_on_one_scale_and_keep_each_name_s_colour():
    panels = {
        "few": {"one": {5: (0.5, 0.1), 20: (0.7, 0.05)}, "two": {5: (0.2, 0.1)}},
        "all": {"two": {5: (0.4, 0.0), 40: (0.9, 0.1)}},
    }
    few, all_ = plots.score_panels(panels, xlabel="steps").axes
    assert [ax.get_title(loc="left") for ax in (few, all_)] == ["few", "all"]
    one, two = few.containers
    assert np.transpose(one.lines[0].get_data()).tolist() == [[5, 0.5], [20, 0.7]]
    (bars,) = one.lines[2]
    assert np.allclose(
        [segment[:, 1] for segment in bars.get_segments()], [[0.4, 0.6], [0.65, 0.75]]
    )
    assert two.lines[0].get_color() == all_.containers[0].lines[0].get_color()
    assert [label.get_text() for label in all_.get_xticklabels()] == ["5", "40"]
    assert few.get_ylim() == all_.get_ylim()
    assert few.get_xscale() == "log"


def test_embedding_names_each_class_that_is_there_at_its_middle():
    points = np.array([[0, 0], [2, 2], [9, 9], [5, 1]], float)
    figure = plots.embedding({"p": points}, np.array([0, 0, 0, 2]), CLASSES)
    names = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert names == {"airplane": (2, 2), "dog": (5, 1)}


@pytest.mark.parametrize("spacing", [0.0, 1e-9, 0.02, 0.3])
def test_names_of_an_embedding_never_cover_each_other(spacing):
    names = [f"class {'abcdefghij'[i]} of ten" for i in range(10)]
    panels = {}
    for heading, seed in (("before", 0), ("after", 1)):
        middles = np.random.default_rng(seed).normal(size=(10, 2)) * spacing
        panels[heading] = np.concatenate([middles, [[-3, -3], [3, 3]]])
    labels = np.array([*range(10), 0, 0])
    figure = plots.embedding(panels, labels, names, title="Crowded")
    figure.draw_without_rendering()
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts]
        assert len(boxes) == 10
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_changes_say_which_layers_were_frozen_and_share_one_scale():
    moved = {"head": {"a": 0.0, "b": 0.0}, "all": {"a": 0.1, "b": 0.4}}
    first, second = plots.changes(moved).axes
    assert [text.get_text() for text in first.texts] == ["frozen: 0"] * 2
    assert [text.get_text() for text in second.texts] == []
    assert [bar.get_width() for bar in second.patches] == [0.1, 0.4]
    assert first.get_xlim() == second.get_xlim()


def test_more_series_than_colours_are_all_drawn():
    scores = {f"s{i}": {1: [i / 20], 2: [i / 10]} for i in range(10)}
    ax = plots.score_lines(scores, xlabel="x", ticks={1: "1", 2: "2"}).axes[0]
    assert set(scores) <= set(texts(ax.figure))
    assert len(plots.costs({f"p{i}": {"a": 1.0} for i in range(10)}).axes) == 10
