"""data/make_vgg16_weights.py: what a student learns from, and what doesn't change what it says."""

import argparse
import json
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_vgg import small_vgg

from cnnlab import models
from cnnlab.models import weight_files

DATA = Path(__file__).parent.parent / "data"
sys.path.insert(0, str(DATA))
import make_vgg16_weights as script  # noqa: E402
from distilling import distillation, photographs  # noqa: E402

OLD_NAMES = {"kernel": "W", "bias": "b"}
# Both networks with an eighth of the filters: what is learnt, and how, doesn't depend on the width.
NARROW = {"block1": 8, "block2": 16, "block3": 32, "block4": 64, "block5": 64}
NARROW_19, NARROW_16 = (
    {block: (width,) * (2 if block < "block3" else deep) for block, width in NARROW.items()}
    for deep in (4, 3)
)


@pytest.fixture(autouse=True)
def one_precision():
    """The script sets the precision of the device for all that follows."""
    yield
    keras.config.set_dtype_policy("float32")


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.fixture(scope="module")
def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def uneven(weights):
    """Give a teacher's channels different sizes, as VGG-19's have."""
    rng = np.random.default_rng(0)
    for name in distillation.TEACHER_CONVS:
        width = len(weights[f"{name}/bias"])
        weights[f"{name}/kernel"] *= rng.uniform(0.3, 3, width).astype("float32")
        weights[f"{name}/bias"] = rng.uniform(-0.3, 0.3, width).astype("float32")
    return weights


@pytest.fixture(scope="module")
def known():
    """VGG-19 with random convolutions."""
    keras.utils.set_random_seed(0)
    return uneven(distillation.take(models.backbone("vgg19", None)))


@pytest.fixture(scope="module")
def teacher():
    return small_vgg(0, NARROW_19)


@pytest.fixture(scope="module")
def narrow(teacher):
    """The weights of the narrow teacher."""
    return uneven(distillation.take(teacher))


