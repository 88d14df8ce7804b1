import keras
import numpy as np
import pytest
from keras import layers
from small_networks import Subclassed, nested_net, residual_net

from cnnlab import interpret


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
