"""Each corruption does what its name says, more of it at each severity, and the same each time."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from cnnlab import images

GREY = np.full((3, 32, 32, 3), 128, np.uint8)
# Smooth, as photographs are: neighbours agree, so that blur and JPEG cost little.
COARSE = np.random.default_rng(0).integers(40, 216, (6, 5, 5, 3), dtype=np.uint8)
PICTURES = np.stack([np.array(Image.fromarray(x).resize((32, 32), Image.BILINEAR)) for x in COARSE])


def change(kind, severity):
    return np.abs(images.corrupt(PICTURES, kind, severity).astype(int) - PICTURES).mean()


@pytest.mark.parametrize("kind", images.CORRUPTIONS)
def test_every_severity_changes_more_and_the_same_each_time(kind):
    before = PICTURES.copy()
    changes = [change(kind, severity) for severity in range(1, 6)]
    assert 0 < changes[0] < changes[1] < changes[2] < changes[3] < changes[4] < 64
    once, again = (images.corrupt(PICTURES, kind, seed=7) for _ in range(2))
    assert (once.shape, once.dtype) == (PICTURES.shape, np.uint8)
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(PICTURES, before)


def test_blur_spreads_a_dot_as_a_gaussian_that_grows_with_the_picture():
    for side in (32, 64):
        dot = np.zeros((1, side, side, 3), np.uint8)
        dot[0, 15, 15, 1] = 255
        blurred = images.corrupt(dot, "blur", 5)
        weights = norm.pdf(np.arange(-3, 4), scale=side / 32)
        weights /= norm.pdf(np.arange(-9, 10), scale=side / 32).sum()
        found = blurred[0, 12:19, 12:19, 1]
        np.testing.assert_allclose(found, 255 * np.outer(weights, weights), atol=1)
        assert blurred[..., [0, 2]].max() == 0  # neither from channel to channel


def test_noise_has_its_spread_around_the_pixel_and_follows_the_seed():
    noisy = images.corrupt(np.repeat(GREY, 9, axis=0), "noise", 4)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert noisy.std() == pytest.approx(0.09 * 255, rel=0.02)
    assert not np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy, images.corrupt(np.repeat(GREY, 9, axis=0), "noise", 4, seed=1))
    assert images.corrupt(np.zeros_like(GREY), "noise", 5).max() < 150  # clipped, not wrapped


def test_contrast_draws_each_channel_to_its_mean():
    pair = np.zeros((1, 1, 2, 3), np.uint8)
    pair[0, 0] = [[0, 100, 50], [200, 100, 150]]
    found = images.corrupt(pair, "contrast", 2)
    np.testing.assert_array_equal(found[0, 0], [[50, 100, 75], [150, 100, 125]])


def test_jpeg_is_jpeg():
    file = io.BytesIO()
    Image.fromarray(PICTURES[3]).save(file, "JPEG", quality=40)
    expected = np.array(Image.open(file))
    np.testing.assert_array_equal(images.corrupt(PICTURES, "jpeg", 5)[3], expected)


@pytest.mark.parametrize("kind", ["blur", "contrast"])
def test_thousands_are_corrupted_as_each_alone(kind):
    many = np.resize(PICTURES, (1007, *PICTURES.shape[1:]))
    found = images.corrupt(many, kind)
    np.testing.assert_array_equal(found, np.resize(images.corrupt(PICTURES, kind), many.shape))


def test_tiles_stay_whole_and_each_picture_has_an_order_of_its_own():
    pictures = np.resize(PICTURES[0, :13, :14], (4, 13, 14, 3))
    shuffled = images.shuffle_tiles(pictures, 3)
    assert shuffled.shape == (4, 12, 12, 3)

    def tiles(picture):
        places = [(y, x) for y in range(0, 12, 4) for x in range(0, 12, 4)]
        return [picture[y : y + 4, x : x + 4].tobytes() for y, x in places]

    for picture in shuffled:
        assert tiles(picture) != tiles(pictures[0])
        assert sorted(tiles(picture)) == sorted(tiles(pictures[0]))
    assert len({picture.tobytes() for picture in shuffled}) == 4
    np.testing.assert_array_equal(shuffled, images.shuffle_tiles(pictures, 3))
    assert not np.array_equal(shuffled, images.shuffle_tiles(pictures, 3, seed=1))
    np.testing.assert_array_equal(images.shuffle_tiles(pictures, 1), pictures)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: images.corrupt(GREY, "fog"), "blur, noise, contrast, jpeg.* kind='fog'"),
        (lambda: images.corrupt(GREY, "blur", 0), r"severity .*in 1…5.*severity=0"),
        (lambda: images.corrupt(GREY, "blur", 6), "severity=6"),
        (lambda: images.corrupt(GREY / 255, "blur"), r"uint8 .*pictures\.dtype=float64"),
        (lambda: images.corrupt(GREY[0], "blur"), r"pictures\.shape=\(32, 32, 3\)"),
        (lambda: images.corrupt(GREY[:0], "blur"), r"at least one picture"),
        (lambda: images.shuffle_tiles(GREY, 33), r"tiles .*in 1…32.*tiles=33"),
        (lambda: images.shuffle_tiles(GREY, 2.0), r"tiles .*in 1…32, the.*tiles=2\.0"),
        (lambda: images.shuffle_tiles(GREY, seed=1.5), r"seed .*at least 0.*seed=1\.5"),
        (lambda: images.corrupt(GREY, "blur", True), r"severity .*severity=True"),
        (lambda: images.corrupt(GREY, "noise", seed=-1), r"seed .*at least 0.*seed=-1"),
        (lambda: images.shuffle_tiles(GREY.astype("f"), 2), r"pictures\.dtype=float32"),
    ],
)
def test_what_can_t_be_corrupted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
