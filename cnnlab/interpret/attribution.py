"""What does a network look at? Filters, activations, Grad-CAM, occlusion, receptive fields.

For any Keras model that takes pixels, also for layers inside a model nested in it: a layer is
named by its own name, and the outermost layer of that name is meant. Everything runs in inference
mode (dropout off, batch norm on its stored statistics), and the model is left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from cnnlab.evaluation import probabilities
from cnnlab.layers import (
    compiled,
    ends_in_softmax,
    find,
    leaves,
    listening,
    names,
    nested,
    output_layer,
)

# Gradients of float16 layers vanish below 6e-8: they are taken of SCALE times the target and
# divided in float32. A power of two, so that it costs no digit.
SCALE = 1024.0


def filters(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """The weights of a convolution's filters, without their biases.

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
    """What layers answer to one picture.

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
    listened = leaves(model) if layers is None else [find(model, name) for name in layers]
    heard = {}

    def keep(layer: keras.Layer, inputs: tf.Tensor, output: tf.Tensor) -> None:
        heard[layer.name] = output

    with listening(listened, keep):
        model(_batch_of_one(image), training=False)
    if layers is None:
        layers = [name for name, output in heard.items() if output.ndim == 4]
    silent = [name for name in layers if name not in heard]
    if silent:
        raise ValueError(
            "Expected layers that the picture passes through, each with one tensor as its output. "
            f"Received: layers={silent}"
        )
    return {name: _numpy(heard[name][0]) for name in layers}


def grad_cam(
    model: keras.Model, image: np.ndarray, class_index: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Where a picture speaks for a class: `grad_cam_map` without its negative part, enlarged.

    Each map is scaled by its own maximum, so that maps of two pictures or classes can't be compared
    in strength; `grad_cam_map` can.

    Args:
        model: Takes pixels, ends in logits or in a softmax.
        image: uint8 or float32 (h, w, channels) in 0…255.
        class_index: The class; None takes the predicted one.
        layer: Name of a layer with maps; None takes the last maps before pooling or flattening.

    Returns:
        float32 (h, w), the picture's size, in 0…1; all 0 where nothing speaks for the class.

    Raises:
        ValueError: As `grad_cam_map`.
    """
    evidence = np.maximum(grad_cam_map(model, image, class_index, layer), 0)
    height, width = np.shape(image)[:2]
    enlarged = np.array(
        Image.fromarray(evidence).resize((width, height), Image.Resampling.BILINEAR)
    )
    peak = enlarged.max()
    return enlarged / peak if peak > 0 else enlarged


