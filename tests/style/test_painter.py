"""A painter that learns, for pictures of any size, and its loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnnlab.style import (
    STYLE_LOSSES,
    PerceptualLoss,
    content_distance,
    crops,
    painter_network,
    statistics,
    style_distance,
    style_target,
    total_variation,
    train_painter,
)
from cnnlab.style.vgg import device_weights, extract_features, read_vgg

LAYERS = {"content_layers": "deep", "style_layers": {"shallow": 3, "deep": 1}}
SMALL = {"widths": (4, 6, 8), "blocks": 1}


def pictures(n, height=32, width=32, seed=0):
    """Smooth blobs of colour, so that there is something to recognise."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (n, 5, 5, 3))
    return tf.cast(tf.image.resize(coarse, (height, width), "bilinear"), tf.uint8).numpy()


def stripes(size=48):
    x = np.arange(size)
    band = np.where((x[:, None] + x) % 8 < 4, 230, 20)
    return np.stack([band, band // 2, 255 - band], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def vgg():
    """A VGG of three layers, with a preprocessing of its own."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2)(inputs)
    conv = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    x = layers.Conv2D(8, 3, name="shallow", **conv)(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(16, 3, name="deep", **conv)(x)
    x = layers.Conv2D(16, 3, name="deeper", **conv)(x)
    return keras.Model(inputs, x, name="vgg")


@pytest.fixture
def untraced():
    """Tracing a training step takes seconds; a few steps are faster without."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def untouched(vgg):
    """What training is given, before any, and copies of its numbers."""
    given = pictures(8)
    return given, given.copy(), vgg.get_weights(), [layer.trainable for layer in vgg.layers]


@pytest.fixture(scope="module")
def trained(vgg, untouched):
    return train_painter(
        stripes(), untouched[0], steps=40, batch_size=4, report_every=5, learning_rate=5e-3,
        model=vgg, size=48, jit_compile=False, **LAYERS, **SMALL,
    )  # fmt: skip


def paint(painter, given):
    return painter(given).numpy()


# --- The painter ----------------------------------------------------------------------------------


def perturbed(model, seed=0):
    random = np.random.default_rng(seed)
    model.set_weights([w + random.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (30, 41), (7, 5), (4, 64)])
def test_a_painting_is_as_large_as_its_picture(shape):
    painted = paint(painter_network(**SMALL), pictures(2, *shape))
    assert (painted.shape, painted.dtype) == ((2, *shape, 3), np.float32)


def test_untrained_it_shows_the_picture():
    given = pictures(1, 37, 26)
    painted = paint(painter_network(**SMALL), given)
    assert np.abs(painted - given).max() < 3


def test_paintings_are_in_range_whatever_the_weights():
    painted = paint(perturbed(painter_network(**SMALL)), pictures(2))
    assert np.ptp(painted) > 100
    assert painted.min() >= 0
    assert painted.max() <= 255


def test_free_and_fixed_sizes_paint_alike_with_the_same_weights():
    free = perturbed(painter_network(**SMALL))
    fixed = painter_network((16, 24, 3), **SMALL)
    fixed.set_weights(free.get_weights())
    given = pictures(2, 16, 24)
    np.testing.assert_allclose(paint(free, given), paint(fixed, given), atol=0.01)


def test_a_picture_is_painted_by_itself_whatever_else_is_in_the_batch():
    painter, given = perturbed(painter_network(**SMALL)), pictures(3)
    together = paint(painter, given)
    np.testing.assert_allclose(paint(painter, given[1:2])[0], together[1], atol=0.01)


def test_each_map_of_each_picture_is_normalised():
    painter = perturbed(painter_network(**SMALL))
    painter.get_layer("down1_scale").set_weights([np.ones((1, 6))])
    painter.get_layer("down1_shift").set_weights([np.full((1, 6), 9.0)])
    last = painter.get_layer("down1").output  # 9 and more standard deviations above 0: no ReLU
    maps = keras.Model(painter.inputs[0], last)(pictures(3)).numpy() - 9
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(maps.std(axis=(1, 2)), 1, atol=1e-2)


def test_it_reloads_without_the_library_and_fits_in_two_megabytes(tmp_path):
    painter = perturbed(painter_network())
    painter.save(tmp_path / "painter.keras")
    assert (tmp_path / "painter.keras").stat().st_size < 2_000_000
    again = keras.saving.load_model(tmp_path / "painter.keras", safe_mode=True)
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}
    given = pictures(1, 21, 30)
    np.testing.assert_array_equal(paint(painter, given), paint(again, given))


# --- The loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_the_loss_adds_up_stylizes_own_distances(vgg, kind):
    loss = PerceptualLoss(stripes(), model=vgg, size=48, style_loss=kind, **LAYERS)
    painted, wanted = (pictures(3, seed=seed).astype(np.float32) for seed in (1, 2))
    found = loss.terms(tf.constant(painted), tf.constant(wanted)).numpy().mean(0)

    plan, weights = read_vgg(vgg)
    plan = plan.until(["deep"])
    weights = device_weights(weights, plan)

    def extract(picture):
        pixels = tf.constant(picture[None], tf.float32)
        return extract_features(pixels, weights, plan, ["shallow", "deep"])

    wanted_style, style = extract(stripes()), 0.0
    for name, share in (("shallow", 0.75), ("deep", 0.25)):
        target = style_target(statistics(wanted_style[name], kind), kind)
        for one in painted:
            seen = statistics(extract(one)[name], kind)
            style += share * float(style_distance(seen, target, kind)) / 3
    features = [np.stack([extract(x)["deep"][0] for x in batch]) for batch in (painted, wanted)]
    pairs = zip(*map(tf.constant, features), strict=True)
    content = np.mean([float(content_distance(*pair)) for pair in pairs])
    variation = float(total_variation(painted))
    np.testing.assert_allclose(found, [content, style, variation], rtol=1e-3)


def test_what_is_there_already_costs_nothing(vgg):
    loss = PerceptualLoss(stripes(), model=vgg, size=48, **LAYERS)
    style = tf.constant(np.stack([stripes()] * 2), tf.float32)
    content, distance, _ = loss.terms(style, style).numpy().T
    assert (content == 0).all()
    assert (distance < 1e-9).all()


def test_the_size_is_that_of_the_style_looked_at(vgg):
    losses = [PerceptualLoss(stripes(96), model=vgg, size=size, **LAYERS) for size in (96, 48)]
    grams = [loss.targets["shallow"].second.numpy()[0] for loss in losses]
    assert np.abs(grams[0] - grams[1]).max() > 0.1 * np.abs(grams[0]).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style_loss": "gramm"}, "'gram', 'wasserstein', 'moments'.*'gramm'"),
        ({"style_layers": "depp"}, "'depp'. Layers: shallow, pool, deep"),
        ({"content_weight": 0, "style_weight": 0}, "positive content_weight or style_weight"),
        ({"size": 1}, "size=1, which makes it 1 × 1"),
    ],
)
def test_a_loss_says_what_is_wrong(vgg, change, message):
    with pytest.raises(ValueError, match=message):
        PerceptualLoss(stripes(), model=vgg, **{**LAYERS, **change})


