"""Every layout that Keras writes is read, and what doesn't fit is named."""

import json

import h5py
import keras
import numpy as np
import pytest

from cnnlab.models import weight_files
from cnnlab.sources import BrokenFileError

WIDTHS = {"block1_conv1": 4, "block1_conv2": 5, "block2_conv1": 6}


def network(widths=WIDTHS, *, top=None, seed=0):
    """A small network whose layers are named like VGG's."""
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input((8, 8, 3))
    for name, width in widths.items():
        x = keras.layers.Conv2D(
            width, 3, name=name, padding="same", bias_initializer="random_normal"
        )(x)
    if top:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(7, name=top)(x)
    return keras.Model(inputs, x, name="small_vgg")


def write_h5(path, model):
    """The layout of Keras 1 and 2, as `keras.applications` publishes it."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, layer.get_weights(), strict=True):
                group[name] = array
    return path


def write_npz(path, model):
    own = [layer for layer in model.layers if layer.weights]
    arrays = {f"{layer.name}/{w.name}": w.numpy() for layer in own for w in layer.weights}
    np.savez_compressed(
        path, **weight_files.quantize(arrays), classes=np.array(["cat", "dog"]), about=""
    )
    return path


def write_whole_model(path, model):
    model.save(path)
    return path


def write_keras3(path, model):
    model.save_weights(path)
    return path


LAYOUTS = {
    "w.h5": write_h5,
    "w.npz": write_npz,
    "w.weights.h5": write_keras3,
    "model.h5": write_whole_model,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read(tmp_path, name):
    path = LAYOUTS[name](tmp_path / name, network(seed=1))
    model = network(seed=2)
    weight_files.load(model, path)
    atol = 0.01 if name == "w.npz" else 0
    for found, expected in zip(model.get_weights(), network(seed=1).get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize("top", weight_files.TOPS)
@pytest.mark.parametrize("name", ["w.h5", "w.npz"])
def test_layers_that_classify_are_left_out_where_the_network_has_none(tmp_path, name, top):
    path = LAYOUTS[name](tmp_path / name, network(top=top, seed=1))
    model = network(seed=2)
    weight_files.load(model, path)
    np.testing.assert_allclose(
        model.get_layer("block2_conv1").get_weights()[0],
        network(top=top, seed=1).get_layer("block2_conv1").get_weights()[0],
        atol=0.01,
    )


MISFITS = {
    "a wider layer": (
        WIDTHS | {"block1_conv2": 9},
        "Expected block1_conv2 3×3×4×5, 5. Received: block1_conv2 3×3×4×9, 9",
    ),
    "another layer": (
        {"block1_conv1": 4, "block1_conv3": 5, "block2_conv1": 6},
        "Expected block1_conv2 3×3×4×5, 5. Received: block1_conv3 3×3×4×5, 5",
    ),
    "too few layers": (
        {"block1_conv1": 4, "block1_conv2": 5},
        "Expected block2_conv1 3×3×5×6, 6. Received: no more layers",
    ),
    "too many layers": (
        WIDTHS | {"block2_conv2": 6},
        "Expected block2_conv1 to be the last layer. Received: block2_conv2 after it",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
@pytest.mark.parametrize("name", ["w.h5", "w.npz"])
def test_the_first_layer_that_does_not_fit_is_named_and_nothing_is_set(tmp_path, name, case):
    widths, expected = MISFITS[case]
    path = LAYOUTS[name](tmp_path / name, network(widths))
    model = network(seed=2)
    before = model.get_weights()
    with pytest.raises(BrokenFileError) as caught:
        weight_files.load(model, path, "data/w")
    assert str(caught.value) == f"data/w does not fit small_vgg. {expected}"
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras's, before it raises
def test_a_misfit_in_keras_3_layout_names_the_layer_too(tmp_path):
    path = write_keras3(tmp_path / "w.weights.h5", network(WIDTHS | {"block1_conv2": 9}))
    with pytest.raises(BrokenFileError, match=r"w\.weights\.h5 .*small_vgg.*block1_conv2"):
        weight_files.load(network(), path)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("damage", ["truncated", "HTML", "empty"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    body = LAYOUTS[name](tmp_path / name, network()).read_bytes()
    body = {"truncated": body[: len(body) // 2], "HTML": b"<html>" * 100, "empty": b""}[damage]
    (tmp_path / name).write_bytes(body)
    with pytest.raises(BrokenFileError, match=rf"^{name} can't be read as weights of small_vgg"):
        weight_files.load(network(), tmp_path / name)


def zip_header(body, offset, value):
    """Write two bytes into every member's entry in a zip's directory."""
    body, start = bytearray(body), 0
    while (start := body.find(b"PK\x01\x02", start)) >= 0:
        body[start + offset : start + offset + 2] = value.to_bytes(2, "little")
        start += 4
    return bytes(body)


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 99), (8, 1), (10, 99), (10, 12)],
    ids=["newer version", "encrypted", "unknown compression", "wrong compression"],
)  # fmt: skip
def test_an_archive_of_a_kind_that_python_does_not_read_is_named(tmp_path, offset, value):
    path = write_npz(tmp_path / "w.npz", network())
    path.write_bytes(zip_header(path.read_bytes(), offset, value))
    with pytest.raises(BrokenFileError, match=r"^w\.npz can't be read as weights of small_vgg"):
        weight_files.load(network(), path)
    with pytest.raises(BrokenFileError, match=r"w\.npz names no classes"):
        weight_files.read_class_names(path)


@pytest.mark.parametrize("name", ["w.h5", "w.npz", "w.weights.h5"])
def test_weights_that_are_not_finite_are_refused_and_none_stays_set(tmp_path, name):
    spoiled, model = network(seed=1), network(seed=2)
    spoiled.layers[-1].bias.assign([0, 1, np.nan, 0, 0, 0])
    before = model.get_weights()[0]
    path = LAYOUTS[name](tmp_path / name, spoiled)
    with pytest.raises(BrokenFileError, match="NaN or infinity"):
        weight_files.load(model, path)
    np.testing.assert_array_equal(model.get_weights()[0], before)


@pytest.mark.parametrize("damage", ["free space of length 0", "longer than the file"])
@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5"])
def test_a_heap_in_which_hdf5_would_go_in_circles_is_refused(tmp_path, name, damage):
    path = LAYOUTS[name](tmp_path / name, network())
    with h5py.File(path, "a") as file:
        file.attrs["note"] = "a text of any length"  # such texts are kept in heaps
    body = bytearray(path.read_bytes())
    heap = body.index(b"GCOL")
    if damage == "longer than the file":
        body[heap + 13] = 1
    else:
        body[heap + 16 : heap + 18], body[heap + 24 : heap + 32] = bytes(2), bytes(8)
    path.write_bytes(body)
    with pytest.raises(BrokenFileError, match=r"can't be read .*a damaged heap of texts"):
        weight_files.load(network(), path)


@pytest.mark.parametrize("name", ["w.h5", "w.npz"])
def test_a_file_that_unpacks_to_far_more_than_the_model_is_not_unpacked(tmp_path, name):
    large = np.zeros((1000, 1000, 3), np.float32)  # 12 MB, a thousandth of it packed
    np.savez_compressed(tmp_path / "w.npz", **{"block1_conv1/kernel": large})
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["block1_conv1"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = ["kernel"]
        group.create_dataset("kernel", data=large, compression="gzip")
    with pytest.raises(BrokenFileError, match="far more numbers than the model has weights"):
        weight_files.load(network(), tmp_path / name)


def test_other_files_of_the_same_kind_are_no_weights(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["pictures"] = np.zeros(3)
    np.savez(tmp_path / "data.npz", pictures=np.zeros(3, np.float32), about=json.dumps({}))
    with pytest.raises(BrokenFileError, match=r"data\.h5 can't be read.*names no layers"):
        weight_files.load(network(), tmp_path / "data.h5")
    with pytest.raises(BrokenFileError, match=r"Expected block1_conv1 .*Received: pictures 3"):
        weight_files.load(network(), tmp_path / "data.npz")


def test_a_packed_file_knows_its_classes(tmp_path):
    assert weight_files.read_class_names(write_npz(tmp_path / "w.npz", network())) == ("cat", "dog")


def test_a_file_without_class_names_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", **{"block1_conv1/bias": np.zeros(3)})
    with pytest.raises(BrokenFileError, match=r"mine\.npz names no classes"):
        weight_files.read_class_names(tmp_path / "mine.npz")
