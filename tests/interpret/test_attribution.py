import keras
import numpy as np
import pytest
from keras import layers
from small_networks import Subclassed, nested_net, residual_net, with_weights

from cnnlab import interpret
from cnnlab.evaluation import probabilities

# Grad-CAM: numbers


def hand_net(kernel, head):
    """Pixels (4, 4, 1) -> 2×2 convolution with stride 2 -> flattened -> one logit a column."""
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(kernel.shape[-1], 2, strides=2, use_bias=False, name="conv"),
            layers.Flatten(),
            layers.Dense(head.shape[-1], name="head"),
        ]
    )
    return with_weights(model, conv=[kernel], head=[head, np.zeros(head.shape[-1])])


def test_grad_cam_map_by_hand():
    # Patches of 0…15 add up to 10, 18, 42, 50; the gradients 1, 2, 3, 4 have the mean 2.5.
    model = hand_net(np.ones((2, 2, 1, 1)), np.array([[1, 0], [2, 0], [3, 0], [4, 0]]))
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    np.testing.assert_allclose(interpret.grad_cam_map(model, image, 0), [[25, 45], [105, 125]])
    np.testing.assert_allclose(interpret.grad_cam(model, image, 0)[[0, -1], [0, -1]], [0.2, 1])


def test_grad_cam_drops_what_speaks_against_the_class():
    # The second filter reads a lone pixel, 100 at the bottom right, and its gradient is -1.
    kernel = np.zeros((2, 2, 1, 2))
    kernel[0, 0, 0, 0] = kernel[1, 1, 0, 1] = 1
    image = np.zeros((4, 4, 1), np.float32)
    image[0, 0], image[3, 3] = 8, 100
    model = hand_net(kernel, np.tile([[1.0, 0], [-1, 0]], (4, 1)))
    np.testing.assert_allclose(interpret.grad_cam_map(model, image, 0), [[8, 0], [0, -100]])
    cam = interpret.grad_cam(model, image, 0)
    assert cam[0, 0] == 1
    assert cam[3, 3] == 0


def test_maps_under_global_average_pooling_add_up_to_the_logit(image):
    inputs = keras.Input((8, 10, 3))
    maps = layers.Conv2D(5, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(maps)))
    kernel = model.get_layer("head").kernel.numpy()
    model.get_layer("head").bias.assign([1, -2, 3, -4])
    answers = keras.Model(inputs, maps)(image[None].astype(np.float32))[0].numpy()
    for index, bias in enumerate([1, -2, 3, -4]):
        result = interpret.grad_cam_map(model, image, index)
        np.testing.assert_allclose(result, answers @ kernel[:, index] / 48, rtol=1e-3, atol=1e-3)
        logit = model(image[None])[0, index]
        assert result.sum() == pytest.approx(float(logit) - bias, rel=1e-3)


def test_map_weights_agree_with_finite_differences_through_branches(image):
    """Raising each channel of a layer evenly by its own sum raises the logit by h·w·sum(map)."""
    model, step = residual_net(), 1e-3
    for name in ("stem", "norm", "block"):
        stem = model.get_layer(name).output
        maps = keras.Model(model.input, stem)(image[None]).numpy()
        shift = step * maps.sum(axis=(1, 2), keepdims=True) / np.abs(maps.sum(axis=(1, 2))).max()
        after = keras.Model([model.input, stem], model.output)
        rise = (after([image[None], maps + shift]) - after([image[None], maps - shift]))[0, 1]
        slope = float(rise) / (2 * step) * np.abs(maps.sum(axis=(1, 2))).max()
        result = interpret.grad_cam_map(model, image, 1, name)
        assert result.sum() * result.size == pytest.approx(slope, rel=0.02), name


# Grad-CAM: any model


def test_nested_subclassed_sequential_and_reloaded_models_give_the_same_maps(image, tmp_path):
    flat = residual_net()
    expected = interpret.grad_cam_map(flat, image, 0, "inner")
    nested_net().save(tmp_path / "nested.keras")
    upright = np.ascontiguousarray(image[::-1])  # what nested_net flips back
    for model, picture in (
        (nested_net(), upright),
        (keras.models.load_model(tmp_path / "nested.keras"), upright),
        (keras.Sequential([keras.Input((8, 10, 3)), flat, layers.Identity()]), image),
        (keras.Sequential([layers.Identity(), residual_net()]), image),  # not built yet
        (Subclassed(), image),
        (keras.Model(flat.inputs, flat.outputs), image),  # wants a list of one picture
    ):
        result = interpret.grad_cam_map(model, picture, 0, "inner")
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)
        named = interpret.grad_cam_map(model, picture, 0)
        np.testing.assert_allclose(
            named, interpret.grad_cam_map(flat, image, 0, "block"), 1e-4, 1e-6
        )


