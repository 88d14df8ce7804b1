import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from cnnlab.probe import find
from keras import layers

from cnnlab import interpret
from cnnlab.evaluation import probabilities


def residual_net(*, final=None, seed=3, dtype=None):
    """Pixels (8, 10, 3) -> 3 logits: convolutions, batch norm, a shortcut, dropout, pooling."""
    keras.utils.set_random_seed(seed)

    def conv(filters, name, **options):
        return layers.Conv2D(filters, 3, padding="same", name=name, dtype=dtype, **options)

    inputs = keras.Input((8, 10, 3))
    x = layers.Rescaling(1 / 255, dtype=dtype)(inputs)
    x = conv(4, "stem", activation="relu")(x)
    y = conv(6, "inner", strides=2)(x)
    y = layers.BatchNormalization(name="norm", dtype=dtype)(y)
    x = layers.Add(dtype=dtype)([layers.Conv2D(6, 1, strides=2, dtype=dtype)(x), y])
    x = layers.ReLU(name="block", dtype=dtype)(x)
    x = layers.MaxPooling2D(name="pool", dtype=dtype)(x)
    x = layers.Dropout(0.5, name="drop", dtype=dtype)(x)
    x = layers.Dense(5, "tanh", name="hidden", dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    x = layers.Dense(3, name="logits", dtype=dtype)(x)
    return keras.Model(inputs, x if final is None else final(x))


def nested_net(head=None):
    """`residual_net` inside a model that flips the picture first."""
    inputs = keras.Input((8, 10, 3))
    x = residual_net()(keras.ops.flip(inputs, axis=1))
    return keras.Model(inputs, x if head is None else head(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat = residual_net()

    def call(self, pixels, training=None):
        return self.flat(pixels, training=training)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


def with_weights(model, **weights):
    for name, values in weights.items():
        model.get_layer(name).set_weights([np.asarray(v, np.float32) for v in values])
    return model


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


# Gradients: only those asked for


def kernels_run(call, folder):
    """Names and types of all operations that TensorFlow runs, step by step or compiled."""
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
    with tf.profiler.experimental.Profile(str(folder), options):
        call()
    (trace,) = folder.rglob("*.xplane.pb")
    return trace.read_bytes()


@pytest.mark.parametrize("make", [residual_net, nested_net, Subclassed])
def test_no_gradient_of_a_filter_is_computed(image, tmp_path, make):
    # oneDNN crashes in some of them on processors with AVX512-FP16.
    model = make()
    calls = {
        "class": lambda: interpret.grad_cam(model, image, 1, layer="stem"),
        "predicted": lambda: interpret.grad_cam(model, image, layer="stem"),
        "pixels": lambda: interpret.receptive_field(model, "block", image[None]),
    }
    for name, call in calls.items():
        run = kernels_run(call, tmp_path / name)
        assert b"Conv2DBackpropInput" in run, name
        assert b"Conv2DBackpropFilter" not in run, name


def test_painting_computes_no_gradient_of_a_filter(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(6, 1, strides=2, name="small")]
    )
    call = lambda: interpret.maximize(model, "small", [0], size=8, steps=1, jitter=0)  # noqa: E731
    run = kernels_run(call, tmp_path)
    assert b"Conv2DBackpropInput" in run
    assert b"Conv2DBackpropFilter" not in run


def test_later_calls_reuse_the_graph_and_see_new_weights(image):
    traces = []

    class Counted(Subclassed):
        def call(self, pixels, training=None):
            traces.append(pixels.shape)
            return super().call(pixels, training=training)

    model = Counted()
    first = interpret.grad_cam_map(model, image)
    again = interpret.grad_cam_map(model, 255 - image, 2)
    assert len(traces) == 1
    assert np.abs(first - again).max() > 0
    head = find(model, "logits")
    head.kernel.assign(2 * head.kernel)
    np.testing.assert_allclose(
        interpret.grad_cam_map(model, 255 - image, 2), 2 * again, rtol=1e-4, atol=1e-6
    )
    assert len(traces) == 1


def test_a_model_that_was_explained_can_leave_memory(image):
    model = residual_net()
    interpret.grad_cam_map(model, image)
    interpret.receptive_field(model, "block", image[None])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


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
    cam = interpret.grad_cam(model, np.ones((4, 4, 1), np.float32), 0)
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


# Filters and activations


def test_filters_are_a_copy_of_the_first_or_the_named_convolution():
    model = nested_net()
    inner = model.layers[-1]
    kernel = interpret.filters(model)
    np.testing.assert_array_equal(kernel, inner.get_layer("stem").kernel)
    assert interpret.filters(model, "inner").shape == (3, 3, 4, 6)
    kernel[:] = 0
    assert np.abs(inner.get_layer("stem").kernel).max() > 0
    for name in ("norm", "hidden"):
        with pytest.raises(ValueError, match=rf"layer='{name}'.*Layers: .*stem"):
            interpret.filters(model, name)
    assert interpret.filters(residual_net(dtype="bfloat16")).dtype == np.float32


def test_activations_are_what_the_layers_give(image):
    model, inside = residual_net(), nested_net()
    upright = np.ascontiguousarray(image[::-1])
    names = ["block", "stem", "logits"]
    reference = keras.Model(model.input, [model.get_layer(name).output for name in names])
    expected = dict(zip(names, reference(image[None]), strict=True))
    result = interpret.activations(inside, upright, names)
    assert list(result) == names
    for name in names:
        np.testing.assert_allclose(result[name], expected[name][0], rtol=1e-4, atol=1e-6)
        assert result[name].dtype == np.float32


def test_activations_of_all_layers_are_the_maps_in_running_order(image):
    maps = interpret.activations(nested_net(), image)
    order = [name for name in maps if name in ("stem", "inner", "norm", "block", "pool", "drop")]
    assert order == ["stem", "inner", "norm", "block", "pool", "drop"]
    assert all(values.ndim == 3 for values in maps.values())


def test_activations_name_unknown_and_unused_layers(image):
    model = Subclassed()
    model.spare = layers.Identity(name="spare")
    with pytest.raises(ValueError, match=r"layers=\['spare'\]"):
        interpret.activations(model, image, ["stem", "spare"])
    with pytest.raises(ValueError, match="layer='conv9'"):
        interpret.activations(model, image, ["conv9"])


# Occlusion


@pytest.mark.parametrize(
    ("patch", "stride", "fill"), [(3, 2, None), (4, 3, 0.0), (5, 5, (255, 0, 9)), (8, 1, 128)]
)
def test_occlusion_agrees_with_one_square_at_a_time(image, patch, stride, fill):
    model = residual_net()
    before = float(probabilities(model, image[None])[0, 1])
    drops = [[[] for _ in range(10)] for _ in range(8)]
    for y in sorted({min(y, 8 - patch) for y in range(0, 8, stride)}):
        for x in sorted({min(x, 10 - patch) for x in range(0, 10, stride)}):
            covered = image.astype(np.float32)
            covered[y : y + patch, x : x + patch] = (
                covered.mean(axis=(0, 1)) if fill is None else fill
            )
            drop = before - float(probabilities(model, covered[None])[0, 1])
            for i in range(y, y + patch):
                for j in range(x, x + patch):
                    drops[i][j].append(drop)
    expected = [[np.mean(cell) for cell in row] for row in drops]
    options = {"patch": patch, "stride": stride, "fill": fill}
    for batch_size in (1, 5, 100):
        result = interpret.occlusion(model, image, 1, **options, batch_size=batch_size)
        np.testing.assert_allclose(result, expected, atol=1e-5)
    assert result.dtype == np.float32


def test_occlusion_finds_the_one_pixel_that_matters():
    model = keras.Sequential([keras.Input((7, 9, 1)), layers.Flatten(), layers.Dense(2)])
    kernel = np.zeros((63, 2), np.float32)
    kernel[6 * 9 + 8, 1] = 1 / 50  # the last pixel of the last row
    model.layers[-1].set_weights([kernel, np.zeros(2)])
    image = np.full((7, 9, 1), 200, np.uint8)
    result = interpret.occlusion(model, image, patch=2, stride=2, fill=0)
    np.testing.assert_allclose(result[5:, 7:].ravel()[-1], 1 / (1 + np.exp(-4)) - 0.5, rtol=1e-4)
    assert np.abs(result[:5]).max() == 0


@pytest.mark.parametrize("options", [{"patch": 2, "stride": 3}, {"patch": 9}, {"stride": 0}])
def test_occlusion_refuses_what_would_leave_pixels_out(image, options):
    with pytest.raises(ValueError, match=r"1 <= stride <= patch <= 8.*Received: patch="):
        interpret.occlusion(residual_net(), image, **options)


# Receptive fields


def test_receptive_field_of_two_convolutions_in_closed_form():
    # Ones over ones: 1 2 3 2 1 along each side; two colours, one filter, two equal pictures.
    ones = {"kernel_initializer": "ones", "padding": "same"}
    model = keras.Sequential(
        [keras.Input((9, 9, 2)), layers.Conv2D(1, 3, **ones), layers.Conv2D(1, 3, **ones, name="b")]
    )
    expected = np.zeros((9, 9))
    expected[2:7, 2:7] = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1])
    result = interpret.receptive_field(model, "b", np.zeros((2, 9, 9, 2), np.uint8))
    np.testing.assert_allclose(result, expected)
    model.layers[0].kernel.assign(-model.layers[0].kernel)
    result = interpret.receptive_field(model, "b", np.zeros((2, 9, 9, 2), np.uint8))
    np.testing.assert_allclose(result, expected)  # the size of the gradient, not its sign
    assert interpret.theoretical_receptive_field(model, "b") == 5


