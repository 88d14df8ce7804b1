"""A painter that learns, for pictures of any size, and its loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_vgg import blobs, small_vgg

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

LAYERS = {"content_layers": "block2_conv1"}
LAYERS["style_layers"] = {"block1_conv1": 3, "block2_conv1": 1}
SMALL = {"widths": (4, 6, 8), "blocks": 1}


def stripes(size=48):
    x = np.arange(size)
    band = np.where((x[:, None] + x) % 8 < 4, 230, 20)
    return np.stack([band, band // 2, 255 - band], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def vgg():
    return small_vgg(3, {"block1": (8,), "block2": (16, 16)})


@pytest.fixture
def untraced():
    """Tracing a training step takes seconds; a few steps are faster without."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def untouched(vgg):
    """What training is given, before any, and copies of its numbers."""
    given = blobs(8)
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
    painted = paint(painter_network(**SMALL), blobs(2, *shape))
    assert (painted.shape, painted.dtype) == ((2, *shape, 3), np.float32)


def test_untrained_it_shows_the_picture():
    given = blobs(1, 37, 26)
    painted = paint(painter_network(**SMALL), given)
    assert np.abs(painted - given).max() < 3


def test_paintings_are_in_range_whatever_the_weights():
    painted = paint(perturbed(painter_network(**SMALL)), blobs(2))
    assert np.ptp(painted) > 100
    assert painted.min() >= 0
    assert painted.max() <= 255


def test_free_and_fixed_sizes_paint_alike_with_the_same_weights():
    free = perturbed(painter_network(**SMALL))
    fixed = painter_network((16, 24, 3), **SMALL)
    fixed.set_weights(free.get_weights())
    given = blobs(2, 16, 24)
    np.testing.assert_allclose(paint(free, given), paint(fixed, given), atol=0.01)


def test_a_picture_is_painted_by_itself_whatever_else_is_in_the_batch():
    painter, given = perturbed(painter_network(**SMALL)), blobs(3)
    together = paint(painter, given)
    np.testing.assert_allclose(paint(painter, given[1:2])[0], together[1], atol=0.01)


def test_each_map_of_each_picture_is_normalised():
    painter = perturbed(painter_network(**SMALL))
    painter.get_layer("down1_scale").set_weights([np.ones((1, 6))])
    painter.get_layer("down1_shift").set_weights([np.full((1, 6), 9.0)])
    last = painter.get_layer("down1").output  # 9 and more standard deviations above 0: no ReLU
    maps = keras.Model(painter.inputs[0], last)(blobs(3)).numpy() - 9
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(maps.std(axis=(1, 2)), 1, atol=1e-2)


def test_it_reloads_without_the_library_and_fits_in_two_megabytes(tmp_path):
    painter = perturbed(painter_network())
    painter.save(tmp_path / "painter.keras")
    assert (tmp_path / "painter.keras").stat().st_size < 2_000_000
    again = keras.saving.load_model(tmp_path / "painter.keras", safe_mode=True)
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}
    given = blobs(1, 21, 30)
    np.testing.assert_array_equal(paint(painter, given), paint(again, given))


# --- The loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_the_loss_adds_up_stylizes_own_distances(vgg, kind):
    loss = PerceptualLoss(stripes(), model=vgg, size=48, style_loss=kind, **LAYERS)
    painted, wanted = (blobs(3, seed=seed).astype(np.float32) for seed in (1, 2))
    found = loss.terms(tf.constant(painted), tf.constant(wanted)).numpy().mean(0)

    plan, weights = read_vgg(vgg)
    plan = plan.until(["block2_conv1"])
    weights = device_weights(weights, plan)

    def extract(picture):
        pixels = tf.constant(picture[None], tf.float32)
        return extract_features(pixels, weights, plan, ["block1_conv1", "block2_conv1"])

    wanted_style, style = extract(stripes()), 0.0
    for name, share in (("block1_conv1", 0.75), ("block2_conv1", 0.25)):
        target = style_target(statistics(wanted_style[name], kind), kind)
        for one in painted:
            seen = statistics(extract(one)[name], kind)
            style += share * float(style_distance(seen, target, kind)) / 3
    features = [
        np.stack([extract(x)["block2_conv1"][0] for x in batch]) for batch in (painted, wanted)
    ]
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
    grams = [loss.targets["block1_conv1"].second.numpy()[0] for loss in losses]
    assert np.abs(grams[0] - grams[1]).max() > 0.1 * np.abs(grams[0]).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style_loss": "gramm"}, "'gram', 'wasserstein', 'moments'.*'gramm'"),
        ({"style_layers": "depp"}, "'depp'. Layers: block1_conv1, block1_pool, block2_conv1"),
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
    assert set(history) == {"step", "loss", "content", "style", "variation"}
    assert history["step"].tolist() == [5, 10, 15, 20, 25, 30, 35, 40]
    assert {len(values) for values in history.values()} == {8}
    assert history["style"][-1] < 0.6 * history["style"][0]
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    total = history["content"] + 30 * history["style"] + history["variation"]
    np.testing.assert_allclose(history["loss"], total, rtol=1e-4)