def third_class(shape, dtype=None):
    return np.array([0, 0, 1e6], np.float32)


@pytest.mark.parametrize(
    "final",
    [
        layers.Softmax(),
        layers.Activation("softmax"),
        layers.Dense(3, "softmax", kernel_initializer="identity", bias_initializer=third_class),
        layers.Dense(3, "softmax", kernel_initializer="identity", use_bias=False),
        keras.ops.softmax,
        keras.Sequential([layers.Softmax()]),
    ],
)
def test_a_final_softmax_is_looked_behind_even_when_it_is_saturated(image, final):
    sure = residual_net()
    kernel, bias = sure.get_layer("logits").get_weights()
    weights = [3000 * kernel, bias]
    expected = interpret.grad_cam_map(with_weights(sure, logits=weights), image, 0)
    assert np.abs(expected).max() > 1
    model = with_weights(residual_net(final=final), logits=weights)
    assert np.ptp(probabilities(model, image[None])) > 0.9999
    np.testing.assert_allclose(interpret.grad_cam_map(model, image, 0), expected, rtol=1e-4)
    predicted = int(probabilities(model, image[None]).argmax())
    default = interpret.grad_cam_map(model, image)
    np.testing.assert_array_equal(default, interpret.grad_cam_map(model, image, predicted))


def test_softmax_inside_another_layer_is_refused(image):
    model = residual_net(
        final=lambda x: layers.EinsumDense("bc,cd->bd", 5, activation="softmax")(x)
    )
    with pytest.raises(ValueError, match="logit per class"):
        interpret.grad_cam(model, image)


def test_default_layer_is_the_last_one_before_pooling(image):
    model = residual_net()
    expected = interpret.grad_cam_map(model, image, 0, "block")
    np.testing.assert_array_equal(interpret.grad_cam_map(model, image, 0), expected)
    assert expected.shape == (4, 5)
    # A 1×1 convolution as the classifier is not a map of where things are.
    inputs = keras.Input((8, 10, 3))
    x = layers.Conv2D(4, 3)(inputs)
    x = layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    assert interpret.grad_cam_map(keras.Model(inputs, layers.Flatten()(x)), image).shape == (6, 8)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_maps_are_float32_and_close(image, policy):
    exact, mixed = residual_net(), residual_net(dtype=policy)
    # The gradients are near 1e-8, which would be 0 in float16 without scaling.
    for model in (exact, mixed):
        for name in ("hidden", "logits"):
            layer = model.get_layer(name)
            layer.kernel.assign(1e-4 * layer.kernel)
    expected = interpret.grad_cam_map(exact, image, 0)
    result = interpret.grad_cam_map(mixed, image, 0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=0.05 * np.abs(expected).max())
    assert interpret.grad_cam(mixed, image, 0).dtype == np.float32
    assert interpret.receptive_field(mixed, "block", image[None]).dtype == np.float32


def test_frozen_model_gives_the_same_map(image):
    model = nested_net()
    expected = interpret.grad_cam_map(model, image, 2)
    model.trainable = False
    np.testing.assert_array_equal(interpret.grad_cam_map(model, image, 2), expected)


@keras.saving.register_keras_serializable("tests")
class Residual(layers.Layer):
    """Two convolutions around a shortcut, in a layer of its own."""

    def __init__(self, filters, stride=1):
        super().__init__()
        options = {"strides": stride, "padding": "same"}
        self.first = layers.Conv2D(filters, 3, activation="relu", **options)
        self.second = layers.Conv2D(filters, 3, padding="same")
        self.shortcut = layers.Conv2D(filters, 1, **options)

    def call(self, x):
        return keras.ops.relu(self.second(self.first(x)) + self.shortcut(x))


@pytest.mark.parametrize("stem", [[layers.Conv2D(4, 3, padding="same")], []])
@pytest.mark.parametrize(
    "end",
    [
        [layers.GlobalAveragePooling2D()],
        [layers.Flatten()],
        [layers.MaxPooling2D(), layers.Dropout(0.5), layers.BatchNormalization(), layers.Flatten()],
    ],
)
def test_default_layer_is_the_last_of_whatever_class(stem, end):
    blocks = [Residual(4), Residual(6, 2), Residual(8, 2)]
    model = keras.Sequential([keras.Input((32, 32, 3)), *stem, *blocks, *end, layers.Dense(3)])
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = interpret.grad_cam_map(model, picture, 1)
    assert found.shape == (8, 8)
    np.testing.assert_array_equal(found, interpret.grad_cam_map(model, picture, 1, blocks[-1].name))


