"""data/make_vgg16_weights.py: what it does to a network after training must not change it."""

import importlib.util
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import models
from cnnlab.models import weight_files

SCRIPT = Path(__file__).parent.parent / "data" / "make_vgg16_weights.py"
CLASSES = 5


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_vgg16_weights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def trained(script):
    """A network whose batch normalizations have seen something: no statistic is at its start."""
    keras.utils.set_random_seed(0)
    model = script.network(CLASSES, batchnorm=True, dtype="float32")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            width = layer.gamma.shape[0]
            first = layer.name.startswith("block1_conv1")
            gamma, beta = rng.uniform(0.2, 2, width), rng.standard_normal(width) * 0.3
            mean = rng.standard_normal(width) * (60 if first else 0.5)
            layer.set_weights([gamma, beta, mean, rng.uniform(1, 3, width) * (1e4 if first else 1)])
    # One whose variance is as small as epsilon, as that of channels that hardly fire.
    norm = model.get_layer("block3_conv2_norm")
    norm.moving_variance.assign(norm.moving_variance * norm.epsilon)
    norm.gamma.assign(norm.gamma * norm.epsilon**0.5)
    return model


@pytest.fixture(scope="module")
def plain(script):
    return script.network(CLASSES, batchnorm=False, dtype="float32")


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_the_folded_network_says_what_the_trained_one_says(script, trained, plain, pixels):
    folded = script.put(script.fold(trained), plain)
    expected = trained(pixels, training=False).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-3 * np.abs(expected).max()  # it does tell them apart
    assert relative_error(folded(pixels), expected) < 1e-3


def test_equal_channels_change_nothing_and_have_a_mean_square_of_1(script, trained, plain, pixels):
    weights = script.fold(trained)
    silent = 7  # a channel that never fires
    weights["block2_conv1/kernel"][..., silent] = 0
    weights["block2_conv1/bias"][silent] = -1
    expected = script.put(weights, plain)(pixels).numpy()
    before = script.mean_squares(plain, pixels)
    scaled = script.equalize(weights, before)
    assert relative_error(script.put(scaled, plain)(pixels), expected) < 1e-3
    after = script.mean_squares(plain, pixels)
    assert after["block2_conv1"][silent] == 0
    for name in script.CONVS:
        firing = np.sqrt(before[name]) > 0.05 * np.sqrt(before[name]).mean()
        assert firing.mean() > 0.5
        np.testing.assert_allclose(after[name][firing], 1, rtol=1e-3)
        assert after[name].max() < 1.001


def test_what_is_packed_is_the_vgg16_of_keras(script, trained, plain, pixels, tmp_path):
    weights = script.fold(trained)
    weights = script.equalize(weights, script.mean_squares(script.put(weights, plain), pixels))
    np.savez(tmp_path / "w.npz", **weight_files.quantize(weights), classes=np.array(list("abcde")))
    found = models.vgg16(tmp_path / "w.npz", include_top=True)(pixels).numpy()
    expected = trained(pixels, training=False).numpy()
    assert relative_error(found, expected) < 0.06  # 8 bits, thirteen times


# --- augmentation ---------------------------------------------------------------------------------


def test_only_training_is_augmented(script, pixels):
    crop = script.RandomResizedCrop()
    x = pixels.astype("float32")
    np.testing.assert_array_equal(crop(x, training=False), x)
    assert relative_error(crop(x, training=True), x) > 0.1


def test_the_whole_picture_is_kept_or_mirrored(script, pixels):
    x = np.repeat(pixels[:1], 32, axis=0).astype("float32")
    crop = script.RandomResizedCrop((1, 1), ratio=1.0)
    found = crop(x, training=True).numpy()
    same = np.array([np.allclose(a, b, atol=1e-2) for a, b in zip(found, x, strict=True)])
    mirrored = np.array(
        [np.allclose(a, b[:, ::-1], atol=1e-2) for a, b in zip(found, x, strict=True)]
    )
    assert (same ^ mirrored).all()
    assert 5 < same.sum() < 27


def test_the_middle_of_a_ramp_is_enlarged_about_its_centre(script, monkeypatch):
    crop = script.RandomResizedCrop((0.64, 0.64))
    middle = lambda n, low, high: np.full((1, 1), (low + high) / 2, "float32")  # noqa: E731
    monkeypatch.setattr(crop, "_draw", middle)
    place = np.arange(64, dtype="float32")
    ramp = np.broadcast_to(place[None, :, None, None], (1, 64, 64, 3))
    found = crop(ramp, training=True)[0, :, 20, 1]
    np.testing.assert_allclose(found, 31.5 + 0.8 * (place - 31.5), atol=0.01)


def test_parts_have_the_sizes_and_places_they_should(script):
    rows, columns = np.meshgrid(np.arange(64.0), np.arange(64.0), indexing="ij")
    x = np.stack([rows, columns, np.ones_like(rows)], axis=-1)[None].repeat(400, axis=0)
    found = script.RandomResizedCrop((0.55, 1.0), seed=3)(x.astype("f"), training=True).numpy()
    np.testing.assert_allclose(found[..., 2], 1, atol=1e-4)  # weights sum to 1: nothing is dimmed
    # The slope of a ramp after enlarging is the share of the side that was kept.
    height = (found[:, 40, 32, 0] - found[:, 24, 32, 0]) / 16
    signed = (found[:, 32, 40, 1] - found[:, 32, 24, 1]) / 16  # below 0 in a mirrored picture
    area, ratio = height * np.abs(signed), height / np.abs(signed)
    assert 0.45 < area.min() < 0.58  # below 0.55 where a long side had to be cut to the picture's
    assert 0.97 < area.max() < 1.001
    assert 0.745 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.34
    assert 0.4 < (signed < 0).mean() < 0.6
    top, bottom = found[:, 0, 32, 0], found[:, -1, 32, 0]
    assert top.min() >= 0
    assert bottom.max() <= 63
    assert top[height < 0.9].max() > 5  # not always from the edge


def test_the_last_epochs_show_nearly_whole_pictures_without_a_new_trace(script):
    crop = script.RandomResizedCrop((0.3, 1.0), ratio=1.0)
    settle = script._Settle(crop, 20, smallest=1.0)
    traces = []

    @tf.function
    def augmented(x):
        traces.append(1)
        return crop(x, training=True)

    x = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    for epoch in range(20):
        settle.on_epoch_begin(epoch)
        is_whole = np.allclose(np.sort(augmented(x), axis=2), np.sort(x, axis=2), atol=0.1)
        assert is_whole == (epoch >= 18)
    assert len(traces) == 1


@pytest.mark.slow
def test_the_script_writes_a_file_that_loads(script, pixels, tmp_path, monkeypatch, capsys):
    names = np.array(["ant", "bee", "cat"])
    labels = np.arange(6, dtype=np.uint8) % 3
    np.savez(
        tmp_path / "tinyimagenet.npz",
        **{"x_train": pixels, "y_train": labels, "x_val": pixels, "y_val": labels},
        classes=names,
    )
    out = tmp_path / "w.npz"
    arguments = f"script --data {tmp_path} --out {out} --epochs 1 --batch 3 --peak 0.001"
    monkeypatch.setattr(sys, "argv", arguments.split())
    assert script.main() == 0
    epoch, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert epoch["epoch"] == 1
    assert set(result["top1"]) == {"trained", "folded", "packed"}
    model = models.vgg16(out, include_top=True)
    assert models.class_names(model.pretrained) == tuple(names)
    once = np.mean(model.predict(pixels, verbose=0).argmax(axis=1) == labels)
    assert round(float(once), 4) == result["top1"]["packed"][0]
