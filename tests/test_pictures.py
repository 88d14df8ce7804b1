"""data/pictures: complete, small, clean files, and what `data/make_pictures.py` draws today."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_pictures  # noqa: E402

FILES = sorted((DATA / "pictures").iterdir())


def test_every_picture_is_there_and_no_other():
    assert len(make_pictures.STYLES) >= 6
    assert len(make_pictures.SCENES) >= 2
    assert [file.name for file in FILES] == sorted(f"{name}.jpg" for name in make_pictures.PICTURES)


def test_together_they_are_small():
    assert max(file.stat().st_size for file in FILES) <= 250_000
    assert sum(file.stat().st_size for file in FILES) <= 1_600_000


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_jpegs_of_the_listed_size_with_nothing_but_pixels(file):
    with Image.open(file) as picture:
        _, height, width = make_pictures.PICTURES[file.stem]
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (width, height))
        assert max(picture.size) == 768
        assert not picture.getexif()
        assert not {"comment", "exif", "icc_profile", "xmp", "photoshop"} & set(picture.info)


@pytest.mark.parametrize("name", make_pictures.STYLES)
def test_styles_have_texture_everywhere(name):
    """A style lends what it has: nine tenths of its 32-pixel squares vary, by fine detail too."""
    picture = np.asarray(Image.open(DATA / "pictures" / f"{name}.jpg").convert("L"), np.float32)
    h, w = (side // 32 * 32 for side in picture.shape)
    squares = picture[:h, :w].reshape(h // 32, 32, w // 32, 32).swapaxes(1, 2)
    fine = np.abs(np.diff(squares, axis=3)).mean(axis=(2, 3))
    assert np.quantile(squares.std(axis=(2, 3)), 0.1) > 6
    assert np.quantile(fine, 0.1) > 2


@pytest.mark.parametrize("name", ["woodcut", "harbour"])
def test_the_shipped_file_is_what_the_code_draws(name):
    """Up to JPEG's losses (4.5) and rounding; another seed differs by 30."""
    shipped = np.asarray(Image.open(DATA / "pictures" / f"{name}.jpg"), np.float32)
    assert np.abs(make_pictures.draw(name) - shipped).mean() < 8


@pytest.mark.parametrize("name", ["marbling", "glass"])
def test_the_seed_decides(name):
    first, again, other = (make_pictures.draw(name, size=64, seed=seed) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert max(first.shape) == 64
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 5
    assert make_pictures.encode(first) == make_pictures.encode(again)


def test_a_file_keeps_to_its_limit_and_says_when_it_cannot():
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    generous, tight = (make_pictures.encode(noise, limit=limit) for limit in (20_000, 5_000))
    assert len(tight) <= 5_000 < len(generous)
    with pytest.raises(ValueError, match="limit=100"):
        make_pictures.encode(noise, limit=100)


def test_the_sheet_is_justified():
    pictures = [np.full((h, w, 3), 40 * i, np.uint8) for i, (h, w) in enumerate([(30, 40)] * 5)]
    sheet = make_pictures.sheet(pictures, rows=2, width=200)
    pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape[1] == 200
    assert [*pixels[0, [0, 100, 199], 0]] == [0, 40, 80]
    assert [*pixels[-1, [0, 199], 0]] == [120, 160]
