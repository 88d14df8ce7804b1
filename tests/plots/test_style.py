import io

import numpy as np
import pytest
from figures import pictures, shown
from PIL import Image

from cnnlab import plots
from cnnlab.plots import canvas


def test_a_notebook_keeps_a_painting_as_jpeg_alone_and_in_few_bytes():
    noise = pictures(4, 300, 300)
    figure = plots.board({"": noise})
    saved = figure._repr_jpeg_()[0]
    assert Image.open(io.BytesIO(saved)).size == tuple(np.rint(100 * figure.get_size_inches()))
    assert Image.open(io.BytesIO(saved)).format == "JPEG"
    assert figure._repr_png_ is None
    assert len(saved) < 0.5 * len(plots.grid(noise)._repr_png_()[0])


def test_board_puts_each_picture_its_name_and_its_note_in_its_place():
    images = pictures(6)
    rows = {"weak": list(images[:3]), "strong": [images[3], None, images[5]]}
    notes = {"weak": ["a", "b", "c"]}
    figure = plots.board(rows, ["x", "y", "z"], notes=notes)
    cells = np.reshape(figure.axes, (2, 3))
    for place, image in zip([(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)], images[[0, 1, 2, 3, 5]],
                            strict=True):  # fmt: skip
        np.testing.assert_array_equal(shown(cells[place]), image)
    assert not cells[1, 1].images
    assert [ax.get_title(loc="left") for ax in cells[0]] == ["x", "y", "z"]
    assert [ax.get_ylabel() for ax in cells[:, 0]] == ["weak", "strong"]
    assert [ax.get_xlabel() for ax in cells.flat] == ["a", "b", "c", "", "", ""]


def test_board_fits_the_page_whatever_the_pictures():
    wide, tall = pictures(1, 40, 160)[0], pictures(1, 160, 40)[0]
    for rows in ({"": [wide]}, {"a name": [tall] * 2}, {"": [wide, tall] * 4}):
        figure = plots.board(rows, title="A title")
        figure.draw_without_rendering()
        assert figure.get_figwidth() <= canvas.WIDTH
        boxes = [ax.get_window_extent() for ax in figure.axes]
        for box, picture in zip(boxes, next(iter(rows.values())), strict=True):
            h, w = picture.shape[:2]
            assert box.height / box.width == pytest.approx(h / w, rel=0.02)


@pytest.mark.parametrize("name", ["", "a", "scene", "a name that takes two lines"])
@pytest.mark.parametrize("columns", [1, 2, 3, 6])
def test_a_note_stays_on_the_page_however_long_the_names(name, columns):
    row = list(pictures(columns, 40, 60))
    figure = plots.board({name: row}, ["a"] * columns, notes={name: ["b"] * columns}, title="T")
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.xaxis.label.get_window_extent().y0 >= 0


@pytest.mark.parametrize(("columns", "inches"), [(1, 2.7), (3, 2.7), (6, 1.3)])
def test_board_is_as_large_as_the_page_allows(columns, inches):
    row = list(pictures(columns, 300, 300))
    figure = plots.board({"": row}, ["a"] * columns, notes={"": ["b"] * columns}, title="A title")
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.get_window_extent().width / figure.dpi == pytest.approx(inches, rel=0.06)


def test_what_is_shrunk_is_smoothed():
    assert plots.board({"": pictures(1, 700, 700)}).axes[0].images[0].get_interpolation() in (
        "auto",
        "antialiased",
    )


@pytest.mark.parametrize(
    ("rows", "headings", "notes"),
    [
        ({}, (), None),
        ({"": []}, (), None),
        ({"a": pictures(2), "b": pictures(3)}, (), None),
        ({"a": pictures(2)}, ("one",), None),
        ({"a": pictures(2)}, (), {"a": ["one"]}),
        ({"a": pictures(2)}, (), {"b": ["one", "two"]}),
    ],
)
def test_board_refuses_what_is_not_a_table(rows, headings, notes):
    with pytest.raises(ValueError, match="Expected rows of"):
        plots.board(rows, headings, notes=notes)


def test_progress_draws_each_term_against_its_steps():
    history = {"content": [3.0, 2.0, 1.0], "style": [1.0, 0.1, 0.01], "total variation": [0, 0, 0]}
    left, ax = plots.progress(pictures(1)[0], history, steps=[10, 20, 30]).axes
    assert shown(left).shape == (8, 8, 3)
    assert [text.get_text() for text in ax.texts] == ["content", "style"]
    for line, name in zip(ax.lines, history, strict=False):
        assert line.get_xdata().tolist() == [10, 20, 30]
        assert line.get_ydata().tolist() == history[name]
    assert ax.get_yscale() == "log"


def test_progress_keeps_its_size_while_it_is_updated():
    sizes = {
        tuple(plots.progress(pictures(1)[0], {"style": np.ones(n)}, title="t").get_size_inches())
        for n in (0, 1, 50)
    }
    assert len(sizes) == 1


def test_gram_shows_the_product_its_mean_and_where_it_stands():
    features = np.random.default_rng(0).random((4, 6, 12))
    i, j = 2, 9
    cells = plots.gram(features, (i, j)).axes
    product = features[..., i] * features[..., j]
    np.testing.assert_array_equal(shown(cells[2]), product)
    matrix = shown(cells[3])
    assert matrix[i, j] == pytest.approx(product.mean())
    np.testing.assert_allclose(matrix, features.reshape(-1, 12).T @ features.reshape(-1, 12) / 24)
    assert cells[2].get_xlabel() == f"mean over all places: {product.mean():.3g}"
    assert cells[3].patches[0].get_xy() == (j - 0.5, i - 0.5)
    with pytest.raises(ValueError, match=r"0…11\. Received: pair=\(2, 12\)"):
        plots.gram(features, (2, 12))


def test_close_ups_are_pixels_of_the_picture():
    image = pictures(1, 60, 90)[0]
    whole, *places = plots.close_ups(image, [(0, 0), (20, 50)], side=40).axes
    np.testing.assert_array_equal(shown(whole), image)
    np.testing.assert_array_equal(shown(places[1]), image[20:60, 50:90])
    assert [patch.get_xy() for patch in whole.patches] == [(-0.5, -0.5), (49.5, 19.5)]
    assert whole.get_xlabel().startswith("all 90 × 60 pixels; beside them the framed places of 40")
    with pytest.raises(ValueError, match=r"inside the picture of 60 × 90"):
        plots.close_ups(image, [(21, 50)], side=40)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_a_contact_sheet_has_the_content_large_and_every_painting_under_its_name(count):
    content, *painted = pictures(count + 1, 30, 40)
    paintings = {f"style {i}": picture for i, picture in enumerate(painted)}
    figure = plots.contact_sheet(content, paintings)
    figure.draw_without_rendering()
    by_name = {ax.get_xlabel(): ax for ax in figure.axes}
    assert set(by_name) == {"the content", *paintings}
    for name, picture in {"the content": content, **paintings}.items():
        np.testing.assert_array_equal(shown(by_name[name]), picture)
    widths = {name: ax.get_window_extent().width for name, ax in by_name.items()}
    assert min(widths.values()) > 240  # pixels in a notebook
    assert widths["the content"] > 1.9 * widths["style 0"]


def test_a_contact_sheet_without_paintings_is_refused():
    with pytest.raises(ValueError, match=r"at least one painting.*0 paintings"):
        plots.contact_sheet(pictures(1)[0], {})
