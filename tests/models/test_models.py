import keras
import numpy as np
import pytest

from cnnlab import models

BUILDERS = [models.linear, models.plain_cnn, models.batchnorm_cnn, models.resnet]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(8, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("build", BUILDERS)
def test_takes_pixels_of_either_dtype_and_returns_float32_logits(build, pixels):
    model = build((32, 32, 3), 7)
    logits = model(pixels, training=False).numpy()
    assert logits.shape == (8, 7)
    assert logits.dtype == np.float32
    assert not np.allclose(logits.sum(axis=1), 1)  # logits, not probabilities
    np.testing.assert_allclose(model(pixels.astype("float32"), training=False), logits, atol=1e-5)


@pytest.mark.parametrize("build", BUILDERS)
def test_logits_stay_float32_under_mixed_precision(build, pixels):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(pixels).numpy().dtype == np.float32
    assert model.layers[-2].compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (models.linear, 3072 * 10 + 10),
        # three convolutions, two dense layers; the maps before them are 4 × 4 × 64
        (models.plain_cnn, 896 + 18_496 + 36_928 + (1024 * 64 + 64) + 650),
        # no biases in the convolutions, scale and shift of each normalization; the same maps
        (models.batchnorm_cnn, 864 + 18_432 + 36_864 + 2 * 160 + (1024 * 64 + 64) + 650),
        # stem, then two groups of two convolutions
        (models.resnet, 27 * 24 + 9 * (24 * 48 + 48**2 + 48 * 96 + 96**2) + 2 * 312 + 970),
    ],
)
def test_number_of_weights(build, count):
    assert sum(int(np.prod(w.shape)) for w in build().trainable_weights) == count


@pytest.mark.parametrize("build", BUILDERS)
def test_every_weight_gets_a_gradient_and_eight_pictures_are_learnt(build, pixels):
    keras.utils.set_random_seed(0)
    model = build() if build is not models.batchnorm_cnn else build(dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(model.trainable_variables)  # else `fit` traces its step twice
    model.compile(optimizer, loss, jit_compile=False)
    before = [w.numpy() for w in model.trainable_weights]
    labels, steps = np.arange(8), 40
    again = np.tile(pixels, (steps, 1, 1, 1)), np.tile(labels, steps)  # one epoch costs less
    model.fit(*again, batch_size=8, shuffle=False, verbose=0)
    # A softmax applied twice could not get below ln(e + 9) - 1 = 1.46.
    assert float(loss(labels, model(pixels, training=True))) < 0.1
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert np.any(old != new.numpy()), new.path


@pytest.mark.parametrize("build", BUILDERS)
def test_reloads_without_this_library_in_safe_mode(build, pixels, tmp_path):
    model = build((32, 32, 3), 5)
    path = tmp_path / "model.keras"
    model.save(path)
    with keras.saving.custom_object_scope({}):
        again = keras.models.load_model(path, safe_mode=True)
    assert not any(type(layer).__module__.startswith("cnnlab") for layer in again.layers)
    np.testing.assert_array_equal(again(pixels).numpy(), model(pixels).numpy())


def test_shortcut_adds_what_came_in():
    model = models.resnet((8, 8, 3), widths=(4, 5), stem_stride=1)
    kernel = model.get_layer("group1_conv2").kernel
    kernel.assign(np.zeros(kernel.shape))
    x = np.random.default_rng(0).uniform(0, 255, size=(2, 8, 8, 3)).astype("float32")
    outputs = [model.get_layer(name).output for name in ("group1_conv1_act", "group1_add")]
    before, after = keras.Model(model.input, outputs)(x, training=False)
    np.testing.assert_array_equal(before, after)  # f(x) = 0 leaves x
    assert np.any(before.numpy() > 0)


def test_without_shortcuts_there_is_no_addition():
    names = [layer.name for layer in models.resnet(shortcut=False).layers]
    assert not any("add" in name for name in names)


def test_stem_stride_and_depth():
    model = models.resnet(widths=(4, 5, 6), stem_stride=1, depth=2)
    assert model.get_layer("stem").output.shape[1:] == (32, 32, 4)
    assert model.get_layer("group2_conv3").output.shape[1:] == (8, 8, 6)


class TestSixViews:
    def test_is_the_weighted_mean_of_the_shifted_and_mirrored_logits(self, pixels):
        model = models.plain_cnn()
        x = pixels.astype("float32")
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        views = ((x, 0.5), (padded[:, :-2, :-2], 0.25), (padded[:, 2:, 2:], 0.25))
        expected = sum(w * (model(v).numpy() + model(v[:, :, ::-1]).numpy()) / 2 for v, w in views)
        np.testing.assert_allclose(models.six_views(model)(x), expected, atol=1e-4)

    def test_says_the_same_of_a_mirror_image(self, pixels):
        six = models.six_views(models.resnet())
        # Not exactly: the shifted views of a mirror image are shifted to the other side.
        plain, mirrored = six(pixels).numpy(), six(pixels[:, :, ::-1]).numpy()
        one, other = models.resnet()(pixels).numpy(), models.resnet()(pixels[:, :, ::-1]).numpy()
        assert np.abs(plain - mirrored).max() < np.abs(one - other).max()

    def test_reloads_in_safe_mode(self, pixels, tmp_path):
        six = models.six_views(models.resnet())
        six.save(tmp_path / "six.keras")
        again = keras.models.load_model(tmp_path / "six.keras", safe_mode=True)
        np.testing.assert_array_equal(again(pixels).numpy(), six(pixels).numpy())


class TestL2Pooling2D:
    def test_is_the_root_of_the_sum_of_squares(self):
        x = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 9.0]], "float32")[None, :, :, None]
        assert models.L2Pooling2D(2)(x).numpy().ravel() == pytest.approx(
            [5.0]
        )  # the third column is dropped

    def test_gradient_is_finite_where_a_window_is_zero(self):
        import tensorflow as tf

        x = tf.zeros((1, 2, 2, 1))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = models.L2Pooling2D(2)(x)
        assert np.all(np.isfinite(tape.gradient(y, x)))

    def test_reloads(self, tmp_path):
        model = keras.Sequential([keras.Input((4, 4, 1)), models.L2Pooling2D(4)])
        model.save(tmp_path / "pool.keras")
        assert keras.models.load_model(tmp_path / "pool.keras").layers[0].pool_size == 4


@pytest.mark.parametrize("build", [models.plain_cnn, models.batchnorm_cnn, models.resnet])
@pytest.mark.parametrize("widths", [(), (0, 4), (4.5,), "32"])
def test_widths_that_build_nothing_are_refused(build, widths):
    with pytest.raises(ValueError, match="Expected at least one width, and whole numbers"):
        build((32, 32, 3), 3, widths=widths)


def test_a_depth_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"depth=0"):
        models.resnet((32, 32, 3), 3, depth=0)
