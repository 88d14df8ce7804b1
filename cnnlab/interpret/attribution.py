"""What in a picture speaks for a class: Grad-CAM and occlusion."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from cnnlab.evaluation import probabilities
from cnnlab.images import whole_number
from cnnlab.interpret.gradients import (
    batch_of_one,
    checked,
    maps_of,
    require_index,
    take_gradient,
    to_numpy,
)
from cnnlab.layers import (
    compiled,
    explained,
    final_activation,
    find,
    leaves,
    listening,
    one_output,
    output_layer,
)


def grad_cam(
    model: keras.Model, image: np.ndarray, class_index: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Map where a picture speaks for a class: `grad_cam_map` without its negative part, enlarged.

    Each map is scaled by its own maximum, so that maps of two pictures or classes can't be compared
    in strength; `grad_cam_map` can.

    Args:
        model: Takes pixels, ends in logits, a softmax or sigmoids; or has one output for two
            classes, the logit of class 1 or its sigmoid.
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
    """Compute Grad-CAM before rectifying: a layer's maps added up, each times its mean gradient.

    The gradient is that of the class's logit: a softmax's vanishes where the model is sure, and
    mixes in the other classes. Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2;
    their ReLU, and enlarging, are left to `grad_cam`.

    Args:
        model: Takes pixels, ends in logits, a softmax or sigmoids; or has one output for two
            classes, the logit of class 1 or its sigmoid.
        image: uint8 or float32 (h, w, channels) in 0…255.
        class_index: The class; None takes the predicted one.
        layer: Name of a layer with maps; None takes the last maps before pooling or flattening.

    Returns:
        float32 (height, width) at the layer's size: above 0 speaks for the class, below against.

    Raises:
        ValueError: No such class or layer; a layer without maps, or one that doesn't lead to
            the logits; a model with several outputs; numbers that aren't pixels.
    """
    require_index(class_index)
    index = tf.constant(-1 if class_index is None else class_index, tf.int32)
    logits, maps, by_map = compiled(_class_gradient, model, layer, batch_of_one(image), index)
    if not np.isfinite(logits).all():
        raise ValueError(f"Expected finite logits. Received: {logits.numpy()}")
    _class_index(logits.numpy(), class_index)
    weights = tf.reduce_mean(checked(by_map), axis=(1, 2))
    return to_numpy(tf.einsum("bhwc,bc->hw", tf.cast(maps, tf.float32), weights))


def occlusion(
    model: keras.Model,
    image: np.ndarray,
    class_index: int | None = None,
    *,
    patch: int = 8,
    stride: int = 4,
    fill: float | Sequence[float] | None = None,
    score: str = "probability",
    batch_size: int = 32,
) -> np.ndarray:
    """Measure how much a class's probability drops when a square of the picture is covered.

    Where a model is sure, the probability hardly moves, whatever is covered; the margin does.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", 4.2.

    Args:
        model: As for `evaluation.probabilities`.
        image: uint8 or float32 (h, w, channels) in 0…255.
        class_index: The class; None takes the predicted one.
        patch: Side of the square in pixels.
        stride: Step between squares in pixels, at most `patch`; the last square of each row
            and column is moved so that it ends at the edge.
        fill: Colour of the square in 0…255; None takes the picture's mean colour.
        score: What drops: "probability", or "margin", by how much the class's logit is above the
            largest of the others; below 0 the class isn't the predicted one.
        batch_size: Covered pictures at a time.

    Returns:
        float32 (h, w): for each pixel the mean drop over the squares that cover it. Of a
        probability in -1…1, of a margin in units of a logit (nats).

    Raises:
        ValueError: No such class, score or colour, or a patch or stride that doesn't fit.
    """
    if score not in _SCORES:
        raise ValueError(f"Expected one of {', '.join(_SCORES)}. Received: score={score!r}")
    require_index(class_index)
    patch, stride = whole_number(patch, "patch"), whole_number(stride, "stride")
    batch_size = whole_number(batch_size, "batch_size")
    pixels = batch_of_one(image)[0].numpy().astype(np.float32)
    height, width = pixels.shape[:2]
    if not 1 <= stride <= patch <= min(height, width):
        raise ValueError(
            f"Expected 1 <= stride <= patch <= {min(height, width)} (the picture's shorter side). "
            f"Received: patch={patch}, stride={stride}"
        )
    cover = pixels.mean(axis=(0, 1)) if fill is None else _colour(fill, pixels.shape[2])
    before = probabilities(model, pixels[None])
    index = _class_index(before[0], class_index)
    [whole] = _SCORES[score](before, index)
    corners = [
        (y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)
    ]
    drops, covers = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(corners), batch_size):
        some = corners[start : start + batch_size]
        covered = np.repeat(pixels[None], len(some), axis=0)
        for copy, (y, x) in zip(covered, some, strict=True):
            copy[y : y + patch, x : x + patch] = cover
        after = _SCORES[score](probabilities(model, covered), index)
        for left, (y, x) in zip(after, some, strict=True):
            drops[y : y + patch, x : x + patch] += whole - left
            covers[y : y + patch, x : x + patch] += 1
    return (drops / covers).astype(np.float32)


def _colour(fill: float | Sequence[float], channels: int) -> np.ndarray:
    """Return a colour in 0…255, checked: one number, or one for each channel."""
    try:
        colour = np.asarray(fill, np.float32)
    except (TypeError, ValueError):
        colour = np.full(channels, np.nan, np.float32)
    if colour.shape not in ((), (channels,)) or not ((colour >= 0) & (colour <= 255)).all():
        raise ValueError(
            f"Expected fill to be a number in 0…255, or {channels} of them, one for each channel. "
            f"Received: fill={fill!r}"
        )
    return colour


def _margin(table: np.ndarray, index: int) -> np.ndarray:
    """Compute from probabilities (n, classes) how far a class's logit is above all others."""
    # Logits, up to a constant of each row that the difference takes out.
    logits = np.log(np.maximum(table.astype(np.float64), np.finfo(np.float32).tiny))
    return logits[:, index] - np.delete(logits, index, axis=1).max(axis=1)