# --- Training -------------------------------------------------------------------------------------


def test_the_loss_falls_and_is_the_weighted_sum(trained):
    _, history = trained
    assert set(history) == {"loss", "content", "style", "variation"}
    assert {len(values) for values in history.values()} == {8}
    assert history["style"][-1] < 0.6 * history["style"][0]
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    total = history["content"] + 30 * history["style"] + history["variation"]
    np.testing.assert_allclose(history["loss"], total, rtol=1e-4)


def test_it_learns_one_style():
    with pytest.raises(TypeError, match="list"):
        train_painter([stripes(), stripes()], pictures(8, 32, 32), steps=1)


def test_what_it_learnt_holds_for_a_picture_it_never_saw(vgg, trained):
    loss = PerceptualLoss(stripes(), model=vgg, size=48, **LAYERS)
    given = pictures(1, 44, 36, seed=9)
    painted = paint(trained[0], given)
    given = tf.constant(given, tf.float32)
    before, after = (loss.terms(tf.constant(x), given)[0, 1] for x in (given, painted))
    assert after < 0.7 * before


def test_the_seed_decides(vgg, untraced):
    def run(seed):
        painter, _ = train_painter(
            stripes(), pictures(8), steps=1, batch_size=4, seed=seed, model=vgg, size=48,
            jit_compile=False, **LAYERS, **SMALL,
        )  # fmt: skip
        return np.concatenate([w.ravel() for w in painter.get_weights()])

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 1e-2


