"""What the methods of this room share: a picture in, a layer's maps and their gradients out."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnlab.images import require_pixels

# Gradients of float16 layers vanish below 6e-8: they are taken of SCALE times the target and
# divided in float32. A power of two, so that it costs no digit.
SCALE = 1024.0


def batch_of_one(image: np.ndarray) -> tf.Tensor:
    """Check a picture (h, w, channels) and put it, as float32, in a batch of its own."""
    pixels = np.asarray(image)
    if pixels.ndim != 3:
        raise ValueError(
            f"Expected one picture (h, w, channels). Received: image.shape={pixels.shape}"
        )
    require_pixels(pixels, "image")
    return tf.cast(tf.convert_to_tensor(pixels[None]), tf.float32)


def require_index(class_index: int | None) -> None:
    """Refuse a class index of another type than a whole number; its range is the model's."""
    whole = isinstance(class_index, int | np.integer) and not isinstance(class_index, bool)
    if not (class_index is None or whole):
        raise ValueError(
            "Expected class_index to be a whole number, or None for the predicted class. "
            f"Received: class_index={class_index!r}"
        )


def maps_of(name: str, heard: list[tuple[keras.Layer, tf.Tensor]]) -> tf.Tensor:
    """Return what the named layer answered last, checked to be maps."""
    output = heard[-1][1] if heard else None
    if output is None or output.ndim != 4:
        raise ValueError(
            "Expected a layer that gives maps (height, width, channels). Received: "
            f"layer={name!r} with an output of shape {None if output is None else output.shape}"
        )
    return output


def take_gradient(tape: tf.GradientTape, target: tf.Tensor, source: tf.Tensor) -> tf.Tensor | None:
    """Take the gradient of a float32 target, summed, by a source; None if none leads there.

    Returns:
        float32, shaped like the source.
    """
    scaled = tape.gradient(target, source, tf.fill(tf.shape(target), SCALE))
    return None if scaled is None else tf.cast(scaled, tf.float32) / SCALE


def checked(gradient: tf.Tensor | None) -> tf.Tensor:
    """Return a gradient that is there and finite; refuse any other."""
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


def to_numpy(tensor: tf.Tensor) -> np.ndarray:
    """Return a tensor of any precision as a float32 array."""
    return tf.cast(tensor, tf.float32).numpy()
