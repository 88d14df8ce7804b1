import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cnnlab import models
from cnnlab.style.features import features, take_apart, to_device

LAST = "block3_conv2"


@pytest.fixture(scope="module")
def vgg():
    return models.vgg16(None)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (1, 22, 18, 3)).astype(np.float32)


def answers(model, picture, names, dtype="float32", **options):
    chain, weights = take_apart(model, **options)
    chain = chain.until(names)
    return features(tf.constant(picture), to_device(weights, chain, dtype), chain, names)


def test_layers_answer_as_keras_has_them(vgg, picture):
    """Preprocessing, zero padding and max pooling included, in all layers up to the deepest."""
    names = [layer.name for layer in vgg.layers if layer.name.startswith("block")]
    names = names[: names.index(LAST) + 1]
    expected = keras.Model(vgg.inputs[0], [vgg.get_layer(n).output for n in names])(picture)
    found = answers(vgg, picture, names, padding="zeros")
    assert list(found) == names
    for name, wanted in zip(names, expected, strict=True):
        scale = float(tf.reduce_max(wanted))
        np.testing.assert_allclose(found[name], wanted, atol=1e-5 * scale, err_msg=name)


def test_replicated_edges_are_those_of_a_larger_picture(vgg, picture):
    """A picture that goes on as its edge does looks the same to a layer as replication."""
    larger = np.pad(picture, [(0, 0), (4, 4), (4, 4), (0, 0)], "edge")
    inside = answers(vgg, larger, ["block1_conv1"], padding="zeros")["block1_conv1"]
    for padding in ("replicate", "first"):
        found = answers(vgg, picture, ["block1_conv1"], padding=padding)["block1_conv1"]
        np.testing.assert_allclose(found, inside[:, 4:-4, 4:-4], atol=1e-4)
    flat = np.full((1, 16, 16, 3), 80, np.float32)
    for padding, even in (("replicate", True), ("first", False), ("zeros", False)):
        maps = answers(vgg, flat, [LAST], padding=padding)[LAST].numpy()
        spread = np.ptp(maps, axis=(1, 2)).max() / maps.max()
        assert (spread < 1e-5) == even, padding


def test_average_pooling_is_the_mean_twice_as_large(vgg, picture):
    names = ["block1_conv2", "block1_pool"]
    found = answers(vgg, picture, names, pooling="average")
    before, after = (found[name].numpy() for name in names)
    mean = before.reshape(1, 11, 2, 9, 2, 64).mean((2, 4))
    np.testing.assert_allclose(after, 2 * mean, rtol=1e-5)


@pytest.mark.parametrize("padding", ["replicate", "first", "zeros"])
def test_gradients_are_those_of_the_plain_convolution(vgg, picture, padding):
    """On a CPU both ways go through mirrored kernels; the plain ones have to agree."""
    chain, weights = take_apart(vgg, padding=padding)
    chain = chain.until([LAST])
    tensors = to_device(weights, chain)
    assert len(tensors[LAST]) == (2 if tf.config.list_physical_devices("GPU") else 3)
    plain = {name: value[:2] for name, value in tensors.items()}
    random = tf.constant(np.random.default_rng(1).normal(size=(1, 5, 4, 256)), tf.float32)
    results = []
    for own in (tensors, plain):
        pixels = tf.constant(picture)
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            maps = features(pixels, own, chain, [LAST])[LAST]
            y = tf.reduce_sum(maps * random)
        results.append((maps, tape.gradient(y, pixels)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * float(tf.reduce_max(tf.abs(b))))
    assert float(tf.reduce_max(tf.abs(results[0][1]))) > 0


def test_short_floats_come_close(vgg, picture):
    single, short = (answers(vgg, picture, [LAST], d)[LAST] for d in ("float32", "bfloat16"))
    assert short.dtype == tf.bfloat16
    error = tf.norm(tf.cast(short, tf.float32) - single) / tf.norm(single)
    assert 0 < float(error) < 0.03


def test_only_what_is_needed_is_kept(vgg):
    chain, weights = take_apart(vgg)
    assert [name for name, _ in chain.layers][-1] == "block5_pool"
    assert chain.smallest_side == 32
    short = chain.until(["block1_conv2", "block2_conv1"])
    assert short.smallest_side == 2
    kept = ["block1_conv1", "block1_conv2", "block2_conv1", "pixels"]
    assert sorted(to_device(weights, short)) == kept
    with pytest.raises(ValueError, match=r"Received: 'block6'\. Layers: block1_conv1, .*5_pool$"):
        chain.until(["block6"])


def test_shapes_and_operations_by_hand(vgg):
    chain = take_apart(vgg)[0].until(["block2_conv1"])
    assert chain.shapes(9, 10) == {
        "block1_conv1": (9, 10, 64),
        "block1_conv2": (9, 10, 64),
        "block1_pool": (4, 5, 64),
        "block2_conv1": (4, 5, 128),
    }
    assert chain.flops(9, 10) == 18 * (90 * 3 * 64 + 90 * 64 * 64 + 20 * 64 * 128)


def test_vgg19_has_its_own_layers(picture):
    model = models.backbone("vgg19", None)
    found = answers(model, picture, ["block3_conv4"], padding="zeros")["block3_conv4"]
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
    found = answers(model, picture, ["conv"], padding="zeros")["conv"]
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
        take_apart(flat_model(**model))
