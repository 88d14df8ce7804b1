"""Files of weights: read them layer by layer, see that they fit a network, set its weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from cnnlab.models.packing import unpack
from cnnlab.sources.archive import BrokenFileError

Layers = list[tuple[str, list[np.ndarray]]]  # names and arrays, from the input to the output
TOPS = ("fc1", "fc2", "predictions", "logits")  # what a backbone leaves out


def load(model: keras.Model, path: Path, label: str | None = None) -> None:
    """Sets all of a model's weights from a file.

    Args:
        model: A network of `keras.applications`, or such a one with a top of our own.
        path: `.npz` from `packing.pack`; `.h5` in the layout of Keras 1 and 2, in which
            `keras.applications` publishes; `.weights.h5`, which Keras 3 writes. Where the model has
            no layers that classify, those in the file are left out.
        label: The file's name in messages.

    Raises:
        BrokenFileError: The file can't be read, or doesn't fit; the message names the first layer
            that doesn't.
    """
    label = label or path.name
    try:
        if path.name.endswith(".weights.h5"):
            model.load_weights(path)
            return
        layers = _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenFileError(
            f"{label} can't be read as weights of {model.name}: {error}"
        ) from error
    own = [layer for layer in model.layers if layer.weights]
    if misfit := _misfit(own, layers):
        raise BrokenFileError(f"{label} does not fit {model.name}. {misfit}")
    for layer, (_, arrays) in zip(own, layers, strict=False):
        layer.set_weights(arrays)


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes that a packed `.npz` file tells apart."""
    with np.load(path) as file:
        return tuple(str(name) for name in file["classes"])


def _read_npz(path: Path) -> Layers:
    layers = {}
    with path.open("rb") as stream, np.load(stream) as file:  # np.load leaves a broken one open
        for name, array in unpack(file).items():
            layers.setdefault(name.split("/")[0], []).append(array)
    return list(layers.items())


def _read_h5(path: Path) -> Layers:
    layers = []
    with h5py.File(path) as file:
        group = file.get("model_weights", file)  # a whole model keeps its weights there
        if "layer_names" not in group.attrs:
            raise ValueError("it names no layers")
        for name in map(_text, group.attrs["layer_names"]):
            parts = group[name]
            if arrays := [parts[_text(part)][()] for part in parts.attrs["weight_names"]]:
                layers.append((name, arrays))
    return layers


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _misfit(own: list[keras.layers.Layer], layers: Layers) -> str | None:
    """Says of the first layer that doesn't fit what was expected there, and what was found."""
    for index, layer in enumerate(own):
        name, arrays = layers[index] if index < len(layers) else (None, [])
        expected, found = [tuple(w.shape) for w in layer.weights], [a.shape for a in arrays]
        # VGG's layers have names of their own; Inception's have numbers, which Keras counts on.
        if expected != found or (layer.name.startswith("block") and layer.name != name):
            received = f"{name} {_shapes(found)}" if name else "no more layers"
            return f"Expected {layer.name} {_shapes(expected)}. Received: {received}"
    if extra := [name for name, _ in layers[len(own) :] if name not in TOPS]:
        return f"Expected {own[-1].name} to be the last layer. Received: {extra[0]} after it"
    return None


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)
