"""Hypercolumns: the features of all layers at one place, and the places where they are alike.

Sources: Hariharan et al. 2015, https://arxiv.org/abs/1411.5752 (hypercolumns); Kolkin et al. 2022,
https://arxiv.org/abs/2203.13215 (these layers, this grid, the centred cosine).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnlab.style.laplacian import resized

# The convolutions of the first four blocks and each block's share of a hypercolumn's square,
# about what it is in ImageNet's VGG when features are divided by their number of channels.
LAYERS = tuple(
    f"block{block}_conv{i}"
    for block, n in enumerate((2, 2, 3, 3), start=1)
    for i in range(1, n + 1)
)
BLOCK_SHARES = {"block1": 0.1, "block2": 0.15, "block3": 0.25, "block4": 0.5}
COARSER = 4  # sides of a picture in units of its hypercolumns' grid
SIMILARITIES = 2**26  # in memory at a time
SMALL = 1e-8


def centered_directions(rows: tf.Tensor) -> tf.Tensor:
    """Return rows (n, channels) less their mean, scaled to length 1."""
    return tf.math.l2_normalize(rows - tf.reduce_mean(rows, 0), axis=1, epsilon=SMALL)


def nearest(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Return for each query the number of the key with the largest centred cosine, int64 (n,).

    Args:
        queries: (n, channels).
        keys: (m, channels). Each of the two is centred by its own mean.
    """
    queries, keys = centered_directions(queries), centered_directions(keys)
    chunk = max(1, SIMILARITIES // keys.shape[0])
    found = [
        tf.argmax(tf.matmul(queries[i : i + chunk], keys, transpose_b=True), axis=1)
        for i in range(0, queries.shape[0], chunk)
    ]
    return tf.concat(found, 0)


def hypercolumns(
    features: dict[str, tf.Tensor], factors: dict[str, tf.Tensor], shape: tuple[int, int]
) -> tf.Tensor:
    """Resize all layers to one grid and put each place's features in a row.

    Args:
        features: Layer name -> (1, h, w, channels).
        factors: Layer name -> scalar to multiply with.
        shape: The grid's height and width.

    Returns:
        float32 (height · width, channels of all layers).
    """
    maps = [
        resized(factors[name] * tf.cast(own, tf.float32), shape, corners=True)
        for name, own in features.items()
    ]
    return tf.reshape(tf.concat(maps, -1), (shape[0] * shape[1], -1))


def grid(pixels: tf.Tensor) -> tuple[int, int]:
    """Return the height and width of the grid of a picture's hypercolumns."""
    return max(1, pixels.shape[1] // COARSER), max(1, pixels.shape[2] // COARSER)


def layer_factors(features: Sequence[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """Return what makes the mean square of each layer's part of a hypercolumn its share.

    Args:
        features: Of each style, layer name -> (1, h, w, channels).
    """
    factors = {}
    for name in features[0]:
        block = name.partition("_")[0]
        members = sum(other.startswith(block) for other in features[0])
        squares = [tf.reduce_mean(tf.square(tf.cast(own[name], tf.float32))) for own in features]
        energy = features[0][name].shape[-1] * tf.reduce_mean(squares)
        factors[name] = tf.sqrt(BLOCK_SHARES[block] / members / (energy + SMALL))
    return factors
