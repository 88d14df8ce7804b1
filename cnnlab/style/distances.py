"""Distances between pictures: content, style and total variation.

Every loss here is a ratio: an error over the size of what should have been. It is 0 at its own
target and about 1 for features that have nothing of it, whatever the picture's size, the layer or
the network. So the weights of a style transfer mean the same everywhere. Gatys et al. use sums and
divide by constants instead, and their weights have to be found anew for every setting.

Sources: Gatys, Ecker and Bethge 2015 (content, Gram matrices), https://arxiv.org/abs/1508.06576;
Huang and Belongie 2017 (mean and deviation), https://arxiv.org/abs/1703.06868; K. Crowson's
style-transfer-pytorch (Wasserstein-2, nine-point total variation).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

STYLE_LOSSES = ("gram", "wasserstein", "moments")
LOSS_FORMS = ("squared", "scaled")
SMALL = 1e-12
# Covariances get this share of their mean variance on the diagonal, so that they have a root that
# single precision can find, and a slope there.
RIDGE = 1e-3
ROOT_ITERATIONS = 14


class Statistics(NamedTuple):
    """The style of a picture in one layer: first and second moments of its features.

    Attributes:
        mean: (..., channels), the mean over positions.
        second: The mean of the products of any two channels, (..., channels, channels): the Gram
            matrix; or of each with itself only, (..., channels), which is enough for "moments".
        size: (...,), what errors are divided by; of a target alone.
        root: The square root of the covariance, (..., channels, channels); of a target of
            "wasserstein" alone.
    """

    mean: tf.Tensor
    second: tf.Tensor
    size: tf.Tensor | None = None
    root: tf.Tensor | None = None


def gram_matrix(features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Compute the mean over positions of the products of any two channels.

    It is a mean, where Gatys et al. have a sum, so that it doesn't grow with the picture.

    Args:
        features: (..., height, width, channels).
        mask: Weight of each position, (height, width), of which at least one is positive.

    Returns:
        (..., channels, channels), symmetric, positive semi-definite.
    """
    rows = _rows(features)
    if mask is None:
        return tf.matmul(rows, rows, transpose_a=True) / tf.cast(tf.shape(rows)[-2], rows.dtype)
    return tf.matmul(rows * _shares(mask, rows.dtype), rows, transpose_a=True)


def statistics(
    features: tf.Tensor, style_loss: str = "gram", mask: tf.Tensor | None = None
) -> Statistics:
    """Compute the statistics that a style loss compares, in float32 or a longer float given.

    Args:
        features: (1, height, width, channels), float32 or a shorter float.
        style_loss: One of `STYLE_LOSSES`.
        mask: As for `gram_matrix`.

    Returns:
        Those of the whole picture, or of the positions under the mask.
    """
    found = batch_statistics(features, style_loss, mask)
    return Statistics(found.mean[0], found.second[0])


def batch_statistics(
    features: tf.Tensor, style_loss: str = "gram", mask: tf.Tensor | None = None
) -> Statistics:
    """Compute the statistics of each picture of a batch, (n, height, width, channels)."""
    if style_loss == "gram":
        second = _at_least_single(gram_matrix(features, mask))
        return Statistics(tf.zeros_like(second[..., 0]), second)  # the mean isn't compared
    features = _at_least_single(features)
    rows = _rows(features)
    if mask is None:
        mean, squares = tf.reduce_mean(rows, -2), tf.reduce_mean(tf.square(rows), -2)
    else:
        shares = _shares(mask, rows.dtype)
        mean = tf.reduce_sum(shares * rows, -2)
        squares = tf.reduce_sum(shares * tf.square(rows), -2)
    if style_loss == "moments":
        return Statistics(mean, squares)
    return Statistics(mean, gram_matrix(features, mask))


def style_target(wanted: Statistics, style_loss: str = "gram") -> Statistics:
    """Prepare statistics as the target of `style_distance`: what it can compute beforehand."""
    if style_loss == "gram":
        return wanted._replace(size=tf.reduce_sum(tf.square(wanted.second), (-2, -1)) + SMALL)
    if style_loss == "moments":
        return wanted._replace(size=tf.reduce_sum(wanted.second, -1) + SMALL)
    energy = tf.linalg.trace(wanted.second) + SMALL
    return wanted._replace(size=energy, root=matrix_roots(_covariance(wanted, energy))[0])


def style_distance(
    found: Statistics,
    target: Statistics,
    style_loss: str = "gram",
    loss_form: str = "squared",
) -> tf.Tensor:
    """Compute how far apart two styles are in one layer: (...,), 0 if they are the same.

    "gram": the squared error of the Gram matrix, over the square of the one wanted.
    "wasserstein": the squared Wasserstein-2 distance between normal distributions with these means
    and covariances, over the mean square of the features wanted: the least share of their energy
    that has to be moved.
    "moments": the same distance as if channels were independent: the squared errors of their means
    and standard deviations, as in AdaIN.

    The loss form "scaled" makes the first and the last a ratio of `scaled_error`s, and takes the
    root of the distance of "wasserstein": all three then grow with the error, not with its square.
    """
    if style_loss == "gram":
        if loss_form == "scaled":
            return scaled_error(found.second - target.second) / scaled_error(target.second)
        error = tf.square(found.second - target.second)
        return tf.reduce_sum(error, (-2, -1)) / target.size
    error = tf.reduce_sum(tf.square(found.mean - target.mean), -1)
    if style_loss == "moments":
        deviations = _deviations(target)
        if loss_form == "scaled":
            errors = found.mean - target.mean, _deviations(found) - deviations
            size = scaled_error(tf.concat([target.mean, deviations], 0))
            return scaled_error(tf.concat(errors, 0)) / size
        squares = tf.square(_deviations(found) - deviations)
        return (error + tf.reduce_sum(squares, -1)) / target.size
    covariance = _covariance(found, target.size)
    error += tf.linalg.trace(covariance) + tf.reduce_sum(tf.square(target.root), (-2, -1))
    error -= 2 * trace_of_root(target.root @ covariance @ target.root)
    if loss_form == "scaled":
        return tf.sqrt(tf.maximum(error / target.size, 0) + SMALL)
    return error / target.size


