"""Whether a heat map is right about the model: what is lost when the pixels that it names go."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from scipy.ndimage import gaussian_filter

from cnnlab.evaluation import probabilities
from cnnlab.images import in_batches, whole_number


def deletion_curves(
    model: keras.Model,
    pictures: np.ndarray,
    maps: Sequence[np.ndarray],
    class_indices: Sequence[int] | None = None,
    *,
    steps: int = 10,
    blur: float | None = None,
    seed: int = 0,
    batch_size: int = 500,
) -> np.ndarray:
    """Replace pixels, those first that a map calls most important, and follow the probability.

    The faster it falls, the better the map knows what the model depends on; the area under a curve
    is its mean. Pictures with holes are none that the model was trained on, and any hole costs
    something: so compare with random maps, such as `rng.random(shape)`, and with those of a model
    that knows nothing, on the same pictures.

    Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box
    Models", https://arxiv.org/abs/1806.07421. Departs from it in that pixels of the
    same importance go in random order, not from the top down.

    Args:
        model: As for `evaluation.probabilities`.
        pictures: uint8 or float32 (n, h, w, channels) in 0…255.
        maps: n arrays (h, w), such as `grad_cam` makes; only the order of their values counts.
        class_indices: n classes; None takes those that are predicted for the whole pictures.
        steps: How many times pixels are replaced, each time as many.
        blur: Standard deviation in pixels of the Gaussian blur from which the new pixels are taken,
            such as a sixteenth of the side; None takes the picture's mean colour, whose single
            pixels are specks with hard edges that cost much in any order.
        seed: Of the order among equals.
        batch_size: Pictures at a time; changes memory and speed, not the result.

    Returns:
        float32 (n, steps + 1): the class's probability with the share 0, 1 / steps, …, 1 of the
        pixels replaced.

    Raises:
        ValueError: Not a map and a class for each picture, maps of another size or with NaN, no
            such class, or fewer than one step.
    """
    n, height, width = len(pictures), *np.shape(pictures)[1:3]
    order = _order(maps, (n, height, width), seed)
    steps, batch_size = whole_number(steps, "steps"), whole_number(batch_size, "batch_size")
    batches = in_batches(pictures, max(1, batch_size // (steps + 1)), "pictures")
    counts = np.rint(np.linspace(0, height * width, steps + 1))
    curves, start = [], 0
    for some, _ in batches:
        whole = np.asarray(some, np.float32)
        # True where a pixel is replaced: (pictures, steps + 1, height, width, 1).
        gone = order[start : start + len(whole), None, :, :, None] < counts[:, None, None, None]
        stages = np.where(gone, _without(whole, blur)[:, None], whole[:, None])
        answers = probabilities(model, stages.reshape(-1, *whole.shape[1:]), batch_size=batch_size)
        curves.append(answers.reshape(len(whole), steps + 1, -1))
        start += len(whole)
    table = np.concatenate(curves)
    classes = table[:, 0].argmax(axis=1) if class_indices is None else np.asarray(class_indices)
    if classes.shape != (n,) or not np.isin(classes, np.arange(table.shape[2])).all():
        raise ValueError(
            f"Expected {n} class indices in 0…{table.shape[2] - 1}, or None for the predicted "
            f"classes. Received: class_indices={class_indices!r}"
        )
    return table[np.arange(n), :, classes]


def _order(maps: Sequence[np.ndarray], shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Number the pixels of each picture, 0 for the most important one: int64, of that shape."""
    found = [np.shape(heat) for heat in maps]
    if found != [shape[1:]] * shape[0] or np.isnan(maps).any():
        raise ValueError(
            f"Expected {shape[0]} maps without NaN, each of shape {shape[1:]}, as its picture. "
            f"Received: {len(found)} of the shapes {sorted(set(found))}"
        )
    importance = np.asarray(maps).reshape(shape[0], -1)
    chance = np.random.default_rng(seed).random(importance.shape)
    ranked = np.lexsort((chance, -importance), axis=1)
    return ranked.argsort(axis=1).reshape(shape)


def _without(whole: np.ndarray, blur: float | None) -> np.ndarray:
    """Make what replaces the pixels of pictures (n, h, w, channels), of a shape that fits them."""
    if blur is None:
        return whole.mean(axis=(1, 2), keepdims=True)
    return gaussian_filter(whole, (0, blur, blur, 0), mode="nearest")
