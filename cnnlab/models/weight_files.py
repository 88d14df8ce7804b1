"""Files of weights: read them layer by layer, see that they fit a network, set its weights.

An `.npz` of this library keeps kernels in 8 bits, a quarter of the bytes, at an error that accuracy
can't see. Each output channel of a kernel has a scale of its own, and so has each input channel:
one whose weights are small, because its input is large, keeps its detail. A network computes with
float32 again, as `dequantize` multiplies before anything else happens.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

from cnnlab.sources import BrokenFileError

Layers = list[tuple[str, list[np.ndarray]]]  # names and arrays, from the input to the output
TOPS = ("fc1", "fc2", "predictions", "logits")  # what a backbone leaves out
LEVELS = 127  # codes are in -127…127
NOTED = 100_000_000  # bytes that a file whose notes are read may unpack to


def load(model: keras.Model, path: Path, label: str | None = None) -> None:
    """Set all of a model's weights from a file.

    Args:
        model: A network of `keras.applications`, or such a one with a top of our own.
        path: `.npz` from `quantize`; `.h5` in the layout of Keras 1 and 2, in which
            `keras.applications` publishes; of both, layers that classify are left out where the
            model has none. Or `.weights.h5`, which Keras 3 writes, of just this model.
        label: The file's name in messages.

    Raises:
        BrokenFileError: The file can't be read, or doesn't fit; the message names the first layer
            that doesn't.
    """
    label = label or path.name
    try:
        if path.name.endswith(".weights.h5"):
            _load_keras_3(model, path)
            return
        # No file of this model's has more than twice its weights in float32.
        limit = 8 * sum(math.prod(w.shape) for w in model.weights) + 1_000_000
        skipped = set(TOPS) - {layer.name for layer in model.layers}
        read = _read_npz if path.suffix == ".npz" else _read_h5
        layers = read(path, limit=limit, skipped=skipped)
    except Exception as error:  # damaged files fail in many ways
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise BrokenFileError(
            f"{label} can't be read as weights of {model.name}: {reason}"
        ) from error
    own = [layer for layer in model.layers if layer.weights]
    if misfit := _misfit(own, layers):
        raise BrokenFileError(f"{label} does not fit {model.name}. {misfit[:500]}")
    for name, arrays in layers:
        if not all(np.isfinite(array).all() for array in arrays):
            raise BrokenFileError(f"{label} holds NaN or infinity among the weights of {name}.")
    for layer, (_, arrays) in zip(own, layers, strict=False):
        layer.set_weights(arrays)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the names of the classes that a network with the weights of an `.npz` file knows.

    Raises:
        BrokenFileError: The file can't be read, or names none.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return tuple(str(name) for name in file["classes"])
    except Exception as error:  # damaged files fail in many ways
        raise BrokenFileError(f"{path.name} names no classes: {error}") from error


def read_notes(path: Path) -> dict[str, np.ndarray]:
    """Return the texts that an `.npz` file of this library keeps beside its weights, by name.

    Raises:
        BrokenFileError: The file can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _require_size(sum(member.file_size for member in archive.infolist()), NOTED)
        with path.open("rb") as stream, np.load(stream) as file:
            arrays = {name: file[name] for name in file}
    except Exception as error:  # damaged files fail in many ways
        raise BrokenFileError(f"{path.name} can't be read: {error}") from error
    return {name: array for name, array in arrays.items() if array.dtype.kind == "U"}


def _load_keras_3(model: keras.Model, path: Path) -> None:
    """Load weights as Keras 3 does, or leave the model as it was."""
    _require_sound_heaps(path)
    before = model.get_weights()
    try:
        model.load_weights(path)
        if not all(np.isfinite(array).all() for array in model.get_weights()):
            raise ValueError("it holds NaN or infinity")
    except Exception:
        model.set_weights(before)
        raise


def _read_npz(path: Path, *, limit: int, skipped: set[str]) -> Layers:
    layers = {}
    with zipfile.ZipFile(path) as archive:
        _require_size(sum(member.file_size for member in archive.infolist()), limit)
    with path.open("rb") as stream, np.load(stream) as file:  # np.load leaves a broken one open
        for name, array in dequantize(file).items():
            layers.setdefault(name.split("/")[0], []).append(array)
    return list(layers.items())


def _read_h5(path: Path, *, limit: int, skipped: set[str]) -> Layers:
    layers = []
    _require_sound_heaps(path)
    with h5py.File(path) as file:
        group = file.get("model_weights", file)  # a whole model keeps its weights there
        if "layer_names" not in group.attrs:
            raise ValueError("it names no layers")
        for name in _names(group.attrs, "layer_names"):
            parts = [group[name][part] for part in _names(group[name].attrs, "weight_names")]
            limit -= sum(part.nbytes for part in parts if name not in skipped)
            _require_size(-limit, 0)
            if parts:
                layers.append((name, [] if name in skipped else [part[()] for part in parts]))
    return layers