def write_official(path, weights, layers):
    """The layout in which Keras publishes: layers and weights are listed as attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer in layers:
            group = file.create_group(layer)
            kinds = [kind for kind in OLD_NAMES if f"{layer}/{kind}" in weights]
            names = [f"{layer}_{OLD_NAMES[kind]}_1:0" for kind in kinds]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for kind, name in zip(kinds, names, strict=True):
                group[name] = weights[f"{layer}/{kind}"]


LAYERS = [
    "input_1",
    *distillation.TEACHER_CONVS[:2],
    "block1_pool",
    *distillation.TEACHER_CONVS[2:],
]


# --- the teacher ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_teacher_is_read_from_the_official_layout_and_so_is_the_library_s(
    known, tmp_path, pixels
):
    write_official(tmp_path / "vgg19.h5", known, LAYERS)
    found = distillation.read_teacher(tmp_path / "vgg19.h5")
    assert found.keys() == known.keys()
    assert all(np.array_equal(found[name], known[name]) for name in known)
    model = models.backbone("vgg19", tmp_path / "vgg19.h5")
    expected = distillation.put(known, models.backbone("vgg19", None))(pixels)
    np.testing.assert_array_equal(model(pixels), expected)


def test_a_teacher_is_read_from_8_bits(known, tmp_path):
    packed = {}
    for name, array in known.items():
        scale = (array.max() - array.min()) / 255
        packed[name] = np.rint((array - array.min()) / scale).astype(np.uint8)
        packed |= {f"{name}:scale": np.float32(scale), f"{name}:min": array.min()}
    np.savez(tmp_path / "vgg19.npz", **packed)
    found = distillation.read_teacher(tmp_path / "vgg19.npz")
    assert found.keys() == known.keys()
    for name, array in known.items():
        assert np.abs(found[name] - array).max() < 0.51 * packed[f"{name}:scale"] + 1e-6


@pytest.mark.parametrize("missing", ["block5_conv4/kernel", "block3_conv4/bias"])
def test_what_is_not_vgg19_is_refused(known, tmp_path, missing):
    layers = [name for name in distillation.TEACHER_CONVS if not missing.startswith(name)]
    write_official(tmp_path / "vgg16.h5", known, layers)
    with pytest.raises(ValueError, match=rf"VGG-19 with {missing}.* Received: no such array"):
        distillation.read_teacher(tmp_path / "vgg16.h5")


def test_equal_channels_have_a_mean_square_of_1_and_lead_back(narrow, teacher, pixels):
    weights = dict(narrow)
    silent = 7  # a channel that never fires
    weights["block2_conv1/kernel"] = weights["block2_conv1/kernel"].copy()
    weights["block2_conv1/kernel"][..., silent] = 0
    weights["block2_conv1/bias"] = weights["block2_conv1/bias"].copy()
    weights["block2_conv1/bias"][silent] = -1
    x = tf.constant(pixels, tf.float32)
    expected = distillation.put(weights, teacher)(x).numpy()
    before = distillation.mean_squares(teacher, [x[:3], x[3:]])
    equal, sizes = distillation.equalize(weights, before)
    found = distillation.put(equal, teacher)(x).numpy()
    assert relative_error(found * sizes["block5_conv4"], expected) < 1e-3
    after = distillation.mean_squares(teacher, [x])
    assert after["block2_conv1"][silent] == 0
    for name in distillation.TEACHER_CONVS:
        firing = np.sqrt(before[name]) > 0.05 * np.sqrt(before[name]).mean()
        assert firing.mean() > 0.5
        np.testing.assert_allclose(after[name][firing], 1, rtol=1e-3)
    back = distillation.rescale(equal, sizes)
    assert relative_error(distillation.put(back, teacher)(x).numpy(), expected) < 1e-3


# --- the lesson -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesson(narrow, teacher, pixels):
    distillation.put(narrow, teacher)
    squares = distillation.mean_squares(teacher, [tf.constant(pixels, tf.float32)])
    equal, sizes = distillation.equalize(narrow, squares)
    distillation.put(equal, teacher)
    return distillation.Lesson(teacher, small_vgg(1, NARROW_16), sizes, squares)


def maps_of(model, names, pixels):
    return keras.Model(model.input, [model.get_layer(name).output for name in names])(pixels)


def test_what_is_left_over_is_counted_in_the_units_of_the_teacher(narrow, lesson, pixels):
    teacher, student = distillation.put(narrow, small_vgg(0, NARROW_19)), lesson.network
    targets = maps_of(teacher, list(distillation.TARGETS.values()), pixels)
    found = maps_of(student, distillation.CONVS, pixels)
    expected = []
    for name, target, maps in zip(distillation.CONVS, targets, found, strict=True):
        size = lesson.sizes[distillation.TARGETS[name]]
        expected.append(np.square(maps * size - target).sum() / np.square(target).sum())
    left = lesson.left_over([pixels[:4], pixels[4:]], 64, batch=3)
    np.testing.assert_allclose(list(left["maps"].values()), expected, rtol=2e-3)
    assert left["blocks"][4] == pytest.approx(sum(expected[-3:]), rel=2e-3)


def test_a_student_that_is_fed_by_the_teacher_gets_no_gradient_from_later_blocks(lesson, pixels):
    x = tf.constant(pixels, tf.float32)

    def gradient(own):
        with tf.GradientTape() as tape:
            errors, _ = lesson.look(x, own)
            last = tf.reduce_sum(errors[-3:])
        return tape.gradient(last, lesson.network.get_layer("block4_conv1").kernel)

    assert not gradient(0.0).numpy().any()
    assert gradient(1.0).numpy().any()


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "peak"), [("adamw", 5e-4), ("muon", 0.02), ("mixed", 0.02)])
def test_a_few_steps_bring_the_student_nearer(lesson, pixels, optimizer, peak):
    weights = lesson.network.get_weights()
    arguments = argparse.Namespace(optimizer=optimizer, peak=peak, clip=1.0, adam_ratio=1 / 30)
    step = lesson.step(script.make_optimizer(arguments, lesson.variables), jit=False)
    x = tf.constant(pixels, tf.float32)
    errors = [step(x, 0.0).numpy().sum() for _ in range(6)]
    lesson.network.set_weights(weights)
    assert errors[-1] < 0.9 * errors[0]


# --- photographs ----------------------------------------------------------------------------------


def test_a_folder_gives_middle_squares_and_a_table_is_taken_as_it_is(tmp_path):
    (tmp_path / "some/deeper").mkdir(parents=True)
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 10:50] = 200
    Image.fromarray(picture).save(tmp_path / "some/deeper/wide.png")
    found = photographs.read(tmp_path, 20)
    assert found.shape == (1, 20, 20, 3)
    assert found.min() > 180
    np.save(tmp_path / "table.npy", found)
    np.testing.assert_array_equal(photographs.read(tmp_path / "table.npy", 160), found)
    np.save(tmp_path / "wide.npy", picture[None])
    with pytest.raises(ValueError, match=r"wide\.npy with uint8 \(1, 40, 60, 3\)"):
        photographs.read(tmp_path / "wide.npy", 160)
    with pytest.raises(ValueError, match="folder of pictures"):
        photographs.read(tmp_path / "nowhere", 160)


def test_what_is_held_out_is_never_drawn_and_a_step_always_draws_the_same(monkeypatch):
    monkeypatch.setattr(photographs, "PART_BYTES", 40 * 8 * 8 * 3)
    tables = [np.full((100, 8, 8, 3), 1, np.uint8), np.full((100, 8, 8, 3), 2, np.uint8)]
    for table in tables:
        table[90:] = 9
    photos = photographs.Photographs(tables, held_out=10, seed=3)
    assert [len(part) for part in photos.parts] == [30] * 6
    assert all((table == 9).all() and len(table) == 10 for table in photos.held_out)
    assert not any((part.numpy() == 9).any() for part in photos.parts)
    batches = [photos.batch(step, 16) for step in (5, 5, 6)]
    same, other = ([a.numpy() for a in batch[1:]] for batch in batches[1:])
    assert all(np.array_equal(a, b) for a, b in zip(batches[0][1:], same, strict=True))
    assert not np.array_equal(same[0], other[0])


def test_views_have_the_sizes_and_places_they_should():
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    part = np.stack([4 * rows, 4 * columns, np.full_like(rows, 255)], axis=-1)[None]
    part = tf.constant(part.astype(np.uint8))
    views = photographs.random_views(part, tf.zeros(400, tf.int32), [0, 3], 96, smallest=0.55)
    found = views.numpy() / 4
    np.testing.assert_allclose(found[..., 2], 255 / 4, atol=1e-3)  # nothing is dimmed
    # The slope of a ramp, in old pixels for a new one, is the share of the side that was kept.
    height = (found[:, 60, 48, 0] - found[:, 36, 48, 0]) / 24 * 96 / 64
    signed = (found[:, 48, 60, 1] - found[:, 48, 36, 1]) / 24 * 96 / 64  # below 0: mirrored
    area, ratio = height * np.abs(signed), height / np.abs(signed)
    assert 0.45 < area.min() < 0.58  # below 0.55 where a long side had to be cut to the picture's
    assert 0.97 < area.max() < 1.01
    assert 0.74 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.35
    assert 0.4 < (signed < 0).mean() < 0.6
    top, bottom = found[:, 0, 48, 0], found[:, -1, 48, 0]
    assert top.min() >= 0
    assert bottom.max() <= 63
    assert top[height < 0.9].max() > 5  # not always from the edge


@pytest.mark.parametrize("side", [32, 64, 160])
def test_whole_pictures_are_scaled_as_keras_does(pixels, side):
    smooth = np.asarray(keras.layers.Resizing(64, 64, antialias=True)(pixels[:, ::4, ::4]))
    found = photographs.whole_views(smooth.astype(np.uint8), side)
    scale = keras.layers.Resizing(side, side, antialias=True)
    np.testing.assert_allclose(found, scale(smooth.astype(np.uint8)), atol=0.6)


# --- the whole ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_script_stops_goes_on_and_writes_a_file_that_loads(
    known, pixels, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CNNLAB_DATA", str(tmp_path))
    write_official(tmp_path / "vgg19.h5", known, distillation.TEACHER_CONVS)
    np.save(tmp_path / "table.npy", np.concatenate([pixels, pixels]))
    out = tmp_path / "w.npz"
    command = (
        f"script --teacher {tmp_path}/vgg19.h5 --photographs {tmp_path}/table.npy --out {out} "
        "--batch 2 --side 32 --log-every 2 --held-out 2 --measured 4"
    )
    monkeypatch.setattr(sys, "argv", [*command.split(), "--minutes", "60", "--stop-after", "0.1"])
    assert script.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "unfinished" in lines[-1]
    stopped = max(line.get("step", 0) for line in lines)
    monkeypatch.setattr(sys, "argv", [*command.split(), "--minutes", "0.01", "--resume"])
    assert script.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (resumed,) = (line for line in lines if "resumed" in line)
    assert resumed["step"] == stopped > 0
    assert lines[-1]["steps"] >= stopped
    model = models.vgg16(out)
    assert model.pretrained.path == out
    with np.load(out) as file:
        sizes = json.loads(str(file["sizes"]))
        assert list(sizes) == distillation.CONVS
        assert file["block5_conv3/kernel"].dtype == np.int8
        weights = weight_files.dequantize(file)
    np.testing.assert_array_equal(
        model.get_layer("block3_conv3").kernel, weights["block3_conv3/kernel"]
    )
