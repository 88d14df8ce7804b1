"""How much of a picture one unit of a layer sees: by gradient, and by theory."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnlab.images import require_pixels
from cnnlab.interpret.gradients import checked, maps_of, take_gradient, to_numpy
from cnnlab.layers import compiled, explained, find, listening, nested


def receptive_field(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    """Measure how strongly each pixel moves the unit in the middle of a layer.

    That is the receptive field that counts: the gradient, by each pixel, of that unit's activations
    added over the layer's channels.
    Source: Luo et al. 2016, "Understanding the Effective Receptive Field in Deep CNNs".

    Args:
        model: Any Keras model.
        layer: Name of a layer with maps.
        images: uint8 or float32 (n, h, w, channels) in 0…255; a few dozen make a smooth picture.

    Returns:
        float32 (h, w): |gradient|, mean over pictures and colour channels.

    Raises:
        ValueError: No such layer, or one without maps; numbers that aren't pixels.
    """
    require_pixels(images, "images")
    pixels = tf.convert_to_tensor(np.asarray(images, np.float32))
    by_pixel = checked(compiled(_pixel_gradient, model, layer, pixels))
    return to_numpy(tf.reduce_mean(tf.abs(by_pixel), axis=(0, 3)))


def theoretical_receptive_field(model: keras.Model, layer: str) -> int:
    """Compute the side, in pixels, of the square that one unit of a layer can see.

    From kernel sizes, strides and dilations alone; of branches that meet, the widest counts. Other
    layers that keep height and width are taken to work point by point.
    Source: Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks".

    Args:
        model: A functional or Sequential model.
        layer: Name of a layer. Of a layer in a nested model, the pixels counted are those of
            the nested model's input.

    Raises:
        ValueError: No such layer, or a path to it through layers whose windows aren't known
            (flattening, global pooling, resizing).
    """
    target = find(model, layer)
    home = next(owner for owner in nested(model) if target in owner.layers)
    # For each tensor of the graph: the side of a unit's field, the step from unit to unit.
    fields = {id(tensor): (1, 1) for tensor in getattr(home, "inputs", None) or ()}
    # Only a functional model says which layer takes from which.
    steps = getattr(home, "operations", home.layers) if fields else ()
    for step in steps:
        window = _window(step)
        if window and all(id(tensor) in fields for tensor in _inputs(step)):
            size, stride = window
            side, jump = max(fields[id(tensor)] for tensor in _inputs(step))
            fields[id(step.output)] = (side + (size - 1) * jump, jump * stride)
        if step is target and id(step.output) in fields:
            return fields[id(step.output)][0]
    raise ValueError(
        "Expected a layer reached through convolutions, pooling and layers that keep height and "
        f"width, in a functional or Sequential model. Received: layer={layer!r}"
    )


def _window(step: keras.Operation) -> tuple[int, int] | None:
    """Return the side of the window that a unit of a layer reads, and its stride, if known."""
    unknown = keras.Model | keras.layers.InputLayer | keras.layers.Conv2DTranspose
    if isinstance(step, unknown) or not isinstance(step.output, keras.KerasTensor):
        return None
    size = getattr(step, "kernel_size", getattr(step, "pool_size", None))
    if size is not None:
        dilation = np.max(getattr(step, "dilation_rate", 1))
        stride = np.max(getattr(step, "strides", size))  # pooling windows lie side by side
        return int((np.max(size) - 1) * dilation + 1), int(stride)
    shifts_only = isinstance(step, keras.layers.ZeroPadding2D | keras.layers.Cropping2D)
    same = all(tensor.shape[1:3] == step.output.shape[1:3] for tensor in _inputs(step))
    return (1, 1) if same or shifts_only else None


def _inputs(step: keras.Operation) -> list[keras.KerasTensor]:
    return step.input if isinstance(step.input, list) else [step.input]


def _pixel_gradient(model: keras.Model, layer: str, pixels: tf.Tensor) -> tf.Tensor | None:
    """Take the gradient, by each pixel, of the unit in the middle of a layer."""
    heard, listened = [], [find(model, layer)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pixels)
        note = lambda *answer: heard.append(answer[::2])  # noqa: E731
        with explained(model, pixels.shape), listening(listened, note):
            model(pixels, training=False)
        maps = maps_of(layer, heard)
        height, width = maps.shape[1:3]
        unit = tf.cast(maps[:, height // 2, width // 2], tf.float32)
    return take_gradient(tape, unit, pixels)
