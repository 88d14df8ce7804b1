import numpy as np
import pytest
import tensorflow as tf
from small_vgg import small_vgg

from cnnlab import images
from cnnlab.style import matching, stylize
from cnnlab.style.colors import from_oklab, mapped_hues, to_oklab, with_hues
from cnnlab.style.laplacian import decompose, resized, synthesize

CHANNELS = {"block1": (12, 8), "block2": (8, 12), "block3": (8, 8, 12), "block4": (12, 8, 8)}
SMALL = {"size": 32, "style_loss": "neighbours", "precision": "float32"}


@pytest.fixture(scope="module")
def vgg():
    """A VGG of all ten layers, narrow; random features tell places apart well enough."""
    return small_vgg(0, CHANNELS)


@pytest.fixture(scope="module")
def spots():
    """Round spots of many colours: no two places look the same."""
    y, x = np.mgrid[:32, :40]
    waves = [np.sin(x / (3 + i)) * np.cos(y / (5 - i)) + 0.3 * np.sin(x * y / 90) for i in range(3)]
    return np.uint8(np.clip(127 + 90 * np.stack(waves, -1), 0, 255))


# Resizing, and the pyramid


def test_rows_are_resized_by_hand():
    row = tf.constant([[[[0.0], [10.0], [20.0], [30.0]]]])
    np.testing.assert_allclose(resized(row, (1, 2))[0, 0, :, 0], [5, 25])
    np.testing.assert_allclose(resized(row, (1, 2), corners=True)[0, 0, :, 0], [0, 30])
    wide = resized(row[:, :, :2], (1, 4))[0, 0, :, 0]
    np.testing.assert_allclose(wide, [0, 2.5, 7.5, 10])


@pytest.mark.parametrize("shape", [(8, 8), (3, 9), (9, 5), (17, 1)])
def test_resizing_agrees_with_tensorflow(shape):
    maps = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 7, 3)), tf.float32)
    expected = tf.image.resize(maps, shape, "bilinear")
    np.testing.assert_allclose(resized(maps, shape), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (37, 50), (3, 90)])
def test_a_pyramid_is_the_picture_again(shape):
    pixels = tf.constant(np.random.default_rng(0).uniform(0, 255, (1, *shape, 3)), tf.float32)
    bands = decompose(pixels)
    np.testing.assert_allclose(synthesize(bands), pixels, atol=1e-3)
    assert min(bands[-1].shape[1:3]) < 4
    flat = decompose(tf.fill((1, *shape, 3), 77.0))
    np.testing.assert_allclose(flat[-1], 77, rtol=1e-5)
    for band in flat[:-1]:
        np.testing.assert_allclose(band, 0, atol=1e-4)


# Neighbours


@pytest.mark.parametrize("similarities", [2**26, 100, 1])
def test_nearest_agree_with_a_search_through_all(similarities, monkeypatch):
    monkeypatch.setattr(matching, "SIMILARITIES", similarities)
    chance = np.random.default_rng(0)
    queries, keys = chance.normal(2, 1, (23, 5)), chance.normal(-1, 3, (31, 5))
    found = matching.nearest(tf.constant(queries), tf.constant(keys)).numpy()
    for query, number in zip(queries - queries.mean(0), found, strict=True):
        cosines = [
            query @ key / np.linalg.norm(query) / np.linalg.norm(key) for key in keys - keys.mean(0)
        ]
        assert number == np.argmax(cosines)


def test_hypercolumns_have_each_block_s_share(vgg):
    features = {
        name: tf.constant(np.random.default_rng(i).normal(0, 10**i, (1, 9, 8, 3 + i)), tf.float32)
        for i, name in enumerate(("block1_conv1", "block1_conv2", "block4_conv1"))
    }
    factors = matching.layer_factors([features])
    rows = matching.hypercolumns(features, factors, (9, 8)).numpy()
    assert rows.shape == (72, 3 + 4 + 5)
    squares = [np.square(rows[:, a:b]).sum(1).mean() for a, b in ((0, 3), (3, 7), (7, 12))]
    np.testing.assert_allclose(squares, [0.05, 0.05, 0.5], rtol=1e-4)


def test_a_picture_in_its_own_style_stays_as_it_is(vgg, spots):
    """Every place's nearest neighbour is itself, so there is next to nothing to change."""
    other = np.ascontiguousarray(spots[:, ::-1] // 2 + 90)
    options = SMALL | {"size": 40, "steps": [20, 20], "content_share": 1.0}
    same, changed = (stylize(spots, s, model=vgg, **options) for s in (spots, other))
    assert same.history["total"][0] < 1e-5
    own, far = (np.abs(np.float32(r.image) - spots).mean() for r in (same, changed))
    assert own < 3
    assert far > 3 * own


def test_masks_are_refused_in_words():
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match='Expected no masks with style_loss="neighbours"'):
        stylize(picture, picture, style_loss="neighbours", masks=[np.ones((32, 32))])