def content_distance(
    found: tf.Tensor,
    wanted: tf.Tensor,
    loss_form: str = "squared",
    axis: tuple[int, ...] | None = None,
) -> tf.Tensor:
    """Divide the mean squared error of features by the mean square of those wanted.

    Args:
        found: (..., channels), any float; compared in float32 at least.
        wanted: The same shape.
        loss_form: "scaled" divides `scaled_error`s instead, over all axes.
        axis: Those to take the means over; None: all, which makes a scalar.
    """
    found, wanted = _at_least_single(found), _at_least_single(wanted)
    if loss_form == "scaled":
        return scaled_error(found - wanted) / (scaled_error(wanted) + SMALL)
    error = tf.reduce_mean(tf.square(found - wanted), axis)
    return error / (tf.reduce_mean(tf.square(wanted), axis) + SMALL)


def scaled_error(error: tf.Tensor) -> tf.Tensor:
    """Divide the sum of squares by the sum of absolute values: a scalar, in the error's own units.

    A square's slope vanishes on the way to its target, this one's doesn't: the sum of its absolute
    derivatives stays about 1, so a layer pulls as hard near the target as far from it.

    Source: K. Crowson, style-transfer-pytorch (ScaledMSELoss).
    """
    return tf.reduce_sum(tf.square(error)) / (tf.reduce_sum(tf.abs(error)) + SMALL)


def total_variation(pixels: tf.Tensor, axis: tuple[int, ...] | None = None) -> tf.Tensor:
    """Compute the mean squared difference between neighbours, in 0…1.

    Neighbours across corners count too, a quarter as much as those across edges, so that a slope
    costs about the same in any direction.

    Args:
        pixels: (..., h, w, channels) in 0…255, with sides of at least 2.
        axis: Those to take the means over; None: all, which makes a scalar.
    """
    x = pixels / 255
    across = x[..., :, 1:, :] - x[..., :, :-1, :]
    down = x[..., 1:, :, :] - x[..., :-1, :, :]
    falling = x[..., 1:, 1:, :] - x[..., :-1, :-1, :]
    rising = x[..., 1:, :-1, :] - x[..., :-1, 1:, :]
    edges = tf.reduce_mean(tf.square(across), axis) + tf.reduce_mean(tf.square(down), axis)
    corners = tf.reduce_mean(tf.square(falling), axis) + tf.reduce_mean(tf.square(rising), axis)
    return (4 * edges + corners) / 6


def matrix_roots(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the square root of a positive definite matrix (..., c, c), and the root's inverse.

    Newton and Schulz's iteration is only products of matrices: on a GPU much faster than
    eigenvalues. Eigenvalues under about 1e-5 of the norm don't get there and come out too small.

    Source: N. Higham 2008, Functions of Matrices, section 6.7.
    """
    norm = tf.norm(matrix, axis=(-2, -1), keepdims=True) + SMALL
    eye = tf.eye(matrix.shape[-1], dtype=matrix.dtype)
    root, inverse = matrix / norm, eye
    for _ in range(ROOT_ITERATIONS):
        correction = 1.5 * eye - 0.5 * inverse @ root
        root, inverse = root @ correction, correction @ inverse
    return root * tf.sqrt(norm), inverse / tf.sqrt(norm)


@tf.custom_gradient
def trace_of_root(matrix: tf.Tensor) -> tf.Tensor:
    """Compute the trace of the square root of a positive definite matrix.

    Its gradient is half the inverse root, which the iteration has found already: there is no need
    to differentiate through the iteration.
    """
    root, inverse = matrix_roots(matrix)
    return tf.linalg.trace(root), lambda upstream: 0.5 * upstream[..., None, None] * inverse


def _at_least_single(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _rows(features: tf.Tensor) -> tf.Tensor:
    """Reshape (..., height, width, channels) to (..., height·width, channels)."""
    shape = tf.shape(features)
    rows = tf.concat([shape[:-3], [shape[-3] * shape[-2]], shape[-1:]], 0)
    return tf.reshape(features, rows)


def _shares(mask: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return a mask as shares of the whole, a column (positions, 1)."""
    return tf.cast(tf.reshape(mask / tf.reduce_sum(mask), (-1, 1)), dtype)


def _deviations(statistics: Statistics) -> tf.Tensor:
    variance = statistics.second - tf.square(statistics.mean)
    return tf.sqrt(tf.maximum(variance, 0) + SMALL)  # a slope at 0


def _covariance(statistics: Statistics, energy: tf.Tensor) -> tf.Tensor:
    mean, channels = statistics.mean, statistics.mean.shape[-1]
    ridge = RIDGE * energy[..., None, None] / channels * tf.eye(channels, dtype=mean.dtype)
    return statistics.second - mean[..., :, None] * mean[..., None, :] + ridge