@pytest.mark.parametrize(
    "convolution", [layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(3), layers.Dense(4)]
)
def test_default_layer_without_a_plain_convolution(image, convolution):
    model = keras.Sequential(
        [keras.Input((8, 10, 3)), convolution, layers.MaxPooling2D(2), layers.Flatten(),
         layers.Dense(3)]
    )  # fmt: skip
    expected = interpret.grad_cam_map(model, image, 0, convolution.name)
    np.testing.assert_array_equal(interpret.grad_cam_map(model, image, 0), expected)


class WithASecondOutput(layers.Layer):
    def __init__(self):
        super().__init__()
        self.maps = layers.Conv2D(4, 3)

    def call(self, x):
        return self.maps(x), 1


class Whole(layers.Layer):
    """Maps and their mean in one layer: they are found inside."""

    def __init__(self, wrapped):
        super().__init__()
        self.steps = [layers.Conv2D(4, 3, strides=2), wrapped]

    def call(self, x):
        maps = self.steps[1](self.steps[0](x))
        return keras.ops.mean(maps[0] if isinstance(maps, tuple) else maps, (1, 2))


@pytest.mark.parametrize("wrapped", [layers.Conv2D(4, 2, name="c"), WithASecondOutput()])
def test_default_layer_inside_a_layer_of_one_s_own(wrapped):
    model = keras.Sequential([keras.Input((16, 16, 3)), Whole(wrapped), layers.Dense(3)])
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert interpret.grad_cam_map(model, picture, 1).shape == ((6, 6), (5, 5))[wrapped.name != "c"]


@pytest.mark.parametrize("final", [None, "sigmoid"])
def test_one_output_explains_each_of_two_classes_by_its_own_map(image, final):
    two = residual_net()
    kernel, bias = two.get_layer("logits").get_weights()
    inputs = two.get_layer("hidden").output
    one = keras.Model(two.input, layers.Dense(1, final, name="one")(inputs))
    with_weights(one, one=[kernel[:, :1], bias[:1]])
    expected = interpret.grad_cam_map(two, image, 0)
    for index, sign in ((1, 1), (0, -1)):
        found = interpret.grad_cam_map(one, image, index)
        np.testing.assert_allclose(found, sign * expected, rtol=1e-4, atol=1e-9)
    predicted = int(two(image[None])[0, 0] > 0)
    np.testing.assert_array_equal(
        interpret.grad_cam_map(one, image), interpret.grad_cam_map(one, image, predicted)
    )
    with pytest.raises(ValueError, match=r"0…1.*class_index=2"):
        interpret.grad_cam(one, image, 2)
    drops = [interpret.occlusion(one, image, index, patch=4) for index in (0, 1)]
    np.testing.assert_allclose(drops[0], -drops[1], atol=1e-6)
    assert np.abs(drops[0]).max() > 0


def test_sigmoids_of_several_classes_are_looked_behind(image):
    expected = interpret.grad_cam_map(residual_net(), image, 2)
    model = residual_net(final=layers.Activation("sigmoid"))
    np.testing.assert_allclose(interpret.grad_cam_map(model, image, 2), expected, rtol=1e-4)


def test_several_outputs_are_refused_with_what_to_do(image):
    model = residual_net(final=lambda x: [x, 2 * x])
    for method in (interpret.grad_cam, interpret.occlusion):
        with pytest.raises(ValueError, match=r"one output.* with 2\. Choose one"):
            method(model, image)


@pytest.mark.parametrize("made", [lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: x - 120.0])
def test_numbers_that_are_no_pixels_are_refused_by_every_method(image, made):
    model, wrong = residual_net(), made(image.astype(np.float32))
    for method in (
        interpret.grad_cam,
        interpret.grad_cam_map,
        interpret.occlusion,
        interpret.activations,
        lambda model, x: interpret.receptive_field(model, "stem", x[None]),
    ):
        with pytest.raises(ValueError, match=r"Expected pixels in 0…255"):
            method(model, wrong)


def test_a_model_that_scales_nothing_takes_uint8(image):
    model = keras.Sequential([layers.Conv2D(3, 2), layers.Flatten(), layers.Dense(2)])
    found = interpret.grad_cam_map(model, image, 0)
    np.testing.assert_array_equal(found, interpret.grad_cam_map(model, image.astype(np.float32), 0))


# Grad-CAM: behaviour


def test_same_map_twice_so_dropout_and_batch_statistics_are_off(image):
    inputs = keras.Input((8, 10, 3))
    x = layers.Dropout(0.5)(residual_net().get_layer("stem")(inputs), training=True)
    x = layers.BatchNormalization()(x, training=True)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    first = interpret.grad_cam_map(model, image, 0, "stem")
    np.testing.assert_array_equal(interpret.grad_cam_map(model, image, 0, "stem"), first)


