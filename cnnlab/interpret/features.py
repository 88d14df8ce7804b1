"""What a layer has learnt and what it answers: its filters, its activations."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnlab.interpret.gradients import batch_of_one, to_numpy
from cnnlab.layers import explained, find, leaves, listening, names


def filters(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """Return the weights of a convolution's filters, without their biases.

    Args:
        model: Any Keras model.
        layer: Name of a 2-D convolution; None takes the first one.

    Returns:
        float32 (kernel height, kernel width, input channels, filters), any range.

    Raises:
        ValueError: No such layer, or it isn't a 2-D convolution.
    """
    for candidate in leaves(model) if layer is None else [find(model, layer)]:
        kernel = getattr(candidate, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            return np.array(keras.ops.convert_to_numpy(kernel), np.float32)
    raise ValueError(
        "Expected a layer with filters (height, width, input channels, filters). "
        f"Received: layer={layer!r}. Layers: {names(model)}"
    )


def activations(
    model: keras.Model, image: np.ndarray, layers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Return what layers answer to one picture.

    Args:
        model: Any Keras model.
        image: uint8 or float32 (h, w, channels) in 0…255.
        layers: Names of layers; None takes every layer whose output is a stack of maps.

    Returns:
        Name -> float32 (height, width, channels), in the order of `layers` (for None: in which
        they run); (units,) for a named layer without maps. A layer that runs more than once
        is given as it answered last.

    Raises:
        ValueError: No such layer, or a layer that this picture doesn't pass through.
    """
    layers = [layers] if isinstance(layers, str) else layers
    listened = leaves(model) if layers is None else [find(model, name) for name in layers]
    heard = {}

    def keep(layer: keras.Layer, inputs: tf.Tensor, output: tf.Tensor) -> None:
        heard[layer.name] = output

    batch = batch_of_one(image)
    with explained(model, batch.shape), listening(listened, keep):
        model(batch, training=False)
    if layers is None:
        layers = [name for name, output in heard.items() if output.ndim == 4]
    silent = [name for name in layers if name not in heard]
    if silent:
        raise ValueError(
            "Expected layers that the picture passes through, each with one tensor as its output. "
            f"Received: layers={silent}"
        )
    return {name: to_numpy(heard[name][0]) for name in layers}
