"""Deletion curves: which pixels go when, what they are replaced by, what is left of the class."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.ndimage import gaussian_filter
from small_networks import residual_net

from cnnlab import interpret
from cnnlab.evaluation import probabilities


@pytest.fixture(scope="module")
def model():
    return residual_net()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(1).permutation(240).reshape(3, 8, 10) / 240


@pytest.mark.parametrize("blur", [None, 1.5])
@pytest.mark.parametrize("steps", [1, 7])
def test_agrees_with_one_pixel_at_a_time(model, pictures, maps, blur, steps):
    holed = []
    for picture, heat in zip(pictures.astype(np.float32), maps, strict=True):
        new = np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape)
        if blur is not None:
            new = np.stack(
                [gaussian_filter(picture[..., c], blur, mode="nearest") for c in range(3)], -1
            )
        places = sorted(np.ndindex(8, 10), key=lambda place: -heat[place])
        for step in range(steps + 1):
            holed.append(picture.copy())
            for place in places[: round(80 * step / steps)]:
                holed[-1][place] = new[place]
    expected = probabilities(model, np.array(holed)).reshape(3, steps + 1, 3)
    for batch_size in (1, 10, 500):
        options = {"steps": steps, "blur": blur, "batch_size": batch_size}
        found = interpret.deletion_curves(model, pictures, maps, [2, 0, 1], **options)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[[0, 1, 2], :, [2, 0, 1]], atol=1e-5)
    predicted = probabilities(model, pictures).argmax(axis=1)
    found = interpret.deletion_curves(model, pictures, maps, steps=steps, blur=blur)
    np.testing.assert_allclose(found, expected[[0, 1, 2], :, predicted], atol=1e-5)


def test_a_map_that_names_the_one_pixel_that_matters_falls_first():
    model = keras.Sequential([keras.Input((4, 5, 1)), layers.Flatten(), layers.Dense(2)])
    kernel = np.zeros((20, 2), np.float32)
    kernel[7, 1] = 1 / 50
    model.layers[-1].set_weights([kernel, np.float32([1, 0])])
    pictures = np.zeros((2, 4, 5, 1), np.uint8)
    pictures[:, 1, 2] = 250
    maps = np.zeros((2, 4, 5))
    maps[0, 1, 2], maps[1, 1, 2] = 1, -1
    first, last = interpret.deletion_curves(model, pictures, maps, steps=20)
    sure, lost = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(0.75))  # of 250 a twentieth is left
    np.testing.assert_allclose(first, [sure] + [lost] * 20, rtol=1e-4)
    np.testing.assert_allclose(last, [sure] * 20 + [lost], rtol=1e-4)


def test_equals_go_in_an_order_that_follows_the_seed(model, pictures):
    flat = np.zeros((3, 8, 10))
    found = [interpret.deletion_curves(model, pictures, flat, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    down = -np.tile(np.arange(80).reshape(8, 10), (3, 1, 1))
    assert not np.allclose(found[0], interpret.deletion_curves(model, pictures, down))


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((2, 8, 10)), {}, r"3 maps .* \(8, 10\).*Received: 2 of the shapes"),
        (np.zeros((3, 4, 5)), {}, r"3 maps .*Received: 3 of the shapes \[\(4, 5\)\]"),
        (np.full((3, 8, 10), np.nan), {}, "without NaN"),
        (np.zeros((3, 8, 10)), {"class_indices": [0, 1, 3]}, r"in 0…2.*class_indices=\[0, 1, 3\]"),
        (np.zeros((3, 8, 10)), {"class_indices": [0]}, "3 class indices"),
        (np.zeros((3, 8, 10)), {"steps": 0}, "steps=0"),
    ],
)
def test_what_does_not_fit_is_refused(model, pictures, maps, options, message):
    with pytest.raises(ValueError, match=message):
        interpret.deletion_curves(model, pictures, maps, **options)
