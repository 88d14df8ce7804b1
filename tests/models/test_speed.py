import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import second_look, speed_nets
from cnnlab.block_training import BlockTrainer, LookUp, Visits
from cnnlab.hard_half import HardHalf
from cnnlab.speed_optimizers import BatchedMuon, Lookahead, RankedSGD, orthogonalize_all

CHANCE = np.random.default_rng(0)
PICTURES = CHANCE.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)


def net(widths=(4, 6), **settings):
    return speed_nets.speed_net(widths, input_shape=(8, 8, 3), num_classes=3, **settings)


def test_whitened_patches_have_no_covariance_but_that_of_the_identity():
    pictures = CHANCE.integers(0, 256, (200, 8, 8, 3)).astype(np.float32)
    pictures[:, :, 1:] = 0.7 * pictures[:, :, :-1] + 0.3 * pictures[:, :, 1:]
    layer = speed_nets.Whitening(epsilon=0.0)
    layer.build((None, 8, 8, 3))
    layer.fit_to(pictures)
    whitened = np.asarray(layer(pictures)).reshape(-1, 24)
    np.testing.assert_allclose(whitened[:, :12], -whitened[:, 12:], atol=1e-5)
    covariance = whitened[:, :12].T @ whitened[:, :12] / len(whitened)
    np.testing.assert_allclose(covariance, np.eye(12), atol=1e-3)


@pytest.mark.parametrize("size", [2, 3])
def test_window_max_is_max_pooling(size):
    x = CHANCE.normal(size=(2, 7, 9, 5)).astype(np.float32)
    expected = keras.layers.MaxPooling2D(size)(x)
    np.testing.assert_array_equal(speed_nets.WindowMax(size)(x), expected)


def test_cheap_normalization_is_keras_without_scale():
    x = CHANCE.normal(3, 2, size=(16, 4, 4, 5)).astype(np.float32)
    ours = speed_nets.CheapNormalization(0.6, epsilon=1e-3)
    keras_own = keras.layers.BatchNormalization(momentum=0.6, scale=False)
    for training in (True, True, False):
        np.testing.assert_allclose(
            ours(x, training=training), keras_own(x, training=training), atol=1e-4
        )


def test_smooth_crossentropy_is_keras_own():
    logits, classes = CHANCE.normal(size=(9, 4)), CHANCE.integers(0, 4, 9)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(
        keras.utils.to_categorical(classes, 4), logits
    )
    assert float(speed_nets.SmoothCrossentropy(0.2)(classes, logits)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_first_filters_copy_their_input_and_a_seed_repeats_all():
    model = net(depth=3)
    model.set_weights(speed_nets.draw_weights(model, 1))
    kernel = np.asarray(model.get_layer("group2_conv1").kernel)
    copies = np.zeros((3, 3, 4, 4))
    copies[1, 1] = np.eye(4)
    np.testing.assert_array_equal(kernel[..., :4], copies)
    again = speed_nets.draw_weights(model, 1)
    for now, then in zip(model.get_weights(), again, strict=True):
        np.testing.assert_array_equal(now, then)
    assert (again[-1] != speed_nets.draw_weights(model, 2)[-1]).any()


def test_orthogonalizes_each_of_a_stack_as_if_alone():
    matrices = [CHANCE.normal(size=s).astype(np.float32) for s in ((20, 6), (6, 20), (12, 4))]
    for matrix, found in zip(matrices, orthogonalize_all(matrices, iterations=8), strict=True):
        alone = orthogonalize_all([matrix], iterations=8)[0]
        np.testing.assert_allclose(found, alone, atol=1e-4)
        values = np.linalg.svd(found, compute_uv=False)
        assert found.shape == matrix.shape
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_rates_and_decay_by_rank_are_those_of_keras_sgd():
    shapes = ((3, 3, 2, 4), (4, 5), (5,))
    starts = [CHANCE.normal(size=s).astype(np.float32) for s in shapes]
    pushes = [[CHANCE.normal(size=s).astype(np.float32) for s in shapes] for _ in range(3)]
    ours = [keras.Variable(v) for v in starts]
    optimizer = RankedSGD(0.1, momentum=0.8, matrix_ratio=2.0, bias_ratio=8.0, decay=0.01)
    optimizer.build(ours)
    for gradients in pushes:
        optimizer.apply([tf.constant(g) for g in gradients], ours)
    for i, ratio in enumerate((1.0, 2.0, 8.0)):
        rate, other = 0.1 * ratio, keras.Variable(starts[i])
        keras_own = keras.optimizers.SGD(rate, momentum=0.8, nesterov=True)
        keras_own.build([other])
        for gradients in pushes:
            keras_own.apply([gradients[i] + 0.01 / rate * np.asarray(other)], [other])
        np.testing.assert_allclose(ours[i], other, rtol=1e-4, atol=1e-5)


def test_muon_in_one_stack_is_muon_one_by_one():
    from cnnlab.optimizers import Muon

    shapes = ((3, 3, 2, 4), (3, 3, 4, 8), (5,))
    starts = [CHANCE.normal(size=s).astype(np.float32) for s in shapes]
    gradients = [CHANCE.normal(size=s).astype(np.float32) for s in shapes]
    results = []
    for optimizer in (BatchedMuon(0.2, bias_ratio=0.3), Muon(0.2, sgd_ratio=0.3)):
        variables = [keras.Variable(v) for v in starts]
        optimizer.build(variables)
        for _ in range(2):
            optimizer.apply([tf.constant(g) for g in gradients], variables)
        results.append([np.asarray(v) for v in variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_lookahead_returns_to_the_slow_weights_when_due():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[0.0]])])
    lookahead = Lookahead(model, steps=4, every=2, hold=0.8)
    found = []
    for value in (1.0, 2.0, 3.0, 4.0):
        model.set_weights([np.array([[value]])])
        lookahead.after_step()
        found.append(float(model.get_weights()[0][0, 0]))
    second = (1 - 0.8 / 8) * 2
    assert found == pytest.approx([1, second, 3, 0.8 * second + 0.2 * 4], rel=1e-5)