def _require_sound_heaps(path: Path) -> None:
    """Refuse an HDF5 file with a damaged heap of texts, in which libhdf5 would go in circles.

    A collection is a row of objects, each with its length; a length of 0 leads back to itself.
    Source: HDF5 File Format Specification, section III.E, "Disk Format: Level 1E - Global Heap".
    """
    sign = b"GCOL\1\0\0\0"  # with version and reserved bytes; weights look like it once in 2^64
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        start = body.find(sign)
        while start >= 0:
            place = start + 16
            end = start + int.from_bytes(body[start + 8 : place], "little")
            if end > len(body):
                raise ValueError("a damaged heap of texts")
            while place + 16 <= end:
                index, _, _, length = struct.unpack_from("<HHIQ", body, place)
                step = 16 + (length + 7) // 8 * 8 if index else length  # 0: what is still free
                if step < 16:
                    raise ValueError("a damaged heap of texts")
                place += step
            start = body.find(sign, place)


def _require_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError("it holds far more numbers than the model has weights")


def _names(attributes: h5py.AttributeManager, which: str) -> list[str]:
    attribute = attributes.get_id(which)
    _require_size(math.prod(attribute.shape or ()) * attribute.dtype.itemsize, 10_000_000)
    return [name.decode() if isinstance(name, bytes) else name for name in attributes[which]]


def _misfit(own: list[keras.layers.Layer], layers: Layers) -> str | None:
    """Say of the first layer that doesn't fit what was expected there, and what was found."""
    for index, layer in enumerate(own):
        name, arrays = layers[index] if index < len(layers) else (None, [])
        expected, found = [tuple(w.shape) for w in layer.weights], [a.shape for a in arrays]
        # VGG's layers have names of their own; those of others have numbers, which Keras counts on.
        named = re.match(r"block\d_", layer.name)
        if expected != found or (named and layer.name != name):
            received = f"{name} {_shapes(found)}" if name else "no more layers"
            return f"Expected {layer.name} {_shapes(expected)}. Received: {received}"
    if extra := [name for name, _ in layers[len(own) :] if name not in TOPS]:
        return f"Expected {own[-1].name} to be the last layer. Received: {extra[0]} after it"
    return None


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)


# --- 8 bits ---------------------------------------------------------------------------------------


def quantize_kernel(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round a kernel to 8 bits.

    Input channels are brought to one size, then the largest weight of each output channel becomes
    the largest code. A finer scale that clips the few largest weights, a help with fewer bits,
    gains nothing here: on 4,608 normally distributed weights it saves a thousandth of the error.

    Args:
        kernel: float (height, width, inputs, outputs) or (inputs, outputs), as Keras keeps it.

    Returns:
        The codes, int8 as the kernel; the outputs' scales, float32 (outputs,); the inputs' scales,
        float32 (inputs, 1). The product of the three is the kernel again, each weight to within
        half its scales.

    Raises:
        ValueError: A weight is not finite.
    """
    if not np.isfinite(kernel).all():
        raise ValueError("Expected finite weights. Received: a kernel with NaN or infinity")
    places = tuple(range(kernel.ndim - 2))  # of a window; a dense layer has none
    inputs = np.sqrt(np.square(kernel).mean(axis=(*places, -1)))[:, None]
    inputs[inputs == 0] = 1  # a channel of zeros: any scale will do
    even = kernel / inputs
    outputs = np.abs(even).max(axis=(*places, -2)) / LEVELS
    outputs[outputs == 0] = 1
    codes = np.rint(even / outputs).astype(np.int8)
    return codes, outputs.astype(np.float32), inputs.astype(np.float32)


def quantize(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn a network's weights into the arrays to write with `np.savez_compressed`.

    Args:
        weights: By names such as "block1_conv1/kernel". Kernels, which have two dimensions or
            more, are rounded to 8 bits; all others stay as they are, in float32.

    Returns:
        int8 arrays under the kernels' names with their scales under "<name>/outputs" and
        "<name>/inputs", all others under their own names.
    """
    arrays = {}
    for name, array in weights.items():
        if array.ndim > 1:
            arrays[name], arrays[f"{name}/outputs"], arrays[f"{name}/inputs"] = quantize_kernel(
                array
            )
        else:
            arrays[name] = array.astype(np.float32)
    return arrays


def dequantize(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn what `quantize` has returned into weights again.

    Args:
        arrays: By name. Those without numbers (names, notes) are left out.

    Returns:
        float32 arrays by name.
    """
    weights = {}
    for name, array in arrays.items():
        if array.dtype == np.int8:
            weights[name] = array * arrays[f"{name}/outputs"] * arrays[f"{name}/inputs"]
        elif array.dtype.kind == "f" and not name.endswith(("/outputs", "/inputs")):
            weights[name] = array
    return weights