def test_losses_fall_in_both_parts(vgg, spots):
    style = np.ascontiguousarray(np.rot90(255 - spots))
    seen = []
    options = SMALL | {"steps": [1, 40, 40], "pyramid_ratio": 2}
    report = {"callback": seen.append, "callback_every": 9}
    result = stylize(spots, style, model=vgg, **options, **report)
    assert [(lv.width, lv.height, lv.steps) for lv in result.levels] == [
        (16, 13, 1),
        (32, 26, 40),
        (32, 26, 40),
    ]
    total = result.history["total"]
    assert total[1:41][-1] < 0.9 * total[1:41][0]
    assert total[41:][-5:].mean() < total[41:][:5].mean()
    assert result.image.shape == (26, 32, 3)
    assert seen[-1].step == 81
    np.testing.assert_array_equal(seen[-1].image, result.image)


def test_a_turned_style_is_as_good(vgg, spots):
    options = SMALL | {"size": spots.shape[:2], "pyramid": 1, "steps": 4, "content_share": 1.0}
    for turns in range(4):
        style = np.ascontiguousarray(np.rot90(spots, turns))
        result = stylize(spots, style, model=vgg, **options)
        assert result.history["total"][0] < 0.02, turns


def test_both_of_two_styles_are_looked_through(vgg, spots):
    other = np.full_like(spots, 128)
    options = SMALL | {"size": 40, "pyramid": 1, "steps": 2, "content_share": 1.0}
    both, first = (stylize(spots, s, model=vgg, **options) for s in ([other, spots], other))
    assert both.history["total"][0] < 0.2 * first.history["total"][0]


def test_a_seed_gives_one_picture(vgg, spots):
    def run(seed):
        style = np.ascontiguousarray(spots[::-1] // 2)
        return stylize(spots, style, model=vgg, seed=seed, steps=6, **SMALL).image

    np.testing.assert_array_equal(run(0), run(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1}, "2 or more. Received: steps=1"),
        ({"steps": [5]}, r"2 or more. Received: steps=\[5\]"),
        ({"optimizer": "lbfgs"}, "no optimizer with style_loss=.neighbours.. Received.*lbfgs"),
        ({"style_weights": [1]}, "no style_weights"),
        ({"masks": [np.ones((32, 40))]}, "no masks"),
        ({"content_share": 1.5}, "content_share to be a finite number in 0…1. Received: 1.5"),
    ],
)
def test_what_neighbours_have_no_use_for_is_refused(vgg, spots, options, message):
    with pytest.raises(ValueError, match=message):
        stylize(spots, spots, model=vgg, **SMALL | {"steps": 4} | options)


def test_options_that_neighbours_do_not_use_are_named(vgg, spots, caplog):
    options = {"style_layers": {"block1_conv1": 1.0}, "tv_weight": 9.0, "steps": 2, "pyramid": 1}
    stylize(spots, spots, model=vgg, **SMALL | options)
    assert 'style_loss="neighbours" has no use for tv_weight, style_layers' in caplog.text


# Colours


def test_oklab_by_its_author_s_table_and_back():
    np.testing.assert_allclose(to_oklab(np.array([255, 255, 255])), [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(to_oklab(np.array([255, 0, 0])), [0.628, 0.225, 0.126], atol=1e-3)
    pixels = np.random.default_rng(0).uniform(0, 255, (9, 7, 3))
    np.testing.assert_allclose(from_oklab(to_oklab(pixels)), pixels, atol=0.01)


def test_mapped_hues_are_the_styles_where_the_content_s_differ(spots):
    """A content of two colours: the coarse colours become two of the style's."""
    content = np.zeros((64, 64, 3), np.uint8)
    content[:, :32], content[:, 32:] = (200, 60, 60), (60, 60, 200)
    palette = np.repeat([[60, 160, 60], [200, 180, 40]], 500, 0)
    grey = np.full((64, 64, 3), 128.0)
    mapped = with_hues(grey, *mapped_hues(content, palette))
    seen = to_oklab(mapped)[:, [4, -4], 1:].mean(0)
    wanted = to_oklab(palette)[[0, -1], 1:]
    distances = np.linalg.norm(seen[:, None] - wanted[None], axis=-1)
    assert distances.min(1).max() < 0.03
    assert set(distances.argmin(1)) == {0, 1}


def test_mapped_is_a_choice_for_every_loss(vgg, spots):
    options = {"size": 32, "steps": 3, "pyramid": 1, "precision": "float32", "model": vgg}
    options |= {"style_layers": "block2_conv1", "content_layers": "block3_conv1"}
    art = np.ascontiguousarray(255 - spots)
    plain, mapped = (stylize(spots, art, colors=c, **options) for c in ("style", "mapped"))
    shown = images.read(spots, mapped.image.shape[:2])
    expected = with_hues(plain.image, *mapped_hues(shown, art.reshape(-1, 3)))
    np.testing.assert_allclose(mapped.image, expected, atol=2)
