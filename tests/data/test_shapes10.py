"""Reproducible, balanced, free of shortcuts, and as hard as the lessons need."""

import keras
import numpy as np
import pytest

from cnnlab.data import shapes10


@pytest.fixture(scope="module")
def small():
    return shapes10.make(1_003, 300, 500, seed=3)


@pytest.fixture(scope="module")
def pictures():
    """Enough to train on: what the measurements of difficulty share."""
    return shapes10.make(8_000, 0, 2_000)


def test_shapes_types_and_names(small):
    assert len(set(shapes10.CLASSES)) == 10
    for name, count in {"train": 1_003, "val": 300, "test": 500}.items():
        x, y = small[f"x_{name}"], small[f"y_{name}"]
        assert (x.shape, x.dtype) == ((count, 32, 32, 3), np.uint8)
        assert (y.shape, y.dtype) == ((count,), np.int64)
        assert x.flags.c_contiguous


def test_classes_are_balanced_and_in_random_order(small):
    for name in ("train", "val", "test"):
        counts = np.bincount(small[f"y_{name}"], minlength=10)
        assert counts.max() - counts.min() <= 1
        assert (np.bincount(small[f"y_{name}"][:100], minlength=10) > 0).all()


def test_the_seed_decides(small):
    again, other = (shapes10.make(1_003, 300, 500, seed=seed) for seed in (3, 4))
    for key, array in small.items():
        np.testing.assert_array_equal(array, again[key])
        assert not np.array_equal(array, other[key])


def test_a_set_does_not_depend_on_the_size_of_the_others(small):
    alone = shapes10.make(0, 0, 500, seed=3)
    assert alone["x_train"].shape == (0, 32, 32, 3)
    np.testing.assert_array_equal(alone["x_test"], small["x_test"])
    np.testing.assert_array_equal(alone["y_test"], small["y_test"])


def test_no_picture_comes_twice(small):
    everything = np.concatenate([small["x_train"], small["x_val"], small["x_test"]])
    assert len(np.unique(everything.reshape(len(everything), -1), axis=0)) == len(everything)


def test_pictures_use_the_range_and_none_is_flat(small):
    x = small["x_train"]
    assert x.min() == 0
    assert x.max() == 255
    assert 80 < x.mean() < 175
    assert np.ptp(x.mean(axis=3), axis=(1, 2)).min() > 30


@pytest.mark.parametrize("name", shapes10.CLASSES)
def test_fields_are_distances(name):
    """Soft edges and shadows are as wide as asked for only where the slope is at most 1."""
    side = np.linspace(-2, 2, 401, dtype=np.float32)
    distance = shapes10.SHAPES[name](side[None, :], side[:, None])
    assert distance.dtype == np.float32
    slope = np.hypot(*np.gradient(distance, 0.01))
    assert np.quantile(slope, 0.99) < 1.01  # across a crease, finite differences are no slope
    inside = distance < 0
    for axis in (0, 1):
        assert 0.5 < np.abs(side[inside.any(axis=axis)]).max() < 1.2
    assert 0.6 < inside.sum() * 0.01**2 < 2.7  # of the 4 of the square from -1 to 1


def ridge_accuracy(x, y, x_test, y_test) -> float:
    """Test accuracy of linear least squares on one-hot labels, at the best of three penalties."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, x_test = (x - mean) / scale, (x_test - mean) / scale
    gram, target = x.T @ x / len(x), x.T @ (np.eye(10, dtype=x.dtype)[y] - 0.1)
    ridges = [penalty * np.eye(x.shape[1], dtype=x.dtype) for penalty in (0.03, 0.3, 3)]
    scores = [x_test @ np.linalg.solve(gram + ridge, target) for ridge in ridges]
    return max((score.argmax(axis=1) == y_test).mean() for score in scores)


def test_colours_are_no_shortcut(pictures):
    """Ten classes, so chance is 0.1; the area of the shape shows a little in the brightness."""

    def statistics(x):
        x = x.reshape(len(x), -1, 3).astype(np.float32)
        deciles = np.quantile(x, np.linspace(0, 1, 11), axis=1)
        return np.concatenate([*deciles, x.std(axis=1)], axis=1)

    accuracy = ridge_accuracy(
        statistics(pictures["x_train"]),
        pictures["y_train"],
        statistics(pictures["x_test"]),
        pictures["y_test"],
    )
    assert accuracy < 0.2


def test_a_linear_classifier_is_far_from_enough(pictures):
    x, x_test = (
        pictures[name].reshape(-1, 32 * 32 * 3).astype(np.float32) for name in ("x_train", "x_test")
    )
    accuracy = ridge_accuracy(x, pictures["y_train"], x_test, pictures["y_test"])
    assert 0.15 < accuracy < 0.45


@pytest.mark.slow
def test_a_small_cnn_learns_and_mirrored_pictures_keep_their_label(pictures):
    """The network of TensorFlow's CNN tutorial: 70 % at least, 97 % at most."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    epochs, batch_size = 6, 64
    steps = epochs * len(pictures["x_train"]) // batch_size
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        pictures["x_train"], pictures["y_train"], batch_size=batch_size, epochs=epochs, verbose=0
    )

    def accuracy(x):
        return (model.predict(x, batch_size=500, verbose=0).argmax(1) == pictures["y_test"]).mean()

    as_drawn, mirrored = accuracy(pictures["x_test"]), accuracy(pictures["x_test"][:, :, ::-1])
    assert 0.70 <= as_drawn <= 0.97
    # 2,000 pictures: a difference of two accuracies near 0.8 has a standard error of about 0.01.
    assert abs(as_drawn - mirrored) < 0.03
