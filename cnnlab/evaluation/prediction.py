"""What a model says of pictures: class probabilities, from logits, a softmax or a sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnlab.evaluation.report import Report, require_names
from cnnlab.images import in_batches, is_dataset
from cnnlab.layers import explained, final_activation, one_output


def evaluate(
    model: keras.Model,
    x: np.ndarray | tf.data.Dataset,
    y: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    batch_size: int = 500,
) -> Report:
    """Score a model on pictures of known class, every picture counted once.

    Args:
        model: As for `probabilities`.
        x: uint8 or float32 (n, h, w, 3) in 0…255; or a dataset of batches (pictures, labels), as
            `data.stream` makes.
        y: Integers (n,), the true classes; None with a dataset.
        classes: Name of each class, in the order of the model's outputs.
        batch_size: Pictures at a time; changes memory and speed, not the result.

    Raises:
        ValueError: Shapes, labels or class names that don't fit together; numbers that aren't
            pixels; outputs that aren't finite logits or probabilities.
    """
    require_names(classes)  # before the work
    if is_dataset(x):
        if y is not None:
            raise ValueError(
                "Expected y=None with a dataset, which brings its own labels. Received: y of type "
                f"{type(y).__name__}"
            )
        scores, y = _probabilities(model, x, batch_size)
        if y is None:
            raise ValueError("Expected a dataset of (pictures, labels). Received: one of pictures")
        return Report(scores, y, classes)
    if y is None or len(x) != len(y):
        raise ValueError(
            f"Expected a label per picture. Received: len(x)={len(x)}, "
            + ("y=None" if y is None else f"len(y)={len(y)}")
        )
    return Report(_probabilities(model, x, batch_size)[0], y, classes)


def probabilities(
    model: keras.Model, x: np.ndarray | tf.data.Dataset, *, batch_size: int = 500
) -> np.ndarray:
    """Compute class probabilities of pictures: the softmax of a model's logits.

    The model is called directly, so that a call on one picture takes milliseconds:
    `model.predict` first builds a data pipeline and, on a GPU, compiles.

    Args:
        model: Takes pixels, ends in logits or in a softmax (which is then not applied again). Or
            has one output for two classes: the logit of class 1, or a sigmoid of it.
        x: uint8 or float32 (n, h, w, 3) in 0…255; or a dataset of batches of them, as
            `data.stream` makes.
        batch_size: Pictures at a time.

    Returns:
        float32 (n, classes); every row sums to 1.

    Raises:
        ValueError: No pictures, or numbers that aren't pixels; an output that is not (n, classes)
            or not finite; a model with several outputs, or that ends in another activation.
    """
    return _probabilities(model, x, batch_size)[0]


def _probabilities(
    model: keras.Model, x: np.ndarray | tf.data.Dataset, batch_size: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return probabilities and, of a dataset that has them, the labels met on the way."""
    activation, answers, met = final_activation(model), [], []
    for pictures, labels in in_batches(x, batch_size):
        # As a tensor, uint8 travels to a GPU as it is. There it becomes what every layer takes.
        pixels = tf.cast(tf.convert_to_tensor(pictures), tf.float32)
        with explained(model, tuple(pixels.shape)):
            output = model(pixels, training=False)
        output = one_output(model, output)
        answers.append(np.asarray(tf.cast(output, tf.float64)))
        met.append(labels)
    if not answers:
        raise ValueError("Expected at least one picture. Received: an empty dataset")
    scores = np.concatenate(answers)
    if scores.ndim != 2 or (activation == "softmax" and scores.shape[1] < 2):
        raise ValueError(
            "Expected a model that gives one number per class for each picture. "
            f"Received: model={model.name!r} with an output of shape {scores.shape}"
        )
    broken = np.count_nonzero(~np.isfinite(scores).all(axis=1))
    if broken:
        raise ValueError(
            f"Expected finite outputs. Received: NaN or infinity for {broken:,} of {len(scores):,} "
            "pictures. Training has diverged: build the model anew, train at a lower learning rate."
        )
    labels = None if met[0] is None else np.concatenate(met)
    return _normalized(scores, activation, model.name), labels


def _normalized(scores: np.ndarray, activation: str, name: str) -> np.ndarray:
    """Turn logits, or what a softmax or a sigmoid made of them, into rows that sum to 1."""
    if scores.shape[1] == 1:
        positive = scores if activation == "sigmoid" else _sigmoid(scores)
        return np.concatenate([1 - positive, positive], axis=1).astype(np.float32)
    if activation == "sigmoid":
        raise ValueError(
            "Expected one probability for each class, of a sum of 1. Received: "
            f"model={name!r}, which ends in {scores.shape[1]} sigmoids: answers to as many "
            "questions of their own. For classes that exclude each other train it with a softmax "
            "or without activation; else score each column by itself, as the probability p of two "
            "classes: Report(np.stack([1 - p, p], axis=1), labels, classes)"
        )
    if activation == "logits":
        if scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
            raise ValueError(
                "Expected logits from a model without a final softmax layer. Received: "
                f"model={name!r}, whose outputs are probabilities already. "
                "Give them to `Report(probabilities, labels, classes)`."
            )
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))  # e^710 is infinite
