import keras
import numpy as np
import pytest

from cnnlab import interpret, models, transfer
from cnnlab.interpret import maximization


@pytest.fixture
def colour_model():
    """A layer whose channels are red, green, blue and a vertical edge, behind a deaf ReLU."""
    pixels = keras.Input((None, None, 3), name="pixels")
    scaled = keras.layers.Rescaling(1 / 255)(pixels)
    kernel = np.zeros((3, 3, 3, 4), "float32")
    for channel in range(3):
        kernel[1, 1, :, channel] = -0.5
        kernel[1, 1, channel, channel] = 1
    kernel[:, 0, :, 3], kernel[:, 2, :, 3] = -1, 1
    conv = keras.layers.Conv2D(4, 3, activation="relu", padding="same", name="conv")
    model = keras.Model(pixels, conv(scaled))
    conv.set_weights([kernel, np.full(4, -9, "float32")])  # so negative that ReLU gives 0 always
    return model


def answers(model, layer, pictures):
    conv = model.get_layer(layer)
    whole = keras.ops.conv(pictures.astype("float32") / 255, conv.kernel, padding="same")
    return np.array(whole).mean(axis=(1, 2))


def test_paints_the_colour_that_a_channel_likes(colour_model):
    options = {"size": 16, "steps": 60, "jitter": 2}
    pictures = interpret.maximize(colour_model, "conv", [0, 2], **options)
    assert (pictures.shape, pictures.dtype) == ((2, 16, 16, 3), np.uint8)
    red, blue = pictures.mean(axis=(1, 2))
    assert red.argmax() == 0
    assert red[0] > red[1:].max() + 40
    assert blue.argmax() == 2
    assert blue[2] > blue[:2].max() + 40


def test_each_picture_pleases_its_own_channel_most():
    keras.utils.set_random_seed(0)
    model = models.plain_cnn((24, 24, 3), widths=(6, 8), hidden=4)
    pictures = interpret.maximize(model, "conv1", [0, 3, 5], size=24, steps=60, jitter=3)
    means = answers(model, "conv1", pictures)[:, [0, 3, 5]]
    assert list(means.argmax(axis=0)) == [0, 1, 2]


def test_one_seed_one_picture_and_the_model_stays_as_it_was(colour_model):
    before = colour_model.get_weights()
    options = {"size": 12, "steps": 5, "jitter": 2}
    first = interpret.maximize(colour_model, "conv", [1], **options)
    again = interpret.maximize(colour_model, "conv", [1], **options)
    other = interpret.maximize(colour_model, "conv", [1], seed=1, **options)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert colour_model.get_layer("conv").activation is keras.activations.relu
    assert "call" not in vars(colour_model.get_layer("conv"))
    for a, b in zip(colour_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_activation_comes_back_after_an_error(colour_model, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.optimizers.Adam, "apply", stop)
    with pytest.raises(KeyboardInterrupt):
        interpret.maximize(colour_model, "conv", [0], size=12, steps=1)
    assert colour_model.get_layer("conv").activation is keras.activations.relu


def test_reaches_into_a_nested_model(colour_model):
    model = transfer.classifier(colour_model, 2, input_shape=(12, 12, 3))
    options = {"size": 12, "steps": 5, "jitter": 2}
    nested = interpret.maximize(model, "conv", [1], **options)
    np.testing.assert_array_equal(nested, interpret.maximize(colour_model, "conv", [1], **options))


def test_waves_are_a_picture_by_hand():
    side = 6
    waves = np.zeros((1, 3, 2, side, side // 2 + 1), "float32")
    waves[0, 0, 0, 0, 2] = 0.3  # light and dark, two waves across: 0.3 · cos(2π · 2 x / 6), scaled
    painted = np.array(maximization.pixels_from_waves(keras.Variable(waves), side))
    wave = 2 * 0.3 * (side / (2 / side) / 4) / side**2 * np.cos(2 * np.pi * 2 * np.arange(side) / 6)
    expected = 255 / (1 + np.exp(-wave[:, None] * maximization.MIX[:, 0]))
    np.testing.assert_allclose(painted[0, 3], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "channels", "message"),
    [
        ("nothing", [0], r"name of a layer.*'nothing'.*conv"),
        ("conv", [4], r"channels in 0…3.*\[4\]"),
        ("conv", [], r"channels in 0…3.*\[\]"),
    ],
)
def test_refuses_what_is_not_there(colour_model, layer, channels, message):
    with pytest.raises(ValueError, match=message):
        interpret.maximize(colour_model, layer, channels, size=12, steps=1)


def test_refuses_a_layer_without_maps():
    with pytest.raises(ValueError, match=r"gives maps.*layer='logits'"):
        interpret.maximize(models.linear((8, 8, 3)), "logits", [0], size=8, steps=1)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"size": 0}, {"channels": 0}])
def test_what_paints_nothing_is_refused(wrong):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="c")])
    options = {"channels": [0], "size": 8, "steps": 1} | wrong
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(wrong))}"):
        interpret.maximize(model, "c", **options)
