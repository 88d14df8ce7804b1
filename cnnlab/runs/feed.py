"""What a running `fit` takes its batches from.

Keras tells a callback nothing of the data. Four things need it: whether two runs had the same,
which batch size a run had, which one would fit into memory, and, when a run goes on, the random
orders of the epochs that it made already. So it is looked up in `fit`'s own frame, by the names
that it has there (Keras 3.15).
"""

from __future__ import annotations

import inspect

import keras
import numpy as np
import tensorflow as tf

from cnnlab._digest import digest
from cnnlab.runs.inputs import fingerprint


class Feed:
    """The batches of the `fit` that is running, and what they are made from."""

    def __init__(self, epoch_iterator, data: tuple):
        self._epoch_iterator, self._data = epoch_iterator, data

    @classmethod
    def of_fit(cls) -> Feed | None:
        """Find the batches of the `fit` that called, None if it has none by Keras's name."""
        frame = inspect.currentframe()
        while frame := frame and frame.f_back:
            found = frame.f_locals.get("epoch_iterator")
            if hasattr(found, "data_adapter"):
                names = ("x", "y", "validation_data")
                return cls(found, tuple(frame.f_locals.get(name) for name in names))
        return None

    @property
    def batch_size(self) -> int | None:
        """Rows a step, None if the data don't say."""
        return self._epoch_iterator.data_adapter.batch_size

    @property
    def data(self) -> str:
        """A fingerprint of pictures and targets, those of validation too.

        Of arrays shapes and some rows go into it; of a dataset, which may be at random, only its
        shapes; and the length of one for validation. The other's is said by steps and epochs.
        """
        validation = self._data[-1]
        is_dataset = isinstance(validation, tf.data.Dataset)
        length = int(validation.cardinality()) if is_dataset else None
        return fingerprint(length, *map(_digested, keras.tree.flatten(self._data)))[:8]

    def skip(self, epochs: int) -> None:
        """Draw and drop the batches of whole epochs, as `fit` would draw them.

        What is random in them, such as their order, then goes on as if it had been used.
        """
        for _ in range(epochs):
            with self._epoch_iterator.catch_stop_iteration():
                for first, last, batches in self._epoch_iterator:
                    drawn = [next(batches, None) for _ in range(first, last + 1)]
                    if drawn[0] is None:
                        raise StopIteration  # as the training step does; Keras expects it

    def first_batch(self) -> tuple:
        """Draw a batch: (x, y, sample weights), None for what there isn't."""
        batches = self._epoch_iterator.data_adapter.get_tf_dataset()
        return keras.utils.unpack_x_y_sample_weight(next(iter(batches)))


def _digested(part: object) -> str:
    if isinstance(part, np.ndarray | tf.Tensor) and part.ndim:
        return digest(part)
    if isinstance(part, tf.data.Dataset):
        return str(part.element_spec)
    return type(part).__name__


def rows_of(batch: object, axis: int) -> int:
    """Count a batch's rows, which lie along an axis."""
    return int(tf.shape(keras.tree.flatten(batch)[0])[axis])
