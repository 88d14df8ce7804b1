"""What a pretrained network says of pictures, computed once and kept on disk, and probes on it."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from tqdm import tqdm

from cnnlab.images import in_batches, is_dataset, shape_of, whole_number
from cnnlab.layers import explained, require_model, require_places
from cnnlab.transfer.classifiers import enlarge

logger = logging.getLogger(__name__)


def extract_features(
    backbone: keras.Model,
    pictures: np.ndarray | tf.data.Dataset,
    names: Sequence[str],
    *,
    size: int | None = None,
    grid: int = 1,
    cache: str | Path | None = None,
    batch_size: int = 250,
) -> dict[str, np.ndarray]:
    """Compute the channels of some layers, each averaged over the picture or over parts of it.

    With a cache the work is done once for the same weights, layers, size and pictures, whatever
    their names: its files are named by a hash of all of these. They are written whole or not at
    all, and one that can't be read is made anew. Where none can be written, that is logged.

    Args:
        backbone: A functional model that takes pixels of any size.
        pictures: uint8 or float32 (n, h, w, 3) in 0…255; or a dataset of batches of them, as
            `data.stream` makes with shuffle=False, so that its labels keep the same order.
        names: Layers that give maps, such as ["block5_pool"].
        size: What the backbone sees: the shorter side in pixels; None leaves pictures as they are.
        grid: Averages over `grid` × `grid` parts of the maps, which keeps some of what is where.
            All are of one size or differ by one place; where a side can't be divided, neighbours
            share a place.
        cache: A folder, made if it isn't there; None keeps nothing.
        batch_size: Pictures at a time; changes memory and speed, not the result.

    Returns:
        Name -> float32 (n, grid · grid · channels).

    Raises:
        ValueError: No pictures, numbers that aren't pixels, no such layer, or maps with fewer
            places than the grid.
    """
    names = [names] if isinstance(names, str) else names
    require_model(backbone, "backbone")
    whole_number(grid, "grid")
    if size is not None:
        whole_number(size, "size", note=", the shorter side's pixels, or None")
    in_batches(pictures, batch_size, "pictures")  # refuses what they can't be, before any work
    model = _averaging(backbone, names, shape_of(pictures), size, grid)
    if cache is None:
        return _run(model, pictures, batch_size)
    options = (tuple(names), size, grid, "parts that overlap")
    fingerprint = _fingerprint(backbone, pictures, options)
    path = Path(os.path.expanduser(cache)) / f"{fingerprint}.npz"
    found = _read(path)
    if found is None:
        found = _run(model, pictures, batch_size)
        _write(path, found)
    return found


def probes(
    features: Mapping[str, np.ndarray], num_classes: int, *, hidden: int = 0, dropout: float = 0.0
) -> keras.Model:
    """Build one classifier on each kind of features, trained together, none seeing another's.

    Without hidden units each is a linear probe (Alain and Bengio 2016,
    https://arxiv.org/abs/1610.01644): what it gets right could be read off the features by adding
    them up. Features are brought to mean 0 and spread 1 by statistics of those given here.

    Args:
        features: Name -> float (n, channels), of training pictures.
        num_classes: Number of logits.
        hidden: Units of a hidden layer with ReLU; 0 for none.
        dropout: Share of the hidden units silenced in training, 0…1.

    Returns:
        A model from a dictionary of features to one of float32 logits (n, num_classes), each
        under its features' name: compile it with one loss for all of them.
    """
    inputs, outputs = {}, {}
    for name, values in features.items():
        variance = values.var(axis=0)
        # A channel that hardly ever answers must not be blown up when it does.
        variance = np.maximum(variance, max(1e-3 * variance.mean(), keras.config.epsilon()))
        inputs[name] = keras.Input(values.shape[1:], name=name)
        scale = layers.Normalization(mean=values.mean(axis=0), variance=variance, dtype="float32")
        x = scale(inputs[name])
        if hidden:
            x = layers.Dense(hidden, activation="relu", dtype="float32")(x)
            x = layers.Dropout(dropout, dtype="float32")(x)
        zeros = {"kernel_initializer": "zeros", "dtype": "float32"}
        outputs[name] = layers.Dense(num_classes, name=f"{name}_logits", **zeros)(x)
    return keras.Model(inputs, outputs, name="probes")


def _fingerprint(
    backbone: keras.Model, pictures: np.ndarray | tf.data.Dataset, options: tuple
) -> str:
    """Hash everything that the features depend on: 32 hexadecimal digits."""
    digest = hashlib.sha256()
    kinds = [
        (type(layer).__name__, layer.compute_dtype, _settings(layer)) for layer in backbone.layers
    ]
    dataset = is_dataset(pictures)
    kind = "dataset" if dataset else (pictures.shape, pictures.dtype)
    digest.update(repr((kinds, options, kind)).encode())
    read = (batch for batch, _ in in_batches(pictures, 1)) if dataset else [pictures]
    for array in itertools.chain(backbone.get_weights(), read):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:32]


def _settings(layer: keras.Layer) -> dict:
    """Return a layer's configuration without its name, which Keras numbers anew in each process."""
    try:
        return {key: value for key, value in layer.get_config().items() if key != "name"}
    except NotImplementedError:  # a layer of somebody's own that can't be saved
        return {}


def _averaging(
    backbone: keras.Model,
    names: Sequence[str],
    shape: tuple[int, ...],
    size: int | None,
    grid: int,
) -> keras.Model:
    """Build a model from pixels to a dictionary of averaged channels."""
    known = [layer.name for layer in backbone.layers]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"Expected names of layers of {backbone.name!r}. "
            f"Received: names={list(names)}. Layers: {', '.join(known)}"
        )
    maps = {name: backbone.get_layer(name).output for name in names}
    flat = [name for name, output in maps.items() if len(output.shape) != 4]
    if flat:
        raise ValueError(
            "Expected names of layers that give maps (n, height, width, channels). Received: "
            f"names={flat}, which don't"
        )
    inputs = keras.Input(shape)
    with explained(backbone, shape):
        answers = keras.Model(backbone.inputs[0], maps)(enlarge(inputs, size))
        require_places(answers)
    return keras.Model(inputs, {name: _average(maps, grid) for name, maps in answers.items()})


