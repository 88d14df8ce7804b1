"""data/make_gallery.py: the README's pictures are of the library and the notebooks as they are."""

import sys
from pathlib import Path

import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_gallery as script  # noqa: E402


@pytest.mark.parametrize("file", script.FIGURES)
def test_the_readme_shows_what_the_notebook_has_drawn(file):
    """Where this fails, `python data/make_gallery.py --only figures` takes the figures anew."""
    notebook, text = script.FIGURES[file]
    drawn = script.drawn(script.NOTEBOOKS / f"{notebook}.ipynb", text)
    assert (script.FOLDER / file).read_bytes() == drawn


def test_a_text_of_several_cells_and_a_cell_without_a_picture_are_refused():
    notebook = script.NOTEBOOKS / "01_cifar10_cnn_from_scratch.ipynb"
    with pytest.raises(ValueError, match=r"one picture\. Received: 01_.* with \d\d such cells"):
        script.drawn(notebook, "plots.")
    with pytest.raises(ValueError, match="1 such cells and 0 pictures"):
        script.drawn(notebook, "PRESETS = {")


def test_every_photograph_is_painted_on_panels_of_400_pixels():
    for name in script.GALLERY:
        with Image.open(script.FOLDER / f"gallery_{name}.jpg") as sheet:
            assert sheet.width >= 3 * 400


def test_photographs_are_small_and_their_origin_is_told():
    told = (DATA / "README.md").read_text(encoding="utf-8")
    files = sorted((DATA / "photographs").iterdir())
    assert {file.stem for file in files} == {script.HERO[0], *script.GALLERY}
    for file in files:
        assert f"| `{file.name}` |" in told
        assert file.stat().st_size <= 80_000
        with Image.open(file) as photograph:
            assert not photograph.getexif()