def test_none_means_the_predicted_class_and_classes_differ(image):
    model = residual_net()
    predicted = int(np.argmax(model(image[None])))
    default = interpret.grad_cam_map(model, image)
    np.testing.assert_array_equal(default, interpret.grad_cam_map(model, image, predicted))
    other = interpret.grad_cam_map(model, image, (predicted + 1) % 3)
    assert np.abs(default - other).max() > 1e-3


def test_random_weights_change_the_map(image):
    trained, random = residual_net(seed=1), residual_net(seed=2)
    maps = [interpret.grad_cam_map(model, image, 0).ravel() for model in (trained, random)]
    assert abs(np.corrcoef(maps)[0, 1]) < 0.9


@pytest.mark.parametrize("head", [0.0, -1.0])
def test_nothing_in_favour_gives_zeros_and_no_warning(head):
    model = hand_net(np.ones((2, 2, 1, 1)), np.full((4, 2), head))
    cam = interpret.grad_cam(model, np.ones((4, 4, 1), np.uint8), 0)
    np.testing.assert_array_equal(cam, np.zeros((4, 4), np.float32))


def test_cam_has_the_size_of_the_picture_and_peaks_where_the_evidence_is():
    inputs = keras.Input((None, None, 3))
    x = layers.AveragePooling2D(4)(inputs)
    x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, kernel_initializer="ones")(x))
    image = np.zeros((24, 40, 3), np.uint8)
    image[4:8, 28:32] = 255
    cam = interpret.grad_cam(model, image)
    assert cam.shape == (24, 40)
    assert cam.dtype == np.float32
    assert (cam.min(), cam.max()) == (0, 1)
    rows, columns = np.nonzero(cam > 0.5)
    assert (rows.mean(), columns.mean()) == (5.5, 29.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv9"}, "layer='conv9'.*stem, inner"),
        ({"layer": "logits"}, r"layer='logits' with an output of shape \(1, 3\)"),
        ({"class_index": 3}, "0…2.*class_index=3"),
        ({"class_index": -1}, "class_index=-1"),
        ({"class_index": "cat"}, "whole number.*class_index='cat'"),
        ({"class_index": 1.0}, "whole number.*class_index=1.0"),
        ({"class_index": True}, "whole number.*class_index=True"),
    ],
)
def test_grad_cam_refuses(image, options, message):
    with pytest.raises(ValueError, match=message):
        interpret.grad_cam(nested_net(), image, **options)


def test_grad_cam_refuses_a_batch_and_a_model_without_convolution(image):
    with pytest.raises(ValueError, match=r"image.shape=\(1, 8, 10, 3\)"):
        interpret.grad_cam(residual_net(), image[None])
    linear = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(ValueError, match="with a 2-D convolution"):
        interpret.grad_cam(linear, image)


def test_grad_cam_names_a_layer_that_leads_nowhere_and_a_model_that_diverged(image):
    inputs = keras.Input((8, 10, 3))
    maps = layers.Conv2D(2, 3, name="stopped")(inputs)
    x = layers.Flatten()(keras.ops.stop_gradient(maps))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    with pytest.raises(ValueError, match="one without a gradient"):
        interpret.grad_cam(model, image, layer="stopped")
    model.get_layer("head").bias.assign([np.nan, 0])
    with pytest.raises(ValueError, match=r"finite logits.*nan"):
        interpret.grad_cam(model, image)


def test_a_gradient_that_is_not_finite_is_named_instead_of_a_map_of_nan():
    inputs = keras.Input((4, 4, 1))
    x = keras.ops.sqrt(layers.Conv2D(1, 1, name="zero", kernel_initializer="zeros")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(ValueError, match="square root"):
        interpret.grad_cam(model, np.ones((4, 4, 1), np.uint8), layer="zero")


def test_nothing_that_was_given_is_changed(image):
    model = nested_net()
    weights = [np.array(w) for w in model.weights]
    inner = model.layers[-1]
    inner.get_layer("norm").trainable = False
    state = [(vars(x).keys(), x.trainable, len(x._inbound_nodes)) for x in inner.layers]
    before, answer = image.copy(), model(image[None])
    interpret.grad_cam(model, image)
    interpret.occlusion(model, image, patch=4)
    interpret.activations(model, image)
    interpret.receptive_field(model, "inner", image[None])
    with pytest.raises(ValueError, match="0…2"):
        interpret.grad_cam(model, image, class_index=7)
    for old, new in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    assert state == [(vars(x).keys(), x.trainable, len(x._inbound_nodes)) for x in inner.layers]
    assert not any("call" in vars(layer) for layer in inner.layers)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(model(image[None]), answer)
