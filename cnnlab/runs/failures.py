"""What was likely wrong with a training that came to nothing, as far as it shows."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnlab.runs.feed import Feed, rows_of
from cnnlab.runs.inputs import layers_of


def not_finite(trainer: keras.Model, losses: list[float]) -> str:
    """Say what most likely made a loss that isn't a number.

    Args:
        trainer: Compiled, as it stands.
        losses: The first and the last loss that were numbers; empty if none was.
    """
    if not losses:
        return (
            "No loss before it was a number, so look at what goes in: pixels or targets that are "
            "NaN, labels outside of 0…classes − 1, or weights that were broken before"
        )
    rate = f"{float(np.asarray(keras.ops.convert_to_numpy(trainer.optimizer.learning_rate))):.3g}"
    first, last = losses[0], losses[-1]
    if len(losses) == 1:
        return (
            "One step led there: most likely the learning rate is too high "
            f"(now {rate}); try a tenth of it"
        )
    if last > 1.5 * first:
        return (
            f"The loss had grown from {first:.3g} to {last:.3g} before: most likely the learning "
            f"rate is too high (now {rate}); try a tenth of it"
        )
    if "float16" in {layer.compute_dtype for layer in layers_of(trainer)}:
        return (
            "The loss hadn't grown before: most likely a number left the range of float16; try "
            f"mixed_bfloat16 or float32, or a lower learning rate (now {rate})"
        )
    return (
        f"The loss hadn't grown before: look for a picture or a target that is "
        f"NaN, or try a lower learning rate (now {rate})"
    )


def is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Tell whether TensorFlow, or XLA in it, found no room for what a step needs."""
    text = str(error).lower()
    is_of_xla = isinstance(error, tf.errors.InternalError) and (
        "resource_exhausted" in text or "out of memory" in text
    )
    return isinstance(error, tf.errors.ResourceExhaustedError) or is_of_xla


def out_of_memory(trainer: keras.Model | None, feed: Feed | None, *, validating: bool) -> str:
    """Say which batch size fits into the memory, found by a step with each of half the size.

    Args:
        trainer: Compiled; its weights and all other variables are as they were afterwards. None
            if it came to no training.
        feed: Where its batches came from; None if that isn't known.
        validating: Whether it was in validation, which has a batch size of its own.
    """
    if validating:
        return (
            "Expected a validation batch that fits into the device's memory. Received: too large "
            "a one. Training itself fits: pass fit a smaller validation_batch_size."
        )
    start = "Expected a batch that fits into the device's memory. Received: "
    if trainer is None or feed is None or trainer.distribute_strategy.num_replicas_in_sync > 1:
        return f"{start}more than fits. Try half the batch size, or a smaller network."
    batch = feed.first_batch()
    size = rows_of(batch, _batch_axis(trainer))
    found = _largest_that_fits(trainer, batch, size)
    if found is None:
        return f"{start}{size} rows, and 1 doesn't fit either: the network itself is too large."
    return f"{start}{size} rows. A step with {found} was tried and fits: set the batch size to it."


def _largest_that_fits(trainer: keras.Model, batch: tuple, size: int) -> int | None:
    """Make a step with half of the rows, a quarter, …, until one ends well."""
    variables = [
        *trainer.variables,
        *trainer.optimizer.variables,
        *(trainer.metrics_variables or ()),
    ]
    before = [variable.numpy() for variable in variables]
    try:
        while size > 1:
            size //= 2
            some = (slice(1),) * _batch_axis(trainer) + (slice(size),)
            first_rows = keras.tree.map_structure(
                lambda rows, some=some: rows if rows is None else rows[some], batch
            )
            try:
                trainer.train_on_batch(*(first_rows or ()))
            except tf.errors.OpError as error:
                if not is_out_of_memory(error):
                    raise
            else:
                return size
        return None
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _batch_axis(trainer: keras.Model) -> int:
    """Return the axis of the rows of a batch: 1 where `fit` hands out blocks of batches."""
    return getattr(trainer, "batch_axis", 0)
