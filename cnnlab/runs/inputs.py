"""What went into a training, as far as Keras can tell it, in words that two processes share.

Two trainings with the same inputs are the same run made twice. Of pictures and targets a
fingerprint is among them, made from their shapes and some of their rows. Not told are what Keras
doesn't know: the weights at the start, other callbacks.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import keras
import numpy as np
from keras.src.utils.rng_utils import get_random_seed  # Keras exports only the setter (3.15)

Plain = bool | int | float | str | list

# What doesn't change a number, or counts what was made in this kernel before: conv2d_17.
_IGNORED = {"build_config", "compile_config", "module", "name", "registered_name"}
_IGNORED |= {"shared_object_id"}


def describe(
    trainer: keras.Model,
    *,
    epochs: int,
    steps: int | None,
    batch: int | None,
    data: str | None = None,
) -> dict:
    """List the inputs of a training that is about to begin.

    Args:
        trainer: Compiled; what `fit` was called on.
        epochs: As `fit` was told.
        steps: Batches an epoch; None where nobody knows yet.
        batch: Rows a step; None likewise.
        data: A fingerprint of what it is trained and validated on; None likewise.

    Returns:
        Key to number or word: epochs, steps, batch, the seed of `keras.utils.set_random_seed`,
        data, loss, optimizer, the layers' count and settings, and how they are connected.
    """
    first = {"epochs": epochs, "steps": steps, "batch": batch, "seed": get_random_seed()}
    first["data"] = data
    layers = list(layers_of(trainer))
    found = dict(_flat(first, ""))
    for key, thing in (("loss", trainer.loss), ("optimizer", trainer.optimizer)):
        found |= {k.removeprefix(f"{key}."): v for k, v in _flat(_described(thing), key)}
    found["layers"] = len(layers)
    names = Counter()
    for layer in layers:
        stem = re.sub(r"_\d+$", "", layer.name)
        names[stem] += 1
        key = stem if names[stem] == 1 else f"{stem} {names[stem]}"
        found |= _flat(_described(layer), key)
    found["connections"] = _connections(trainer)
    return found


def plain(value: object) -> Plain:
    """Say a value in what JSON has; the same value is the same text in every process."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | keras.Variable):
        return plain(np.asarray(keras.ops.convert_to_numpy(value)).tolist())
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        # float32 has seven digits; what is set as 0.001 is read as 0.0010000000474974513.
        return float(f"{float(value):.7g}")
    if isinstance(value, Mapping):
        return json.dumps({str(k): plain(v) for k, v in value.items()}, sort_keys=True)
    # Not its repr, which may hold its address in memory.
    return getattr(value, "__name__", type(value).__name__) if value is not None else "None"


def fingerprint(*parts: object) -> str:
    """Shorten what JSON can say to 16 letters, another for every other content."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parameters(network: keras.Model) -> int:
    """Count the weights that training changes."""
    return sum(math.prod(weight.shape) for weight in network.trainable_variables)


def trains(trainer: keras.Model, network: keras.Model) -> bool:
    """Tell whether a trainer holds a network, or a part of it, or stands in for it.

    It holds one by the weights they share. It stands in for one where its weights have the same
    shapes, such as a trainer that is compiled once for several seeds. A network that has no
    variables yet may be held by any.
    """
    weights = network.trainable_variables or network.variables
    held = {id(variable) for variable in trainer.variables}
    if trainer is network or not weights or any(id(weight) in held for weight in weights):
        return True
    return [v.shape for v in weights] == [v.shape for v in trainer.trainable_variables]


def layers_of(owner: keras.Layer) -> Iterator[keras.Layer]:
    """Yield all layers that compute something, those inside models and other layers too."""
    is_model = isinstance(owner, keras.Model)
    parts = owner.layers if is_model else owner._flatten_layers(include_self=False, recursive=False)
    for layer in parts:
        if not isinstance(layer, keras.Model | keras.layers.InputLayer):
            yield layer
        yield from layers_of(layer)


def _described(thing: object) -> object:
    """Return an object's class and settings in the form of Keras's files."""
    if isinstance(thing, list | tuple):
        return {str(i): _described(item) for i, item in enumerate(thing)}
    if isinstance(thing, Mapping):
        return {key: _described(item) for key, item in thing.items()}
    get_config = getattr(thing, "get_config", None)
    if get_config is None:
        return thing
    try:
        config = get_config()
    except Exception:  # somebody's own class may not have one, or one that fails in any way
        config = {}
    return {"class_name": type(thing).__name__, "config": config}


def _flat(value: object, key: str) -> Iterator[tuple[str, Plain]]:
    """Yield what nested settings hold, each under its path: "optimizer.learning_rate"."""
    if isinstance(value, Mapping):
        if "class_name" in value:
            name, value = value["class_name"], value.get("config")
            if not isinstance(value, Mapping):
                value, name = {}, value or name  # a function: {"class_name": "function", …}
            elif name.endswith("DTypePolicy"):
                value, name = {}, value["name"]
            elif name == "__tensor__":  # a variable's value
                value, name = {}, value["value"]
            yield key, plain(name)
        for inner, item in value.items():
            if inner not in _IGNORED:
                yield from _flat(item, f"{key}.{inner}" if key else inner)
    elif value is not None:
        yield key, plain(value)


def _connections(trainer: keras.Model) -> str:
    """Return a fingerprint of which layer is fed by which, without their names."""
    found = []
    for model in (trainer, *_nested(trainer)):
        number = {id(op): i for i, op in enumerate(getattr(model, "operations", ()))}
        for nodes in getattr(model, "_nodes_by_depth", {}).values():  # of functional models
            for node in nodes:
                parents = [number[id(parent.operation)] for parent in node.parent_nodes]
                kind = type(node.operation).__name__  # not all are layers: x + y is none
                found.append([number[id(node.operation)], kind, *parents])
    return fingerprint(sorted(found, key=str))[:6]


def _nested(model: keras.Model) -> Iterator[keras.Model]:
    """Yield the models inside a model, also those inside these."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _nested(layer)
