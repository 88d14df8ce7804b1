import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnnlab import models
from cnnlab.style.vgg import device_weights, extract_features, read_vgg

LAST = "block3_conv2"


@pytest.fixture(scope="module")
def vgg():
    return models.vgg16(None)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (1, 22, 18, 3)).astype(np.float32)


def features(model, picture, names, dtype="float32", **options):
    plan, weights = read_vgg(model, **options)
    plan = plan.until(names)
    return extract_features(tf.constant(picture), device_weights(weights, plan, dtype), plan, names)


def test_features_are_those_of_keras(vgg, picture):
    """Preprocessing, zero padding and max pooling included, in all layers up to the deepest."""
    names = [layer.name for layer in vgg.layers if layer.name.startswith("block")]
    names = names[: names.index(LAST) + 1]
    expected = keras.Model(vgg.inputs[0], [vgg.get_layer(n).output for n in names])(picture)
    found = features(vgg, picture, names, padding="zeros")
    assert list(found) == names
    for name, wanted in zip(names, expected, strict=True):
        scale = float(tf.reduce_max(wanted))
        np.testing.assert_allclose(found[name], wanted, atol=1e-5 * scale, err_msg=name)


def test_keras_s_own_that_preprocesses_nothing_is_refused(vgg):
    plain = keras.applications.VGG16(weights=None, include_top=False)
    with pytest.raises(ValueError, match=r"Keras's own, .* BGR .*cnnlab\.models\.vgg16\(\)"):
        read_vgg(plain)
    assert [w.shape for w in plain.weights] == [w.shape for w in vgg.weights]  # as it is told


def test_replicated_edges_are_those_of_a_larger_picture(vgg, picture):
    """A picture that goes on as its edge does looks the same to a layer as replication."""
    larger = np.pad(picture, [(0, 0), (4, 4), (4, 4), (0, 0)], "edge")
    inside = features(vgg, larger, ["block1_conv1"], padding="zeros")["block1_conv1"]
    for padding in ("replicate", "first"):
        found = features(vgg, picture, ["block1_conv1"], padding=padding)["block1_conv1"]
        np.testing.assert_allclose(found, inside[:, 4:-4, 4:-4], atol=1e-4)
    flat = np.full((1, 16, 16, 3), 80, np.float32)
    for padding, even in (("replicate", True), ("first", False), ("zeros", False)):
        maps = features(vgg, flat, [LAST], padding=padding)[LAST].numpy()
        spread = np.ptp(maps, axis=(1, 2)).max() / maps.max()
        assert (spread < 1e-5) == even, padding


def test_average_pooling_is_the_mean_twice_as_large(vgg, picture):
    names = ["block1_conv2", "block1_pool"]
    found = features(vgg, picture, names, pooling="average")
    before, after = (found[name].numpy() for name in names)
    mean = before.reshape(1, 11, 2, 9, 2, 64).mean((2, 4))
    np.testing.assert_allclose(after, 2 * mean, rtol=1e-5)


@pytest.mark.parametrize("padding", ["replicate", "first", "zeros"])
def test_gradients_agree_with_double_precision(vgg, picture, padding):
    plan, weights = read_vgg(vgg, padding=padding)
    plan = plan.until([LAST])
    random = np.random.default_rng(1).normal(size=(1, 5, 4, 256))
    gradients = []
    for dtype in ("float32", "float64"):
        tensors, pixels = device_weights(weights, plan, dtype), tf.constant(picture)
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            y = tf.reduce_sum(extract_features(pixels, tensors, plan, [LAST])[LAST] * random)
        gradients.append(tape.gradient(y, pixels))
    error = tf.norm(gradients[0] - gradients[1]) / tf.norm(gradients[1])
    assert float(error) < 1e-5


def test_short_floats_come_close(vgg, picture):
    single, short = (features(vgg, picture, [LAST], d)[LAST] for d in ("float32", "bfloat16"))
    assert short.dtype == tf.bfloat16
    error = tf.norm(tf.cast(short, tf.float32) - single) / tf.norm(single)
    assert 0 < float(error) < 0.03


def test_only_what_is_needed_is_kept(vgg):
    plan, weights = read_vgg(vgg)
    assert [name for name, _ in plan.layers][-1] == "block5_pool"
    assert plan.smallest_side == 32
    short = plan.until(["block1_conv2", "block2_conv1"])
    assert short.smallest_side == 2
    kept = ["block1_conv1", "block1_conv2", "block2_conv1", "pixels"]
    assert sorted(device_weights(weights, short)) == kept
    with pytest.raises(ValueError, match=r"Received: 'block6'\. Layers: block1_conv1, .*5_pool$"):
        plan.until(["block6"])


def test_shapes_and_operations_by_hand(vgg):
    plan = read_vgg(vgg)[0].until(["block2_conv1"])
    assert plan.shapes(9, 10) == {
        "block1_conv1": (9, 10, 64),
        "block1_conv2": (9, 10, 64),
        "block1_pool": (4, 5, 64),
        "block2_conv1": (4, 5, 128),
    }
    assert plan.flops(9, 10) == 18 * (90 * 3 * 64 + 90 * 64 * 64 + 20 * 64 * 128)


def test_vgg19_has_its_own_layers(picture):
    model = models.backbone("vgg19", None)
    found = features(model, picture, ["block3_conv4"], padding="zeros")["block3_conv4"]
    expected = keras.Model(model.inputs[0], model.get_layer("block3_conv4").output)(picture)
    scale = float(tf.reduce_max(expected))
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)


def flat_model(*, preprocess=lambda x: x, shape=(None, None, 3), **options):
    inputs = keras.Input(shape, name="pixels")
    settings = {"padding": "same", "activation": "relu", "name": "conv"} | options
    return keras.Model(inputs, layers.Conv2D(4, 3, **settings)(preprocess(inputs)))


def test_any_preprocessing_that_is_affine_is_taken_over(picture):
    def preprocess(x):
        return keras.ops.flip(x, axis=-1) / 50 - keras.ops.array([1.0, 2.0, 3.0])

    model = flat_model(preprocess=preprocess, shape=(22, 18, 3))
    found = features(model, picture, ["conv"], padding="zeros")["conv"]
    np.testing.assert_allclose(found, model(picture), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"preprocess": keras.ops.square}, "preprocessing scales, shifts or reorders"),
        ({"preprocess": lambda x: 0 * x}, "preprocessing scales, shifts or reorders"),
        ({"strides": 2}, r"layer 'conv' with .*strides=\(2, 2\)"),
        ({"activation": "gelu"}, "activation='gelu'"),
        ({"padding": "valid"}, "padding='valid'"),
        ({"use_bias": False}, "biases and ReLU"),
    ],
)
def test_other_networks_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        read_vgg(flat_model(**model))
