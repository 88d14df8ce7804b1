"""The network of the CIFAR-10 speed race, and the pieces that make it quick to train.

Whitening of 2×2 patches, three groups of convolutions with max pooling, normalization without a
scale, a calm linear head. Sources: D. Page 2018 (https://github.com/davidcpage/cifar10-fast) and
K. Jordan 2024 (https://arxiv.org/abs/2404.00498), who give the reasons at length.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

# Mean and standard deviation of CIFAR-10's training pixels, by channel, in 0…255.
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


def speed_net(
    widths: Sequence[int] = (64, 256, 256),
    *,
    depth: int = 2,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    activation: str = "silu",
    head_scale: float = 1 / 256,
    momentum: float = 0.6,
    pool: str = "window",
    whiten_bias: bool = False,
    name: str = "speed_net",
) -> keras.Model:
    """Build whitening, three groups of convolutions, a maximum over what is left, a linear head.

    Args:
        widths: Filters of each group.
        depth: Convolutions of a group; from the third on they sit inside a shortcut.
        input_shape: Height, width and channels of a picture in 0…255.
        num_classes: Number of logits.
        activation: Nonlinearity, by Keras's name.
        head_scale: What the logits are multiplied by. Small ones keep the first steps, which are
            large, from being sure before they know anything.
        momentum: Of normalization's statistics: the share of the past kept at each step.
        pool: "window" for `WindowMax`, "keras" for `MaxPooling2D`: the same maxima.
        whiten_bias: Whether the whitened channels get a bias to train.
        name: Name of the model.
    """
    pools = {"window": WindowMax, "keras": layers.MaxPooling2D}
    if pool not in pools:
        raise ValueError(f"Expected a kind of pooling. Received: pool={pool!r}. Kinds: {[*pools]}")
    inputs = keras.Input(input_shape, name="pixels")
    x = Whitening(bias=whiten_bias, name="whiten")(inputs)
    x = layers.Activation(activation, name="whiten_act")(x)
    for group, width in enumerate(widths, start=1):
        shortcut = None
        for i in range(1, depth + 1):
            part = f"group{group}_conv{i}"
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=part)(x)
            if i == 1:  # Before normalization: it keeps the same places, and leaves a quarter.
                x = pools[pool](2, name=f"{part}_pool")(x)
            x = CheapNormalization(momentum, name=f"{part}_norm")(x)
            if i == depth and shortcut is not None:
                x = layers.Add(name=f"group{group}_add")([x, shortcut])
            x = layers.Activation(activation, name=f"{part}_act")(x)
            if i == 1 and depth > 2:
                shortcut = x
    x = layers.GlobalMaxPooling2D(name="global_pool")(x)
    x = layers.Dense(num_classes, use_bias=False, dtype="float32", name="head")(x)
    x = layers.Rescaling(head_scale, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name)


def draw_weights(model: keras.Model, seed: int, *, head_std: float = 1.0) -> list[np.ndarray]:
    """Draw new weights for a `speed_net`, for `set_weights`; the whitening stays as it is.

    The first filters of each bank copy their input, one channel each, and the others are random: a
    deep network then starts as a shallow one. Normalization starts without shift.

    Args:
        model: From `speed_net`.
        seed: The same seed gives the same weights.
        head_std: Standard deviation of the head's weights.
    """
    chance = np.random.default_rng(seed)
    drawn = []
    for weight in model.weights:
        shape, frozen = weight.shape, "whiten" in weight.path
        if len(shape) == 4 and not frozen:
            drawn.append(_identity_first(shape, chance))
        elif len(shape) == 2:
            drawn.append(chance.normal(0, head_std, shape).astype(np.float32))
        elif weight.path.endswith("variance"):
            drawn.append(np.ones(shape, np.float32))
        elif frozen and not weight.path.endswith("bias"):
            drawn.append(np.asarray(weight))
        else:
            drawn.append(np.zeros(shape, np.float32))
    return drawn


def _identity_first(shape: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
    """Draw filters (height, width, inputs, outputs), the first of which copy an input."""
    height, width, inputs, outputs = shape
    limit = (height * width * inputs) ** -0.5
    kernel = chance.uniform(-limit, limit, shape).astype(np.float32)
    same = np.arange(min(inputs, outputs))
    kernel[..., same] = 0
    kernel[height // 2, width // 2, same, same] = 1
    return kernel


@keras.saving.register_keras_serializable("cnnlab")
class Whitening(layers.Layer):
    """A fixed 2×2 convolution that takes out what neighbouring pixels have in common.

    Its filters are the eigenvectors of the patches' covariance, each divided by the root of its
    eigenvalue, and their negatives, because the nonlinearity that follows keeps one sign only. It
    standardizes the pixels first. `fit_to` computes the filters; until then they are zeros.

    Args:
        size: Side of a patch in pixels.
        bias: Whether there is a bias, which is trained.
        epsilon: Added to the eigenvalues, so that directions with hardly any signal stay quiet.
    """

    def __init__(self, size: int = 2, *, bias: bool = False, epsilon: float = 5e-4, **kwargs):
        super().__init__(**kwargs)
        self.size, self.use_bias, self.epsilon = size, bias, epsilon

    def build(self, input_shape):
        channels = self.size**2 * input_shape[-1]
        shape = (self.size, self.size, input_shape[-1], 2 * channels)
        self.kernel = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def call(self, pixels):
        x = tf.nn.conv2d(self._standardize(pixels), self.kernel, strides=1, padding="VALID")
        return x if self.bias is None else x + self.bias

    def fit_to(self, pictures) -> None:
        """Compute the filters from pictures in 0…255, (n, height, width, channels)."""
        covariance = _covariance(self._standardize(tf.cast(pictures, "float32")), self.size)
        values, vectors = np.linalg.eigh(covariance.numpy().astype(np.float64))
        vectors = vectors / np.sqrt(values + self.epsilon)
        kernel = np.concatenate([vectors, -vectors], axis=1)
        self.kernel.assign(kernel.reshape(self.kernel.shape).astype(np.float32))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        less = self.size - 1
        return (batch, height - less, width - less, 2 * self.size**2 * channels)

    def _standardize(self, pixels):
        mean, std = tf.constant(MEAN, pixels.dtype), tf.constant(STD, pixels.dtype)
        return (pixels - mean) / std

    def get_config(self) -> dict:
        own = {"size": self.size, "bias": self.use_bias, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@tf.function
def _covariance(pixels, size: int):
    """Compute that of patches of standardized pixels, (channels, channels), without centring."""
    places = [(i, j) for i in range(size) for j in range(size)]
    height, width = pixels.shape[1] - size + 1, pixels.shape[2] - size + 1
    shifted = [pixels[:, i : i + height, j : j + width] for i, j in places]
    patches = tf.reshape(tf.concat(shifted, axis=-1), (-1, size**2 * pixels.shape[-1]))
    total = tf.cast(tf.shape(patches)[0], patches.dtype)
    return tf.matmul(patches, patches, transpose_a=True) / total


@keras.saving.register_keras_serializable("cnnlab")
class CheapNormalization(layers.Layer):
    """Batch normalization without a scale, its mean and variance from one pass over the input.

    A nonlinearity that hardly changes with scale follows and another normalization after it, so
    Keras's gamma has nothing to do. Statistics are float32 whatever the input is.

    Args:
        momentum: Share of the past that the running statistics keep at each step. A run has some
            two hundred steps, so they must settle in a few.
        epsilon: Added to the variance.
    """

    def __init__(self, momentum: float = 0.6, *, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        size = input_shape[-1:]
        self.beta = self._float32("beta", size, "zeros", trainable=True)
        self.moving_mean = self._float32("moving_mean", size, "zeros")
        self.moving_variance = self._float32("moving_variance", size, "ones")

    def _float32(self, name: str, shape, initializer: str, *, trainable: bool = False):
        """Add a weight that stays float32: in half precision its small changes would be lost."""
        return self.add_weight(
            shape, initializer, "float32", trainable=trainable, autocast=False, name=name
        )

    def call(self, inputs, training=False):
        x = tf.cast(inputs, "float32")
        if training and self.trainable:
            mean = tf.reduce_mean(x, axis=(0, 1, 2))
            variance = tf.maximum(tf.reduce_mean(tf.square(x), axis=(0, 1, 2)) - mean**2, 0.0)
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1 - self.momentum) * now)
        else:
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
        scale = tf.math.rsqrt(variance + self.epsilon)
        return tf.cast((x - mean) * scale + self.beta, self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("cnnlab")
class WindowMax(layers.Layer):
    """Max pooling over windows that do not overlap, as maxima of slices.

    The same as `MaxPooling2D`, where windows that are not whole are dropped. Maxima of slices are
    simple arithmetic both ways, which XLA can join to what stands before and behind.

    Args:
        size: Side of the window in pixels.
    """

    def __init__(self, size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x):
        size, (height, width, channels) = self.size, x.shape[1:]
        rows, columns = height // size, width // size
        x = x[:, : rows * size, : columns * size]
        x = tf.reshape(x, (-1, rows, size, columns, size, channels))
        best = x[:, :, 0, :, 0]
        for place in range(1, size**2):
            best = tf.maximum(best, x[:, :, place // size, :, place % size])
        return best

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height // self.size, width // self.size, channels)

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size}