def grad_cam_map(
    model: keras.Model, image: np.ndarray, class_index: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Grad-CAM before rectifying: a layer's maps added up, each times its mean gradient.

    The gradient is that of the class's logit: a softmax's vanishes where the model is sure, and
    mixes in the other classes. Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2;
    their ReLU, and enlarging, are left to `grad_cam`.

    Args:
        model: Takes pixels, ends in logits or in a softmax.
        image: uint8 or float32 (h, w, channels) in 0…255.
        class_index: The class; None takes the predicted one.
        layer: Name of a layer with maps; None takes the last maps before pooling or flattening.

    Returns:
        float32 (height, width) at the layer's size: above 0 speaks for the class, below against.

    Raises:
        ValueError: No such class or layer; a layer without maps, or one that doesn't lead to
            the logits.
    """
    index = tf.constant(-1 if class_index is None else class_index, tf.int32)
    logits, maps, gradient = compiled(_class_gradient, model, layer, _batch_of_one(image), index)
    if not np.isfinite(logits).all():
        raise ValueError(f"Expected finite logits. Received: {logits.numpy()}")
    _class_index(logits.numpy(), class_index)
    weights = tf.reduce_mean(_checked(gradient), axis=(1, 2))
    return _numpy(tf.einsum("bhwc,bc->hw", tf.cast(maps, tf.float32), weights))


def occlusion(
    model: keras.Model,
    image: np.ndarray,
    class_index: int | None = None,
    *,
    patch: int = 8,
    stride: int = 4,
    fill: float | Sequence[float] | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """How much a class's probability drops when a square of the picture is covered.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", 4.2.

    Args:
        model: Takes pixels, ends in logits or in a softmax.
        image: uint8 or float32 (h, w, channels) in 0…255.
        class_index: The class; None takes the predicted one.
        patch: Side of the square in pixels.
        stride: Step between squares in pixels, at most `patch`; the last square of each row
            and column is moved so that it ends at the edge.
        fill: Colour of the square in 0…255; None takes the picture's mean colour.
        batch_size: Covered pictures at a time.

    Returns:
        float32 (h, w) in -1…1: for each pixel the mean drop over the squares that cover it.

    Raises:
        ValueError: No such class, or a patch or stride that doesn't fit.
    """
    pixels = _batch_of_one(image)[0].numpy().astype(np.float32)
    height, width = pixels.shape[:2]
    if not 1 <= stride <= patch <= min(height, width):
        raise ValueError(
            f"Expected 1 <= stride <= patch <= {min(height, width)} (the picture's shorter side). "
            f"Received: patch={patch}, stride={stride}"
        )
    before = probabilities(model, pixels[None])[0]
    index = _class_index(before, class_index)
    cover = pixels.mean(axis=(0, 1)) if fill is None else np.asarray(fill, np.float32)
    corners = [
        (y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)
    ]
    drops, covers = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(corners), batch_size):
        some = corners[start : start + batch_size]
        covered = np.repeat(pixels[None], len(some), axis=0)
        for copy, (y, x) in zip(covered, some, strict=True):
            copy[y : y + patch, x : x + patch] = cover
        after = probabilities(model, covered)[:, index]
        for p, (y, x) in zip(after, some, strict=True):
            drops[y : y + patch, x : x + patch] += before[index] - p
            covers[y : y + patch, x : x + patch] += 1
    return (drops / covers).astype(np.float32)


def receptive_field(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    """How strongly each pixel moves the unit in the middle of a layer: the field that counts.

    The gradient, by each pixel, of that unit's activations added over the layer's channels.
    Source: Luo et al. 2016, "Understanding the Effective Receptive Field in Deep CNNs".

    Args:
        model: Any Keras model.
        layer: Name of a layer with maps.
        images: uint8 or float32 (n, h, w, channels) in 0…255; a few dozen make a smooth picture.

    Returns:
        float32 (h, w): |gradient|, mean over pictures and colour channels.

    Raises:
        ValueError: No such layer, or one without maps.
    """
    pixels = tf.convert_to_tensor(np.asarray(images, np.float32))
    gradient = _checked(compiled(_pixel_gradient, model, layer, pixels))
    return _numpy(tf.reduce_mean(tf.abs(gradient), axis=(0, 3)))


def theoretical_receptive_field(model: keras.Model, layer: str) -> int:
    """Side, in pixels, of the square that one unit of a layer can see.

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
    for step in getattr(home, "operations", home.layers) if fields else ():
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
    """Side of the window that a unit of a layer reads, and its stride; None if not known."""
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


def _class_gradient(
    model: keras.Model, layer: str | None, batch: tf.Tensor, index: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Logits, a layer's maps, and the gradient of one logit by them; -1 takes the largest logit."""
    listened = leaves(model) if layer is None else [find(model, layer)]
    heard = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def keep(layer: keras.Layer, inputs: tf.Tensor, output: tf.Tensor) -> None:
            if output.dtype.is_floating:
                tape.watch(output)
                heard.append((layer, output))

        with listening(listened, keep):
            logits = _logits(model, batch)
        largest = tf.argmax(logits, output_type=tf.int32)
        # One-hot, because a wrong index is refused later, with a message of our own.
        chosen = tf.one_hot(tf.where(index < 0, largest, index), tf.size(logits))
        score = SCALE * tf.reduce_sum(chosen * logits)
    maps = _last_maps(heard) if layer is None else _maps(layer, heard)
    return logits, maps, _gradient(tape, score, maps)


def _pixel_gradient(model: keras.Model, layer: str, pixels: tf.Tensor) -> tf.Tensor | None:
    """The gradient, by each pixel, of the unit in the middle of a layer."""
    heard = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pixels)
        with listening([find(model, layer)], lambda *answer: heard.append(answer[::2])):
            model(pixels, training=False)
        maps = _maps(layer, heard)
        height, width = maps.shape[1:3]
        unit = SCALE * tf.cast(maps[:, height // 2, width // 2], tf.float32)
    return _gradient(tape, unit, pixels)


def _logits(model: keras.Model, batch: tf.Tensor) -> tf.Tensor:
    """A model's answer to one picture, float32 (classes,), taken before a final softmax."""
    last, before = output_layer(model), []
    with listening([last], lambda layer, inputs, output: before.append(inputs)):
        logits = outputs = model(batch, training=False)
    if ends_in_softmax(model):
        logits = before[-1]
        if isinstance(last, keras.layers.Dense):
            logits = keras.ops.matmul(tf.cast(logits, tf.float32), last.kernel)
            logits = logits if last.bias is None else logits + last.bias
    if logits.ndim != 2 or not logits.shape.is_compatible_with(outputs.shape):
        raise ValueError(
            "Expected a model that gives one logit per class. "
            f"Received: model={model.name!r} with an output of shape {outputs.shape}"
        )
    return tf.cast(logits[0], tf.float32)


def _class_index(scores: np.ndarray, class_index: int | None) -> int:
    if class_index is None:
        return int(scores.argmax())
    if not 0 <= class_index < len(scores):
        raise ValueError(
            f"Expected a class index in 0…{len(scores) - 1}, or None for the predicted class. "
            f"Received: class_index={class_index}"
        )
    return int(class_index)


def _maps(name: str, heard: list[tuple[keras.Layer, tf.Tensor]]) -> tf.Tensor:
    """What the named layer answered last, checked to be maps."""
    output = heard[-1][1] if heard else None
    if output is None or output.ndim != 4:
        raise ValueError(
            "Expected a layer that gives maps (height, width, channels). Received: "
            f"layer={name!r} with an output of shape {None if output is None else output.shape}"
        )
    return output


def _last_maps(heard: list[tuple[keras.Layer, tf.Tensor]]) -> tf.Tensor:
    """The last maps as large as the last convolution's: after its activation, before pooling."""
    maps = [(layer, out) for layer, out in heard if out.ndim == 4 and max(out.shape[1:3]) > 1]
    sizes = [out.shape[1:3] for layer, out in maps if hasattr(layer, "kernel_size")]
    if not sizes:
        raise ValueError(
            "Expected a model with a 2-D convolution whose maps are larger than 1×1. "
            f"Received: one with the layers {', '.join(layer.name for layer, out in heard)}"
        )
    return [out for layer, out in maps if out.shape[1:3] == sizes[-1]][-1]


def _gradient(tape: tf.GradientTape, target: tf.Tensor, source: tf.Tensor) -> tf.Tensor | None:
    """Gradient of SCALE times something, divided by SCALE: float32, shaped like `source`."""
    gradient = tape.gradient(target, source)
    return None if gradient is None else tf.cast(gradient, tf.float32) / SCALE


def _checked(gradient: tf.Tensor | None) -> tf.Tensor:
    if gradient is None:
        raise ValueError(
            "Expected the layer to lie between the pixels and the logits, on a path of "
            "differentiable steps. Received: one without a gradient"
        )
    if not np.isfinite(gradient).all():
        raise ValueError(
            "Expected a finite gradient. Received: NaN or infinity, as the square root gives at 0 "
            "and float16 beyond 65,504"
        )
    return gradient


def _batch_of_one(image: np.ndarray) -> tf.Tensor:
    pixels = np.asarray(image)
    if pixels.ndim != 3:
        raise ValueError(
            f"Expected one picture (h, w, channels). Received: image.shape={pixels.shape}"
        )
    return tf.convert_to_tensor(pixels[None])


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """Where squares begin along a side, the last one at the very end of it."""
    return [*range(0, length - patch, stride), length - patch]


def _numpy(tensor: tf.Tensor) -> np.ndarray:
    return tf.cast(tensor, tf.float32).numpy()
