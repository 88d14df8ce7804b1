import numpy as np
import pytest
from figures import MAP, PICTURE, pictures, rectangles, shown, texts
from matplotlib.colors import to_rgb

from cnnlab import plots
from cnnlab.plots import canvas


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


def test_heatmaps_leave_the_picture_in_view_and_stand_beside_it():
    images, maps = pictures(2), [np.zeros((8, 8)), np.linspace(0, 1, 16).reshape(4, 4)]
    *cells, bar = plots.heatmaps(images, maps, ["none", "some"], label="Grad-CAM").axes
    assert [ax.get_title() for ax in cells] == ["none", "", "some", ""]
    for original, ax, image, heat in zip(cells[::2], cells[1::2], images, maps, strict=True):
        (alone,) = original.images
        picture, veil = ax.images
        np.testing.assert_array_equal(alone.get_array(), image)
        np.testing.assert_array_equal(picture.get_array(), image)
        np.testing.assert_array_equal(veil.get_array(), heat)
        assert veil.get_extent() == picture.get_extent()  # a coarse map covers all of it
        assert veil.get_clim() == (0, 1)
        assert veil.cmap(0.0)[3] == 0
        assert veil.cmap(1.0)[3] < 1
    assert bar.get_xlabel() == "Grad-CAM"


def test_heatmaps_of_several_models_stand_side_by_side_on_one_scale():
    rng = np.random.default_rng(0)
    maps = {"trained": rng.normal(size=(3, 8, 8)), "random": 2 * rng.normal(size=(3, 8, 8))}
    *cells, _ = plots.heatmaps(pictures(3), maps, ["a", "b", "c"], signed=True).axes
    titles = [ax.get_title() for ax in cells]
    assert titles == ["a", "trained", "random", "b", "trained", "random", "c", "trained", "random"]
    for i in range(3):
        for j, heats in enumerate(maps.values(), start=1):
            np.testing.assert_array_equal(shown(cells[3 * i + j], 1), heats[i])
    peak = max(np.abs(heats).max() for heats in maps.values())
    assert {ax.images[1].get_clim() for ax in cells if len(ax.images) > 1} == {(-peak, peak)}


def test_signed_heatmaps_are_symmetric_around_a_clear_zero():
    maps = [np.array([[0.1, -0.4], [0.0, 0.2]]), np.zeros((2, 2))]
    ax = plots.heatmaps(pictures(2), maps, signed=True).axes[1]
    veil = ax.images[1]
    assert veil.get_clim() == (-0.4, 0.4)
    assert veil.cmap(veil.norm(0.0))[3] == pytest.approx(0, abs=0.02)
    low, high = veil.cmap(0.0), veil.cmap(1.0)
    assert (low[:3], high[:3]) == (to_rgb(canvas.BLUE), to_rgb(canvas.VERMILLION))
    assert low[3] == high[3]


def test_heatmaps_need_a_map_and_a_caption_for_each_picture():
    some = [np.zeros((8, 8))]
    with pytest.raises(ValueError, match=r"a map .*len\(images\)=2, len\(maps\)=1"):
        plots.heatmaps(pictures(2), some)
    with pytest.raises(ValueError, match=r"a map .*len\(images\)=2, len\(maps\)=1"):
        plots.heatmaps(pictures(2), {"a": 2 * some, "b": some})
    with pytest.raises(ValueError, match=r"a caption .*len\(images\)=2, len\(captions\)=1"):
        plots.heatmaps(pictures(2), 2 * some, ["a"])


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


def test_no_rows_of_maps_are_refused():
    with pytest.raises(ValueError, match="at least one row and one heading"):
        plots.maps({}, [])