def test_receptive_field_is_the_mean_over_pictures_of_their_own_gradients(image):
    model, pictures = nested_net(), np.stack([image, image[::-1], 255 - image])
    alone = [interpret.receptive_field(model, "block", picture[None]) for picture in pictures]
    together = interpret.receptive_field(model, "block", pictures)
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-4, atol=1e-9)
    assert together.shape == (8, 10)
    with pytest.raises(ValueError, match="layer='logits'"):
        interpret.receptive_field(model, "logits", pictures)


def wide_net():
    """Positive weights everywhere and no maximum: each pixel in the field has a gradient."""
    ones = {"kernel_initializer": "ones", "padding": "same"}
    inputs = keras.Input((95, 95, 1))
    x = layers.Conv2D(1, 5, strides=2, **ones, name="stem")(inputs)
    x = layers.AveragePooling2D(2, name="pool")(x)  # its stride is its size
    y = layers.Conv2D(1, 3, dilation_rate=2, **ones, name="dilated")(x)
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, **{"depthwise_initializer": "ones"},
        padding="same")(y))  # fmt: skip
    x = layers.ReLU(name="sum")(y + layers.Conv2D(1, 1, **ones)(x))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.SeparableConv2D(1, 3, strides=2, depthwise_initializer="ones",
        pointwise_initializer="ones", name="last")(x)  # fmt: skip
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten(name="flat")(x)))