def test_it_learns_one_style():
    with pytest.raises(TypeError, match="list"):
        train_painter([stripes(), stripes()], blobs(8, 32, 32), steps=1)


def test_what_it_learnt_holds_for_a_picture_it_never_saw(vgg, trained):
    loss = PerceptualLoss(stripes(), model=vgg, size=48, **LAYERS)
    given = blobs(1, 44, 36, seed=9)
    painted = paint(trained[0], given)
    given = tf.constant(given, tf.float32)
    before, after = (loss.terms(tf.constant(x), given)[0, 1] for x in (given, painted))
    assert after < 0.7 * before


def test_the_seed_decides(vgg, untraced):
    def run(seed):
        painter, _ = train_painter(
            stripes(), blobs(8), steps=1, batch_size=4, seed=seed, model=vgg, size=48,
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


class StopAt(keras.callbacks.Callback):
    """Press Stop after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def stopped_at(steps, vgg):
    return train_painter(
        stripes(), blobs(8), steps=50, batch_size=4, report_every=4, callbacks=[StopAt(steps)],
        model=vgg, size=48, jit_compile=False, **LAYERS, **SMALL,
    )  # fmt: skip


def test_stop_keeps_what_has_been_learnt_and_the_steps_of_its_curve(vgg, untraced):
    with pytest.raises(KeyboardInterrupt) as stop:
        stopped_at(10, vgg)
    painter, history = stop.value.result
    assert history["step"].tolist() == [4, 8, 10]
    assert {len(values) for values in history.values()} == {3}
    assert np.abs(painter.get_layer("leave").kernel).max() > 0


def test_stop_before_the_first_report_leaves_a_whole_history(vgg, untraced):
    with pytest.raises(KeyboardInterrupt) as stop:
        stopped_at(2, vgg)
    _, history = stop.value.result
    assert set(history) == {"step", "loss", "content", "style", "variation"}
    assert history["step"].tolist() == [2]


def test_in_a_notebook_stop_returns_the_painter_and_ends_the_cell(vgg, untraced, notebook):
    _, history = stopped_at(2, vgg)
    assert history["step"].tolist() == [2]
    assert notebook.shown[0] == "step 0 of 48, compiling"
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        stopped_at(2, vgg)


def test_memory_that_runs_out_names_a_batch_size(vgg, untraced):
    class Exhaust(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    with pytest.raises(MemoryError, match=r"batch_size=4, but it ran out. Try batch_size=2"):
        train_painter(
            stripes(), blobs(8), steps=2, batch_size=4, callbacks=[Exhaust()], model=vgg, size=48,
            jit_compile=False, **LAYERS, **SMALL,
        )  # fmt: skip


def test_infinite_losses_are_an_error(vgg, untraced):
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train_painter(
            stripes(), blobs(8), steps=2, batch_size=4, learning_rate=3e38, model=vgg,
            size=48, jit_compile=False, **LAYERS, **SMALL,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (blobs(8).astype(np.float32), "uint8.*float32"),
        (blobs(8)[..., :1], "uint8.*1\\)"),
        (blobs(8, 30, 32), "multiples of 4.*30"),
        (blobs(3), "at least a batch.*3, 32.*batch_size=8"),
    ],
)
def test_training_says_what_is_wrong_with_the_blobs(given, message):
    with pytest.raises(ValueError, match=message):
        train_painter(stripes(), given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps to be a positive whole number"),
        ({"report_every": 0}, "report_every to be a positive whole number"),
        ({"style_layers": "block4_conv1"}, "sides of at least 8.*4, 4, 3"),
    ],
)
def test_training_says_what_is_wrong_with_an_argument(change, message):
    deep = small_vgg(widths={f"block{i}": (4,) for i in range(1, 5)})
    options = {**LAYERS, **SMALL, "model": deep, "size": 48, **change}
    with pytest.raises(ValueError, match=message):
        train_painter(stripes(), blobs(8, 4, 4), **options)


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


def test_one_picture_to_cut_is_a_list_of_one_and_no_seed_below_0():
    one = blobs(1, 32, 40)[0]
    np.testing.assert_array_equal(crops(one, 3, size=16), crops([one], 3, size=16))
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        crops("absent.png", 3)
    with pytest.raises(ValueError, match=r"seed to be a whole number in 0….* Received: -1"):
        crops([one], 3, size=16, seed=-1)
    with pytest.raises(ValueError, match="at least one picture"):
        crops([], 3)


def test_pictures_too_small_to_cut_are_refused():
    with pytest.raises(ValueError, match=r"size=64.*pictures\[1\] with shape=\(32, 90, 3\)"):
        crops([blobs(1, 80, 80)[0], blobs(1, 32, 90)[0]], 4, size=64)
