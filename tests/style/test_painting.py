"""Painting in one pass: names, mixtures, strength and sizes, with a painter made here."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnlab import images, models, sources, style
from cnnlab.models import weight_files
from cnnlab.style import painting

NAMES = ("ink", "chalk", "mud")
FORM = {"styles": 3, "widths": [4, 6, 8], "blocks": 1}


def photograph(height=40, width=60, seed=0):
    coarse = np.random.default_rng(seed).uniform(0, 255, (5, 7, 3))
    return tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8).numpy()


@pytest.fixture(scope="module")
def painter():
    """A painter whose styles differ by what chance has put into their tables."""
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    model = style.painter_network(**FORM)
    model.set_weights([w + random.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def file(painter, tmp_path_factory):
    path = tmp_path_factory.mktemp("painter") / "tiny.npz"
    write(path, painter)
    return path


def write(path, painter, **notes):
    weights = {f"{v.path.split('/')[-2]}/{v.name}": v.numpy() for v in painter.weights}
    packed = weight_files.quantize(weights)
    painter.set_weights(list(weight_files.dequantize(packed).values()))
    notes = {"styles": np.array(NAMES), "form": json.dumps(FORM), **notes}
    np.savez_compressed(path, **packed, **notes)


def by_hand(painter, picture, shares):
    pixels = tf.constant(picture[None], tf.float32)
    return images.to_uint8(painter([pixels, tf.constant([shares], tf.float32)])[0])


# --- One style, several, and how much of them -----------------------------------------------------


@pytest.mark.parametrize(("name", "shares"), [("ink", [1, 0, 0]), ("mud", [0, 0, 1])])
def test_a_name_chooses_its_style(painter, file, name, shares):
    picture = photograph()
    painted = style.paint(picture, name, size=None, weights=file)
    assert (painted.dtype, painted.shape) == (np.uint8, picture.shape)
    np.testing.assert_allclose(painted, by_hand(painter, picture, shares), atol=1)
    assert np.abs(painted.astype(int) - by_hand(painter, picture, [0, 1, 0])).max() > 30


def test_memory_that_runs_out_names_a_size(monkeypatch):
    def run(pixels, shares):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(painting, "_load", lambda weights: (NAMES, run))
    with pytest.raises(MemoryError, match=r"for 40 × 60 pixels, but it ran out. Try size=30"):
        style.paint(photograph(), "ink", size=None)


def test_weights_mix_styles_and_only_their_proportions_count(painter, file):
    picture = photograph()
    once, twice = (
        style.paint(picture, mixture, size=None, weights=file)
        for mixture in ({"mud": 3, "ink": 1}, {"ink": 0.5, "mud": 1.5, "chalk": 0})
    )
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_allclose(once, by_hand(painter, picture, [0.25, 0, 0.75]), atol=1)


def test_strength_leads_from_the_content_to_the_painting(file):
    picture = photograph()
    nothing, half, all_of_it = (
        style.paint(picture, "ink", strength=strength, size=None, weights=file).astype(float)
        for strength in (0, 0.5, 1)
    )
    np.testing.assert_array_equal(nothing, picture)
    np.testing.assert_allclose(half, (nothing + all_of_it) / 2, atol=1)
    assert np.abs(all_of_it - nothing).max() > 30


def test_a_style_changes_nothing_in_the_next_one(file):
    picture = photograph()
    alone = style.paint(picture, "chalk", weights=file, size=None)
    style.paint(picture, "mud", weights=file, size=None)
    np.testing.assert_array_equal(alone, style.paint(picture, "chalk", weights=file, size=None))


def test_weights_of_a_mixture_may_be_as_large_or_small_as_floats_are():
    for weight in (1e308, 5e-324):
        mixture = painting._mixture({"ink": weight, "mud": weight}, NAMES)
        np.testing.assert_array_equal(mixture, [0.5, 0, 0.5])


# --- Contents and sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shape"), [(64, (43, 64, 3)), (33, (22, 33, 3)), (None, (40, 60, 3))]
)
def test_the_longer_side_is_the_size_asked_for(file, size, shape):
    assert style.paint(photograph(), "ink", size=size, weights=file).shape == shape


def test_a_content_is_a_path_or_an_array_and_stays_as_it_is(file, tmp_path):
    picture = photograph()
    given = picture.copy()
    Image.fromarray(picture).save(tmp_path / "photo.png")
    from_array = style.paint(given, "ink", size=32, weights=file)
    np.testing.assert_array_equal(given, picture)
    path = tmp_path / "photo.png"
    np.testing.assert_array_equal(style.paint(path, "ink", size=32, weights=file), from_array)


# --- What is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "inc"}, "ink, chalk, mud.*'inc'"),
        ({"style": {"ink": 1, "oil": 1}}, "ink, chalk, mud.*'oil'"),
        ({"style": photograph(8, 8)}, "ink, chalk, mud.*stylize takes any picture"),
        ({"style": {}}, "positive weight among style"),
        ({"style": {"ink": 0}}, "positive weight among style"),
        ({"style": {"ink": -1, "mud": 2}}, r"style\['ink'\].*-1"),
        ({"strength": 1.5}, "strength to be a finite number in 0…1. Received: 1.5"),
        ({"strength": float("nan")}, "strength.*nan"),
        ({"size": 0}, "size to be a positive whole number"),
        ({"size": 4}, r"at least 4 pixels. Received: 3 × 4, with size=4. Pass size=6 or more"),
        ({"size": True}, "size to be a positive whole number. Received: True"),
        ({"content": photograph() / 255}, "pixels in 0…255"),
    ],
)
def test_paint_says_what_is_wrong(file, arguments, message):
    given = {"content": photograph(), "style": "ink", **arguments}
    with pytest.raises(ValueError, match=message):
        style.paint(given.pop("content"), given.pop("style"), **given, weights=file)


@pytest.mark.parametrize(
    "form",
    [
        {"styles": 3, "widths": [8, 8, 10**9], "blocks": 1},
        {"styles": 3, "widths": [8, 8], "blocks": 1},
        {"styles": 3, "widths": 8, "blocks": 1},
        {"styles": 3, "widths": [8, 8, 8], "blocks": 1, "name": "x"},
        [3],
    ],
)
def test_a_file_with_other_sizes_is_refused_before_a_network_is_built(painter, tmp_path, form):
    write(tmp_path / "odd.npz", painter, form=json.dumps(form))
    with pytest.raises(ValueError, match=r"sizes of a painter.*odd.npz with"):
        style.paint(photograph(), "ink", weights=tmp_path / "odd.npz")


def test_a_file_that_is_no_painter_is_refused(painter, file, tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3), classes=np.array(["cat"]))
    with pytest.raises(ValueError, match=r"make_painter.py.*other.npz with classes"):
        style.painter_styles(tmp_path / "other.npz")
    write(tmp_path / "large.npz", painter, form=json.dumps({**FORM, "widths": [4, 6, 12]}))
    with pytest.raises(sources.BrokenFileError, match=r"large.npz does not fit painter.*down2"):
        style.painter_styles(tmp_path / "large.npz")
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:2000])
    with pytest.raises(sources.BrokenFileError, match=r"cut.npz"):
        style.painter_styles(tmp_path / "cut.npz")
    with pytest.raises(FileNotFoundError, match=r'"shipped".*nowhere.npz\', which is no file'):
        style.painter_styles(tmp_path / "nowhere.npz")
    with pytest.raises(FileNotFoundError, match="which is a folder"):
        style.painter_styles(tmp_path)
    with pytest.raises(ValueError, match=r'"shipped" or the path.*weights=None'):
        style.painter_styles(None)


def test_a_file_that_has_changed_is_read_again(painter, tmp_path):
    path = tmp_path / "painter.npz"
    write(path, painter)
    assert style.painter_styles(path) == NAMES
    write(path, painter, styles=np.array(["a", "b", "c"]))
    assert style.painter_styles(path) == ("a", "b", "c")


# --- The one that ships ---------------------------------------------------------------------------


def test_the_painter_that_ships_knows_the_styles_of_data_and_paints_them():
    """Skipped only where there is no such file: one that is there has to be right."""
    try:
        path = models.shipped_file("painter")
    except FileNotFoundError:
        pytest.skip("no painter ships yet")
    assert path.stat().st_size <= 2_000_000
    names = style.painter_styles()
    assert set(names) == {"wind", "woodcut", "pointillism", "marbling", "glass", "gold", "cubism"}
    scene = images.read(sources.shipped("pictures/harbour.jpg"), (160, 240))
    paintings = {name: style.paint(scene, name, size=None).astype(float) for name in names}
    for name, painted in paintings.items():
        assert np.abs(painted - scene).mean() > 15, name
        light = [x.mean(-1).ravel() for x in (painted, scene.astype(float))]
        assert np.corrcoef(*light)[0, 1] > 0.2, name  # the scene is still to be seen
        look = images.read(sources.shipped(f"pictures/{name}.jpg")).astype(float)
        means = {n: p.mean((0, 1)) for n, p in paintings.items()}
        gaps = {n: np.abs(mean - look.mean((0, 1))).sum() for n, mean in means.items()}
        assert gaps[name] < np.abs(scene.mean((0, 1)) - look.mean((0, 1))).sum() + 30, name
    flat = [paintings[name] for name in names]
    assert min(np.abs(a - b).mean() for i, a in enumerate(flat) for b in flat[:i]) > 10