def test_training_leaves_the_extractor_and_the_pictures_alone(vgg, untouched, trained):
    given, copy, before, flags = untouched
    for old, new in zip(before, vgg.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [layer.trainable for layer in vgg.layers] == flags
    np.testing.assert_array_equal(given, copy)


def test_stop_keeps_what_has_been_learnt(vgg, untraced):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    painter, history = train_painter(
        stripes(), pictures(8), steps=50, batch_size=4, report_every=1, callbacks=[Stop()],
        model=vgg, size=48, jit_compile=False, **LAYERS, **SMALL,
    )  # fmt: skip
    assert len(history["loss"]) == 2
    assert np.abs(painter.get_layer("leave").kernel).max() > 0


def test_infinite_losses_are_an_error(vgg, untraced):
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train_painter(
            stripes(), pictures(8), steps=2, batch_size=4, learning_rate=float("inf"), model=vgg,
            size=48, jit_compile=False, **LAYERS, **SMALL,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pictures(8).astype(np.float32), "uint8.*float32"),
        (pictures(8)[..., :1], "uint8.*1\\)"),
        (pictures(8, 30, 32), "multiples of 4.*30"),
        (pictures(3), "at least a batch.*3, 32.*batch_size=8"),
    ],
)
def test_training_says_what_is_wrong_with_the_pictures(given, message):
    with pytest.raises(ValueError, match=message):
        train_painter(stripes(), given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps to be a positive whole number"),
        ({"report_every": 0}, "report_every to be a positive whole number"),
        ({"style_layers": "deepest"}, "sides of at least 8.*4, 4, 3"),
    ],
)
def test_training_says_what_is_wrong_with_an_argument(change, message):
    inputs = keras.Input((None, None, 3))
    x = inputs
    for name in ("shallow", "deep", "deeper", "deepest"):
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D()(x) if name != "deepest" else x
    options = {**LAYERS, **SMALL, "model": keras.Model(inputs, x), "size": 48, **change}
    with pytest.raises(ValueError, match=message):
        train_painter(stripes(), pictures(8, 4, 4), **options)


# --- Crops ----------------------------------------------------------------------------------------


def test_crops_are_pieces_of_the_pictures_at_all_scales_both_ways_round():
    """A ramp from left to right: its steps show the scale, their sign the mirror."""
    ramp = np.broadcast_to(np.linspace(0, 255, 100)[None, :, None], (80, 100, 3))
    pieces = crops([ramp.astype(np.uint8)], 200, size=20, seed=1)
    assert (pieces.shape, pieces.dtype) == ((200, 20, 20, 3), np.uint8)
    slopes = np.diff(pieces[:, 10, :, 0].astype(float), axis=1).mean(axis=1)
    assert 60 < (slopes < 0).sum() < 140
    assert np.abs(slopes).min() < 1.2 * 2.58
    assert np.abs(slopes).max() > 0.8 * 4 * 2.58
    again, other = (crops([ramp.astype(np.uint8)], 200, size=20, seed=s) for s in (1, 2))
    np.testing.assert_array_equal(pieces, again)
    assert (pieces != other).any()


def test_pictures_too_small_to_cut_are_refused():
    with pytest.raises(ValueError, match=r"size=64.*pictures\[1\] with shape=\(32, 90, 3\)"):
        crops([pictures(1, 80, 80)[0], pictures(1, 32, 90)[0]], 4, size=64)