def _average(maps: keras.KerasTensor, grid: int) -> keras.KerasTensor:
    if min(maps.shape[1:3]) < grid:
        raise ValueError(
            f"Expected maps of at least {grid} × {grid} places. Received: grid={grid} with maps of "
            f"shape {maps.shape}"
        )
    # Beginnings are rounded down and ends up, so that no place is left out.
    rows, columns = (
        [slice(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)]
        for side in maps.shape[1:3]
    )
    maps = ops.cast(maps, "float32")
    parts = [ops.mean(maps[:, y, x], axis=(1, 2)) for y in rows for x in columns]
    return ops.concatenate(parts, axis=1)


def _run(
    model: keras.Model, pictures: np.ndarray | tf.data.Dataset, batch_size: int
) -> dict[str, np.ndarray]:
    # Not `predict`: on a GPU it would compile with XLA, which takes longer than the work itself.
    any_number = tf.TensorSpec((None, *shape_of(pictures)), tf.float32)
    step = tf.function(lambda batch: model(batch, training=False)).get_concrete_function(any_number)
    total = None if is_dataset(pictures) else math.ceil(len(pictures) / batch_size)
    batches = in_batches(pictures, batch_size, "pictures")
    # Notebooks show stderr red.
    bar = tqdm(batches, "features", total, delay=3, leave=False, file=sys.stdout)
    parts = [step(tf.cast(tf.convert_to_tensor(batch), tf.float32)) for batch, _ in bar]
    if not parts:
        raise ValueError("Expected at least one picture. Received: an empty dataset")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Read what a cache file holds; None if it isn't there, or broken."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except Exception:  # a damaged archive fails in many ways
        return None


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep features for the next time; where that can't be, say so: the work is done."""
    try:
        _write_whole(path, arrays)
    except OSError as error:
        reason = error.strerror or error
        logger.warning("Features are not kept for the next time in %s: %s.", path.parent, reason)


def _write_whole(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.npz")  # numpy adds .npz where it is missing
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