_SCORES = {"probability": lambda table, index: table[:, index], "margin": _margin}


def _class_gradient(
    model: keras.Model, layer: str | None, batch: tf.Tensor, index: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Return logits, a layer's maps and the gradient of one logit (-1: the largest) by them."""
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
        score = tf.reduce_sum(chosen * logits)
    maps = _last_maps(heard) if layer is None else maps_of(layer, heard)
    return logits, maps, take_gradient(tape, score, maps)


def _logits(model: keras.Model, batch: tf.Tensor) -> tf.Tensor:
    """Compute a model's answer to one picture, float32 (classes,), taken before the activation.

    One output for two classes is the logit z of class 1; of class 0 it is -z.
    """
    activation, last, before = final_activation(model), output_layer(model), []
    note = lambda layer, inputs, output: before.append(inputs)  # noqa: E731
    with explained(model, batch.shape), listening([last], note):
        outputs = model(batch, training=False)
    logits = outputs = one_output(model, outputs)
    if activation != "logits":
        logits = before[-1]
        if isinstance(last, keras.layers.Dense):
            logits = keras.ops.matmul(tf.cast(logits, tf.float32), last.kernel)
            logits = logits if last.bias is None else logits + last.bias
    if logits.ndim != 2 or not logits.shape.is_compatible_with(outputs.shape):
        raise ValueError(
            "Expected a model that gives one logit per class. "
            f"Received: model={model.name!r} with an output of shape {outputs.shape}"
        )
    logits = tf.cast(logits[0], tf.float32)
    return tf.concat([-logits, logits], 0) if logits.shape[0] == 1 else logits


def _class_index(scores: np.ndarray, class_index: int | None) -> int:
    """Return the class asked for, checked to be one, or the one with the highest score."""
    if class_index is None:
        return int(scores.argmax())
    if not 0 <= class_index < len(scores):
        raise ValueError(
            f"Expected a class index in 0…{len(scores) - 1}, or None for the predicted class. "
            f"Received: class_index={class_index}"
        )
    return int(class_index)


def _last_maps(heard: list[tuple[keras.Layer, tf.Tensor]]) -> tf.Tensor:
    """Return the last maps before pooling or flattening, activated.

    They are as large as those that the last layer with kernels, of whatever class, has made: what
    comes after it and keeps their size belongs to them, what pools them doesn't.
    """
    maps = [(layer, out) for layer, out in heard if out.ndim == 4 and out.shape[1:3] != (1, 1)]
    sizes = [out.shape[1:3] for layer, out in maps if any(len(w.shape) > 1 for w in layer.weights)]
    if not sizes:
        raise ValueError(
            "Expected a model with a 2-D convolution, or another layer with kernels, whose maps "
            "are larger than 1×1. "
            f"Received: one with the layers {', '.join(layer.name for layer, out in heard)}"
        )
    return [out for layer, out in maps if out.shape[1:3] == sizes[-1]][-1]


def _starts(length: int, patch: int, stride: int) -> list[int]:
    """List where squares begin along a side, the last one at the very end of it."""
    return [*range(0, length - patch, stride), length - patch]