def test_predictor_sees_the_unsure_six_times_and_the_others_once():
    from cnnlab.models import six_views

    model = net()
    model.set_weights(speed_nets.draw_weights(model, 0, head_std=30.0))
    model.get_layer("whiten").fit_to(PICTURES)
    once = model.predict(PICTURES, verbose=0)
    six = six_views(model).predict(PICTURES, verbose=0)
    found = second_look.careful_predictor(model, batch_size=20, unsure=0.25, jit_compile=False)(
        tf.constant(PICTURES)
    ).numpy()
    sure = np.asarray(tf.nn.softmax(once)).max(axis=1)
    unsure = np.argsort(sure)[:12]
    np.testing.assert_allclose(found[unsure], six[unsure], rtol=1e-3, atol=1e-3)
    others = np.setdiff1d(np.arange(48), unsure)
    np.testing.assert_allclose(found[others], once[others], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("jit", "precision"), [(False, "float32"), (True, "mixed_bfloat16")])
def test_everything_together_learns(jit, precision):
    """Two classes, dark and bright, learnt from the harder half with lookahead and Muon."""
    labels = np.arange(48) % 2
    pictures = (PICTURES // 2 + labels[:, None, None, None] * 60).astype(np.uint8)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model, proxy = net((4,), depth=3), net((2,))
        look_up = LookUp(pictures, cutout=2)
        for i, one in enumerate((model, proxy)):
            one.set_weights(speed_nets.draw_weights(one, i))
            one.get_layer("whiten").fit_to(pictures)
        loss = speed_nets.SmoothCrossentropy(0.1)
        proxy.compile(RankedSGD(0.01), loss)
        half = HardHalf(proxy, look_up, keep=8, every=2)
        before_proxy = [np.asarray(w) for w in proxy.trainable_weights]
        trainer = BlockTrainer(
            model, look_up, choose=half.choose, after_step=Lookahead(model, steps=24).after_step
        )
        trainer.compile(
            BatchedMuon(0.1, bias_ratio=10.0), loss, metrics=["accuracy"], jit_compile=jit
        )
        visits = Visits(np.arange(48), labels, 16, crop=1, flip=True, cutout=2, side=8)
        history = trainer.fit(
            visits.blocks(8), epochs=8, steps_per_epoch=1, shuffle=False, verbose=0
        ).history
        assert np.isfinite(history["loss"]).all()
        assert history["loss"][-1] < history["loss"][0]
        assert float(half.count) == 24
        assert int(proxy.optimizer.iterations) == 12
        moved = zip(before_proxy, proxy.trainable_weights, strict=True)
        assert all((a != np.asarray(b)).any() for a, b in moved if a.ndim == 4)
    finally:
        keras.config.set_dtype_policy(before)
