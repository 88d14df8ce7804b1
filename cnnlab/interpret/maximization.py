"""Pictures that a channel of a network answers to as strongly as it can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from cnnlab.images import whole_number
from cnnlab.layers import find, listening, names

# How the colours of natural pictures vary together, as a mixing matrix of three independent ones:
# first light and dark, then blue against yellow, then green against magenta. From the source below.
MIX = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
MIX /= np.linalg.norm(MIX, axis=0).max()


def maximize(
    model: keras.Model,
    layer: str,
    channels: Sequence[int],
    *,
    size: int = 128,
    steps: int = 256,
    learning_rate: float = 0.05,
    jitter: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """Paint a picture for each of some channels that makes it answer as strongly as it can.

    Gradient ascent on the channel's mean over the picture, before the ReLU, which would be deaf to
    a channel that doesn't answer yet. On pixels it ends in high-frequency noise. So the picture
    is written as waves whose strength falls with their frequency and as colours that vary
    independently, as those of photographs do, and moved by a few pixels at each step.

    Source: Olah et al. 2017, "Feature Visualization", https://distill.pub/2017/feature-visualization,
    of whose transformations only the shift is taken.

    Args:
        model: Any Keras model that takes pixels of `size`.
        layer: Name of a layer with maps, also in a nested model.
        channels: Which of its channels.
        size: Side of the pictures in pixels.
        steps: Steps of Adam.
        learning_rate: Adam's.
        jitter: Largest shift in pixels from the middle.
        seed: The same seed gives the same pictures.

    Returns:
        uint8 (len(channels), size, size, 3).

    Raises:
        ValueError: No such layer or channel, or a layer without maps.
    """
    whole_number(size, "size")
    whole_number(steps, "steps")
    side, target = size + 2 * jitter, find(model, layer)
    _check(model, target, channels)
    rng = np.random.default_rng(seed)
    shape = (len(channels), 3, 2, side, side // 2 + 1)  # 2: real and imaginary part
    waves = keras.Variable(rng.normal(scale=0.01, size=shape), dtype="float32")
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build([waves])
    pick = np.stack([np.arange(len(channels)), channels], axis=-1)

    scalar = tf.TensorSpec((), tf.int32)

    @tf.function(input_signature=(scalar, scalar), jit_compile=False)
    def step(y: tf.Tensor, x: tf.Tensor) -> None:
        heard = []
        with tf.GradientTape() as tape:
            pixels = pixels_from_waves(waves, side)[:, y : y + size, x : x + size]
            with listening([target], lambda layer, inputs, output: heard.append(output)):
                model(tf.ensure_shape(pixels, (len(channels), size, size, 3)), training=False)
            means = tf.reduce_mean(tf.cast(heard[-1], tf.float32), axis=(1, 2))
            loss = -tf.reduce_sum(tf.gather_nd(means, pick))
        optimizer.apply(tape.gradient(loss, [waves.value]), [waves])

    with _without_activation(target):
        ascend = step.get_concrete_function()
        for y, x in rng.integers(0, 2 * jitter + 1, size=(steps, 2), dtype=np.int32):
            ascend(tf.constant(y), tf.constant(x))
    middle = pixels_from_waves(waves, side)[:, jitter : jitter + size, jitter : jitter + size]
    return np.rint(middle).astype(np.uint8)


def _check(model: keras.Model, target: keras.Layer, channels: Sequence[int]) -> None:
    output = target.output
    if not isinstance(output, keras.KerasTensor) or len(output.shape) != 4:
        raise ValueError(
            "Expected a layer that gives maps (height, width, channels). "
            f"Received: layer={target.name!r}. Layers: {names(model)}"
        )
    listed = np.ndim(channels) == 1 and len(channels)
    if not listed or not all(0 <= channel < output.shape[-1] for channel in channels):
        raise ValueError(
            f"Expected a list of channels in 0…{output.shape[-1] - 1}. Received: {channels=}"
        )


def pixels_from_waves(waves: keras.Variable, side: int) -> tf.Tensor:
    """Turn waves into pixels.

    Args:
        waves: float32 (n, 3 independent colours, 2, side, side // 2 + 1): real and imaginary parts
            of spectra that have the same strength at all frequencies.
        side: Height and width in pixels.

    Returns:
        float32 (n, side, side, 3) in 0…255.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    strength = side / np.maximum(frequency, 1 / side) / 4
    spectrum = tf.complex(waves[:, :, 0] * strength, waves[:, :, 1] * strength)
    planes = tf.signal.irfft2d(spectrum, (side, side))
    colors = tf.einsum("nchw,rc->nhwr", planes, MIX)
    return 255 * tf.sigmoid(colors)


@contextmanager
def _without_activation(layer: keras.Layer) -> Iterator[None]:
    """Let a layer give, while open, what it has before its own activation function, if any."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        yield
        return
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation
