"""Classify by the nearest neighbours among features: a yardstick that learns nothing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def nearest_neighbours(
    train: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    num_classes: int,
    *,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 1000,
) -> np.ndarray:
    """Let the k training pictures whose features are most alike vote on each picture's class.

    Alike is what points in the same direction: the cosine of the angle between features. A vote
    counts exp(cosine / temperature).

    Source: Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", section 3.4, https://arxiv.org/abs/1805.01978, whose temperature is the default
    and whose k is 200.

    Args:
        train: float (n, channels), features of training pictures, as `extract_features` makes them.
        labels: Integers (n,), their classes.
        features: float (m, channels), features of the pictures to classify.
        num_classes: How many classes there are.
        k: Voters, 1…n.
        temperature: How much more a nearer neighbour counts; `math.inf` gives all the same vote.
        batch_size: Pictures at a time; changes memory and speed, not the result.

    Returns:
        float32 (m, num_classes): each class's share of the votes, as `evaluation.Report` takes it.
        A tie goes to the first class.

    Raises:
        ValueError: Shapes, labels or a number of voters that don't fit together.
    """
    n = len(train)
    if np.ndim(train) != 2 or np.shape(train)[1:] != np.shape(features)[1:]:
        raise ValueError(
            "Expected features (n, channels) of the same layer twice. "
            f"Received: train.shape={np.shape(train)}, features.shape={np.shape(features)}"
        )
    if np.shape(labels) != (n,) or not np.isin(labels, np.arange(num_classes)).all():
        raise ValueError(
            f"Expected a label in 0…{num_classes - 1} for each of {n} training pictures. "
            f"Received: labels.shape={np.shape(labels)}, num_classes={num_classes}"
        )
    if not 1 <= k <= n or not temperature > 0:
        raise ValueError(
            f"Expected k in 1…{n} and a temperature above 0. Received: k={k}, {temperature=}"
        )
    known = tf.math.l2_normalize(tf.cast(train, tf.float32), axis=1)
    votes = []
    for start in range(0, len(features), batch_size):
        some = tf.cast(features[start : start + batch_size], tf.float32)
        cosines = tf.matmul(tf.math.l2_normalize(some, axis=1), known, transpose_b=True)
        cosine, place = tf.math.top_k(cosines, k, sorted=False)
        weight = tf.nn.softmax(cosine / temperature, axis=1)
        voted = tf.one_hot(tf.gather(labels, place), num_classes)
        votes.append(tf.einsum("mk,mkc->mc", weight, voted).numpy())
    return np.concatenate(votes)