@pytest.mark.parametrize(
    ("layer", "side"), [("stem", 5), ("pool", 7), ("dilated", 23), ("sum", 31), ("last", 39)]
)
def test_theoretical_receptive_field_by_hand_and_by_gradient(layer, side):
    model = wide_net()
    assert interpret.theoretical_receptive_field(model, layer) == side
    seen = interpret.receptive_field(model, layer, np.full((1, 95, 95, 1), 9, np.uint8)) > 0
    assert [np.ptp(np.flatnonzero(seen.any(axis=axis))) + 1 for axis in (0, 1)] == [side, side]


def test_theoretical_receptive_field_of_vgg16_nested_in_a_model():
    vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    model = keras.Sequential([keras.Input((32, 32, 3)), vgg, layers.Flatten(), layers.Dense(2)])
    # 196 and 212 are in Araujo et al. 2019, table 1 (VGG-16: conv5_3, pool5).
    assert interpret.theoretical_receptive_field(model, "block5_conv3") == 196
    assert interpret.theoretical_receptive_field(model, "block5_pool") == 212


@pytest.mark.parametrize("layer", ["flat", "head"])
def test_theoretical_receptive_field_says_where_it_has_no_answer(layer):
    with pytest.raises(ValueError, match=f"layer='{layer}'"):
        interpret.theoretical_receptive_field(wide_net(), layer)


def test_theoretical_receptive_field_past_a_custom_pooling_layer_and_a_split():
    class Halve(layers.Layer):
        pool_size = 2

        def call(self, inputs):
            return keras.ops.max_pool(inputs, 2)

    inputs = keras.Input((16, 16, 2))
    x = layers.Conv2D(2, 3, name="after")(Halve()(inputs))
    part, _ = keras.ops.split(x, 2, axis=-1)
    model = keras.Model(inputs, layers.Conv2D(1, 3, name="beyond")(part))
    assert interpret.theoretical_receptive_field(model, "after") == 2 + 2 * 2
    with pytest.raises(ValueError, match="layer='beyond'"):
        interpret.theoretical_receptive_field(model, "beyond")
