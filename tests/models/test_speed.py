import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import models
from cnnlab.models import speed

CHANCE = np.random.default_rng(0)
PICTURES = CHANCE.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)


def net(widths=(4, 6), **settings):
    return models.speed_net(widths, input_shape=(8, 8, 3), num_classes=3, **settings)


def test_whitened_patches_have_no_covariance_but_that_of_the_identity():
    pictures = CHANCE.integers(0, 256, (200, 8, 8, 3)).astype(np.float32)
    pictures[:, :, 1:] = 0.7 * pictures[:, :, :-1] + 0.3 * pictures[:, :, 1:]
    layer = speed.Whitening(epsilon=0.0)
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
    np.testing.assert_array_equal(speed.WindowMax(size)(x), expected)


def test_cheap_normalization_is_keras_without_scale():
    x = CHANCE.normal(3, 2, size=(16, 4, 4, 5)).astype(np.float32)
    ours = speed.CheapNormalization(0.6, epsilon=1e-3)
    keras_own = keras.layers.BatchNormalization(momentum=0.6, scale=False)
    for training in (True, True, False):
        np.testing.assert_allclose(
            ours(x, training=training), keras_own(x, training=training), atol=1e-4
        )


def test_first_filters_copy_their_input_and_a_seed_repeats_all():
    model = net(depth=3)
    model.set_weights(models.draw_weights(model, 1))
    kernel = np.asarray(model.get_layer("group2_conv1").kernel)
    copies = np.zeros((3, 3, 4, 4))
    copies[1, 1] = np.eye(4)
    np.testing.assert_array_equal(kernel[..., :4], copies)
    again = models.draw_weights(model, 1)
    for now, then in zip(model.get_weights(), again, strict=True):
        np.testing.assert_array_equal(now, then)
    assert (again[-1] != models.draw_weights(model, 2)[-1]).any()


def test_predictor_sees_the_unsure_six_times_and_the_others_once():
    model = net()
    model.set_weights(models.draw_weights(model, 0, head_std=30.0))
    model.get_layer("whiten").fit_to(PICTURES)
    once = np.asarray(model(PICTURES))
    six = np.asarray(models.six_views(model)(PICTURES))
    found = models.careful_predictor(model, batch_size=20, unsure=0.25, jit_compile=False)(
        tf.constant(PICTURES)
    ).numpy()
    sure = np.asarray(tf.nn.softmax(once)).max(axis=1)
    unsure = np.argsort(sure)[:12]
    np.testing.assert_allclose(found[unsure], six[unsure], rtol=1e-3, atol=1e-3)
    others = np.setdiff1d(np.arange(48), unsure)
    np.testing.assert_allclose(found[others], once[others], rtol=1e-3, atol=1e-3)
