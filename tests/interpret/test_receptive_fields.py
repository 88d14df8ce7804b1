import keras
import numpy as np
import pytest
from keras import layers
from small_networks import nested_net

from cnnlab import interpret


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
    with pytest.raises(ValueError, match=r"^Expected the name of a layer.*'no such'"):
        interpret.receptive_field(model, "no such", pictures)


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
