"""Exactly Keras's networks, on pixels, with exactly the weights asked for."""

import json
from pathlib import Path

import keras
import matplotlib as mpl
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import images, models
from cnnlab.models import weights
from cnnlab.sources import BrokenFileError

CLASSES = ("ant", "bee", "cat", "dog", "elk")
SHIPPED = Path(__file__).parents[2] / "data" / weights.SHIPPED


@pytest.fixture(scope="module")
def vgg16():
    keras.utils.set_random_seed(0)
    return models.vgg16(None)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(2, 48, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def packed(tmp_path_factory, vgg16):
    """A packed file as the repository ships it, with codes drawn at random and five classes."""
    rng, arrays = np.random.default_rng(0), {}
    for layer in vgg16.layers:
        if layer.weights:
            shape, width = layer.kernel.shape, layer.filters
            arrays[f"{layer.name}/kernel"] = rng.integers(-127, 128, shape, dtype=np.int8)
            arrays[f"{layer.name}/kernel/outputs"] = rng.uniform(1, 2, width).astype("f") / 5_000
            arrays[f"{layer.name}/kernel/inputs"] = rng.uniform(1, 2, (shape[2], 1)).astype("f")
            arrays[f"{layer.name}/bias"] = rng.standard_normal(width).astype("f")
    arrays["logits/kernel"] = rng.standard_normal((512, len(CLASSES))).astype("f")
    arrays["logits/bias"] = rng.standard_normal(len(CLASSES)).astype("f")
    path = tmp_path_factory.mktemp("data") / weights.SHIPPED
    np.savez(path, **arrays, classes=np.array(CLASSES), about="{}")
    return path


@pytest.fixture
def quick_start(monkeypatch):
    """Random weights as large as Glorot's, but one draw of a million fills a kernel of 100."""
    rng = np.random.default_rng(0)

    def draw(self, shape, dtype=None):
        *window, inputs, outputs = shape
        limit = np.sqrt(6 / (np.prod(window) * (inputs + outputs)))
        drawn = rng.uniform(-limit, limit, min(np.prod(shape), 1_000_003)).astype("f")
        repeated = tf.tile(drawn, [-(-np.prod(shape) // len(drawn))])
        return tf.reshape(repeated[: np.prod(shape)], shape)

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)


def until(model, layer):
    return keras.Model(model.input, model.get_layer(layer).input)


def facts(model):
    """Name, kind, and shapes of weights of every layer after the preprocessing."""
    kept = [layer for layer in model.layers if layer.name.startswith("block")]
    return [(y.name, type(y), [tuple(w.shape) for w in y.weights]) for y in kept]


def test_the_layers_are_those_of_keras(vgg16):
    original = keras.applications.VGG16(weights=None, include_top=False)
    assert facts(vgg16) == facts(original)
    assert len(facts(vgg16)) == 18
    assert vgg16.count_params() == 14_714_688
    assert vgg16.layers[-1].name == "block5_pool"
    assert vgg16.input.name == "pixels"
    assert vgg16.stages == tuple(f"block{i}_pool" for i in range(1, 6))


def test_the_network_computes_what_keras_computes(vgg16, pixels):
    original = keras.applications.VGG16(weights=None, include_top=False)
    original.set_weights(vgg16.get_weights())
    expected = original(keras.applications.vgg16.preprocess_input(pixels.astype("float32")))
    np.testing.assert_allclose(vgg16(pixels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels_are_preprocessed_once_and_stay_as_they_are(vgg16, pixels, dtype):
    given = pixels.astype(dtype)
    found = until(vgg16, "block1_conv1").predict(given, verbose=0)
    expected = keras.applications.vgg16.preprocess_input(pixels.astype("float32"))
    np.testing.assert_array_equal(found, expected)
    one = np.float32([[[[10, 20, 30]]]])  # red, green, blue
    np.testing.assert_allclose(
        until(vgg16, "block1_conv1")(one)[0, 0, 0],
        [30 - 103.939, 20 - 116.779, 10 - 123.68],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(given, pixels)
    assert given.dtype == dtype


def test_inception_has_its_own_preprocessing():
    model = models.backbone("inception_v3", None, (75, 75, 3))
    first = next(layer for layer in model.layers if layer.weights)
    found = keras.Model(model.input, first.input)(np.full((1, 75, 75, 3), 255, np.uint8))
    np.testing.assert_array_equal(found, np.ones((1, 75, 75, 3)))
    assert model.output.shape == (None, 1, 1, 2048)
    assert model.stages == ("mixed2", "mixed7", "mixed10")


def test_vgg19_is_itself():
    original = keras.applications.VGG19(weights=None, include_top=False)
    assert facts(models.backbone("vgg19", None)) == facts(original)


@pytest.mark.parametrize(("side", "out"), [(32, 1), (63, 1), (64, 2)])
def test_any_size_from_32_on(vgg16, side, out):
    assert vgg16(np.zeros((1, 32, side, 3), np.uint8)).shape == (1, 1, out, 512)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        ("vgg16", (31, 32, 3)),
        ("vgg16", (32, 32, 1)),
        ("vgg16", (32, 32)),
        ("inception_v3", (74, None, 3)),
    ],
)
def test_a_size_that_no_layer_could_take_is_refused(network, shape):
    with pytest.raises(ValueError, match=r"Expected input_shape .* at least (32|75) or None\. Rec"):
        models.backbone(network, None, shape)


def test_a_saved_model_loads_in_safe_mode_without_anything_of_ours(packed, pixels, tmp_path):
    model = models.vgg16(packed, include_top=True)
    assert "cnnlab" not in model.to_json()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(pixels), model(pixels))


MODERN = {
    "efficientnet_v2_b0": (keras.applications.EfficientNetV2B0, [32, 16, 8, 4, 2]),
    "convnext_tiny": (keras.applications.ConvNeXtTiny, [8, 4, 2, 2]),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", MODERN)
def test_a_modern_network_is_keras_s_own_from_pixels_to_its_file(network, tmp_path):
    build, sides = MODERN[network]
    original = build(weights=None, include_top=False)
    rng = np.random.default_rng(0)
    drawn = [0.5 + rng.random(w.shape, np.float32) for w in original.weights]
    # Kernels so small that numbers keep their size; all others, variances too, around 1.
    small = [(d - 1) / np.sqrt(d[..., 0].size / 12) if d.ndim > 1 else d for d in drawn]
    original.set_weights(small)
    original.save(tmp_path / "published.h5")
    picture = rng.integers(0, 256, size=(1, 64, 64, 3), dtype=np.uint8)
    expected = original(picture.astype("float32")).numpy()
    assert 0.01 < expected.std() < 1000
    model = models.backbone(network, tmp_path / "published.h5", (64, 64, 3))
    np.testing.assert_allclose(model(picture), expected, rtol=1e-3, atol=1e-4)
    assert [model.get_layer(name).output.shape[1] for name in model.stages] == sides
    assert model.stages[-1] == model.layers[-1].name
    published = weights.NETWORKS[network].imagenet.size
    assert 0 < published - 4 * model.count_params() < 0.03 * published  # names and the like
    assert "cnnlab" not in model.to_json()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(picture), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", MODERN)
def test_a_modern_network_sees_float32_under_mixed_precision(network):
    pixels = keras.Input((None, None, 3))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        prepared = keras.Model(pixels, weights.NETWORKS[network].preprocess(pixels))
    finally:
        keras.config.set_dtype_policy("float32")
    found = prepared(np.uint8([[[[0, 128, 255]]]]))[0, 0, 0]
    expected = (np.array([0, 128, 255]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- weights --------------------------------------------------------------------------------------


def test_packed_weights_arrive_in_their_layers(packed):
    model = models.vgg16(packed)
    with np.load(packed) as file:
        for layer in model.layers:
            if layer.weights:
                kernel, bias = layer.get_weights()
                name = f"{layer.name}/kernel"
                expected = file[name].astype("f") * file[f"{name}/outputs"] * file[f"{name}/inputs"]
                np.testing.assert_array_equal(kernel, expected)
                np.testing.assert_array_equal(bias, file[f"{layer.name}/bias"])
    assert model.pretrained.path == packed
    assert model.pretrained.title == f"VGG-16 ({weights.SHIPPED})"


def test_the_top_of_packed_weights_averages_and_decides(packed, pixels):
    model, maps = models.vgg16(packed, include_top=True), models.vgg16(packed)
    with np.load(packed) as file:
        kernel, bias = file["logits/kernel"], file["logits/bias"]
    expected = maps(pixels).numpy().mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(model(pixels), expected, rtol=1e-4, atol=1e-4)
    assert models.class_names(model.pretrained) == CLASSES


def test_logits_stay_float32_under_mixed_precision(packed, pixels):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.vgg16(packed, include_top=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("block3_conv1").compute_dtype == "bfloat16"
    assert model(pixels).dtype == "float32"
    assert until(model, "block1_conv1")(pixels).dtype == "float32"  # 8 bits are too few for pixels


def test_what_was_found_once_serves_for_several_models(packed):
    found = weights.find("vgg16", packed)
    assert models.vgg16(found).pretrained is found
    assert models.backbone("vgg16", found).pretrained is found


def test_weights_of_another_network_are_refused_by_layer(packed):
    message = r"does not fit vgg19\. Expected block3_conv4 .*Received: block4_conv1 3×3×256×512"
    with pytest.raises(BrokenFileError, match=message):
        models.backbone("vgg19", packed)


def test_random_weights_follow_the_seed(vgg16):
    keras.utils.set_random_seed(0)
    same, other = models.vgg16(None), models.vgg16(None)
    for layer in ("block1_conv1", "block5_conv3"):
        kernels = [model.get_layer(layer).kernel.numpy() for model in (vgg16, same, other)]
        np.testing.assert_array_equal(kernels[0], kernels[1])
        assert not np.array_equal(kernels[0], kernels[2])
    assert vgg16.pretrained.name == "random"


def test_random_weights_keep_activations_at_one_size_through_all_layers(vgg16):
    # Smooth pictures: what a photograph has, and noise has not, is neighbours that agree.
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3))
    pictures = coarse.repeat(32, axis=1).repeat(32, axis=2)
    names = ["block1_conv1", "block3_conv1", "block5_conv3"]
    outputs = keras.Model(vgg16.input, [vgg16.get_layer(name).output for name in names])(pictures)
    assert all(0.3 < np.mean(np.square(maps)) < 30 for maps in outputs)


@pytest.mark.slow
def test_the_top_of_imagenet_is_that_of_keras_and_takes_any_size(tmp_path, pixels, quick_start):
    original = keras.applications.VGG16(weights=None, classifier_activation=None)
    original.save(tmp_path / "with_top.h5")
    model = models.vgg16(tmp_path / "with_top.h5", include_top=True)
    whole = np.random.default_rng(0).integers(0, 256, size=(1, 224, 224, 3), dtype=np.uint8)
    prepared = keras.applications.vgg16.preprocess_input(whole.astype("float32"))
    np.testing.assert_allclose(model(whole), original(prepared), rtol=1e-4, atol=1e-6)
    assert model(pixels).shape == (2, 1000)


@pytest.mark.slow
def test_inception_weights_are_read_in_the_order_of_keras(tmp_path, quick_start):
    original = keras.applications.InceptionV3(weights=None, include_top=False)
    original.save(tmp_path / "inception.h5")
    model = models.backbone("inception_v3", tmp_path / "inception.h5")
    picture = np.random.default_rng(0).integers(0, 256, size=(1, 96, 96, 3), dtype=np.uint8)
    prepared = keras.applications.inception_v3.preprocess_input(picture.astype("float32"))
    np.testing.assert_allclose(model(picture), original(prepared), rtol=1e-4, atol=1e-6)


# --- what ships -----------------------------------------------------------------------------------


def test_the_weights_that_ship_are_small_whole_and_measured():
    assert SHIPPED.stat().st_size <= 16_000_000
    model = models.vgg16("shipped", include_top=True)
    assert model.pretrained.path == SHIPPED
    assert model.output.shape == (None, 1000)
    names = models.class_names(model.pretrained)
    assert (len(names), names[0], names[-1]) == (1000, "tench", "toilet tissue")
    with np.load(SHIPPED) as file:
        left_over = json.loads(str(file["about"]))["left_over"]
    assert left_over["packed"]["blocks"][4] <= 0.33  # of the teacher's squares, sum of three maps
    cost = np.subtract(*(left_over[when]["blocks"] for when in ("packed", "learnt")))
    assert cost.max() < 0.003  # of 8 bits


def test_the_weights_that_ship_have_words_for_a_portrait():
    portrait = images.read(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg", 224)
    logits = models.vgg16("shipped", include_top=True)(portrait[None])[0].numpy()
    names = models.class_names("shipped")
    assert "Windsor tie" in {names[i] for i in np.argsort(-logits)[:5]}
