import numpy as np
import pytest
from figures import contrast, pictures

from cnnlab import plots
from cnnlab.plots import canvas


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


def test_pictures_that_were_scaled_already_are_not_drawn_black():
    for scaled in (pictures(2, 8) / 255, pictures(2, 8) / 127.5 - 1):
        with pytest.raises(ValueError, match=r"Expected pixels in 0…255.*scaled already"):
            plots.grid(scaled)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 1)])
def test_what_is_not_rgb_is_refused(shape):
    with pytest.raises(ValueError, match=rf"Received: shape=\({shape[0]}, {shape[1]}"):
        plots.grid([np.zeros(shape, np.uint8)])


def test_a_mosaic_keeps_the_order_and_leaves_the_rest_blank():
    tiles = pictures(5, 32)
    sheet = canvas.mosaic(tiles, 3, fill=255)
    assert sheet.shape == (32 + 2 + 32, 3 * 32 + 2 * 2, 3)
    np.testing.assert_array_equal(sheet[:32, 34:66], tiles[1])
    np.testing.assert_array_equal(sheet[34:, :32], tiles[3])
    assert (sheet[34:, 68:] == 255).all()
