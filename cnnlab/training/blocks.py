"""Many training steps inside one compiled call, under Keras's own `compile` and `fit`.

A small network's step on a GPU is over before Python has started the next. So one "batch" of `fit`
is here a block of whole batches, and `train_step` loops over them on the device. What is looked at,
and how, is drawn beforehand: a *visit* is a row of the picture table with a mirror bit, a shift and
the place of a cutout, six integers. All chance of an epoch comes from its seed and its number, so
the same seed shows the same pictures the same way on any device, however many steps a call has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnnlab.training.pictures import check_sizes, covers, reflect
from cnnlab.training.strategies import AcrossMachines, step_logs

FIELDS = ("row", "mirror", "down", "right", "cut_top", "cut_left")


@dataclass(frozen=True)
class Visits:
    """Which pictures an epoch shows, in which order and how: a training set for `BlockTrainer`.

    Attributes:
        rows: Integers (n,), the rows of the picture table to train on, each once an epoch.
        labels: Integers (n,), their classes.
        batch_size: Pictures a step; what is left over at an epoch's end is dropped.
        seed: The same seed gives the same epochs.
        crop: Largest shift in pixels, up, down, left and right.
        flip: Whether to mirror each picture at every second epoch, from a random start: two epochs
            then hold every picture both ways.
        cutout: Side in pixels of the square hidden at a random place, 0 for none.
        side: Height and width of a picture in pixels, which crop and cutout stay below.
        replicas: Devices that share a batch. A block then holds their parts one after another.

    Source of the alternating flip: K. Jordan 2024, https://arxiv.org/abs/2404.00498.
    """

    rows: np.ndarray
    labels: np.ndarray
    batch_size: int
    seed: int = 0
    crop: int = 0
    flip: bool = False
    cutout: int = 0
    side: int = 32
    replicas: int = 1

    def __post_init__(self):
        if not 0 < self.batch_size <= len(self.rows):
            raise ValueError(
                f"Expected batch_size in 1…{len(self.rows)}, the number of rows. "
                f"Received: batch_size={self.batch_size}"
            )
        check_sizes(self.crop, self.cutout, self.side)
        if self.batch_size % self.replicas:
            raise ValueError(
                "Expected a batch_size that replicas divides. "
                f"Received: batch_size={self.batch_size}, replicas={self.replicas}"
            )

    @property
    def steps(self) -> int:
        """Whole batches in an epoch."""
        return len(self.rows) // self.batch_size

    def epoch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw all visits of epoch `number` (from 0).

        Returns:
            int32 visits (steps, batch_size, 6) in the order of `FIELDS`; int32 labels
            (steps, batch_size).
        """
        chance = np.random.default_rng((self.seed, number))
        seen = self.steps * self.batch_size
        order = chance.permutation(len(self.rows))[:seen]
        visits = np.zeros((seen, len(FIELDS)), np.int32)
        visits[:, 0] = self.rows[order]
        if self.flip:
            # Epoch numbers are never negative, so these coins meet no epoch's own chance.
            coins = np.random.default_rng((self.seed, 2**32 - 1)).integers(0, 2, len(self.rows))
            visits[:, 1] = (coins[order] + number) % 2
        if self.crop:
            visits[:, 2:4] = chance.integers(-self.crop, self.crop + 1, (seen, 2))
        if self.cutout:
            visits[:, 4:6] = chance.integers(0, self.side - self.cutout + 1, (seen, 2))
        shape = (self.steps, self.batch_size)
        labels = self.labels[order].astype(np.int32).reshape(shape)
        return visits.reshape(*shape, len(FIELDS)), labels

    def blocks(
        self, epochs: int, *, first: int = 0, steps_per_call: int | None = None
    ) -> tf.data.Dataset:
        """Hand out the epochs in blocks, for `fit(..., epochs=epochs, steps_per_epoch=calls)`.

        Args:
            epochs: How many epochs.
            first: Number of the first.
            steps_per_call: Batches a block; it must divide `steps`, all of which None means.

        Returns:
            Blocks of visits (steps_per_call, batch_size, 6) with labels (steps_per_call,
            batch_size). All are drawn beforehand, 1.4 MB an epoch of 50,000: a dataset that called
            Python while `fit` goes on could wait for ever for the `fit` that lets go of it.
        """
        drawn = zip(*self.draw(epochs, first=first, steps_per_call=steps_per_call), strict=True)
        with tf.device("CPU"):
            return tf.data.Dataset.from_tensor_slices(tuple(map(np.stack, drawn))).prefetch(2)

    def draw(
        self, epochs: int, *, first: int = 0, steps_per_call: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what `blocks` holds, as arrays."""
        size = self._checked(steps_per_call)
        for number in range(first, first + epochs):
            visits, labels = self.epoch(number)
            for start in range(0, self.steps, size):
                block = slice(start, start + size)
                yield self._share(visits[block]), self._share(labels[block])

    def signature(self, steps_per_call: int | None = None) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """Return shapes and dtypes of a block."""
        size = self._checked(steps_per_call)
        shape = (size * self.replicas, self.batch_size // self.replicas)
        return tf.TensorSpec((*shape, len(FIELDS)), tf.int32), tf.TensorSpec(shape, tf.int32)

    def _checked(self, steps_per_call: int | None) -> int:
        size = steps_per_call or self.steps
        if self.steps % size:
            raise ValueError(
                f"Expected a divisor of the {self.steps} steps of an epoch. "
                f"Received: steps_per_call={steps_per_call}"
            )
        return size

    def _share(self, block: np.ndarray) -> np.ndarray:
        """Put each replica's part of every batch together: (steps, batch, …) as `blocks` says."""
        parts = np.split(block, self.replicas, axis=1)
        return np.concatenate(parts)


def plain_visits(rows: np.ndarray, labels: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
    """Show every row once, in order and as it is, for validation.

    Returns:
        One or two blocks of int32 visits (steps, batch, 6) with int32 labels (steps, batch): whole
        batches, then what is left over.
    """
    visits = np.zeros((len(rows), len(FIELDS)), np.int32)
    visits[:, 0] = rows
    labels = np.asarray(labels, np.int32)
    whole = len(rows) // batch_size * batch_size
    blocks = []
    if whole:
        shape = (-1, batch_size)
        blocks.append((visits[:whole].reshape(*shape, len(FIELDS)), labels[:whole].reshape(shape)))
    if whole < len(rows):
        blocks.append((visits[None, whole:], labels[None, whole:]))
    with tf.device("CPU"):
        first, *rest = map(tf.data.Dataset.from_tensors, blocks)
        for other in rest:
            first = first.concatenate(other)
        return first


class LookUp(keras.layers.Layer):
    """Visits, int32 (n, 6), to pictures in 0…255, (n, height, width, channels).

    Shift, mirror and the reflection at the edges answer one question for each output pixel, "which
    pixel of the table do I copy?", so they are one look-up, and XLA makes one kernel of it. Nothing
    is drawn here: `Augment`, for `fit` on row numbers, draws its own.

    Args:
        table: uint8 (pictures, height, width, channels).
        cutout: Side in pixels of the grey square in training, 0 for none.
        shared: Whether the table becomes a variable, of which every device of a
            `tf.distribute.Strategy` keeps a copy of its own.
    """

    def __init__(self, table, *, cutout: int = 0, shared: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.cutout = cutout
        self.picture_shape = tuple(table.shape[1:])
        if shared:
            self.table = self.add_weight(
                shape=table.shape, dtype="uint8", initializer="zeros", trainable=False, name="table"
            )
            self.table.assign(table)
        else:
            self.table = tf.constant(table)

    def call(self, visits, training=False):
        height, width, channels = self.picture_shape
        row, mirror, down, right, top, left = (visits[:, i] for i in range(len(FIELDS)))
        rows = reflect(np.arange(height, dtype=np.int32) + down[:, None], height)
        columns = reflect(np.arange(width, dtype=np.int32) + right[:, None], width)
        columns = tf.where(mirror[:, None] == 1, width - 1 - columns, columns)
        place = (row[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
        pixels = tf.reshape(tf.convert_to_tensor(self.table), (-1, channels))
        x = tf.cast(tf.gather(pixels, place), self.compute_dtype)
        if self.cutout and training:
            hidden = covers(top[:, None], self.cutout, height)[:, :, None, None]
            hidden &= covers(left[:, None], self.cutout, width)[:, None, :, None]
            x = tf.where(hidden, tf.cast(127.5, x.dtype), x)
        return x

    def compute_output_shape(self, visits_shape):
        return (visits_shape[0], *self.picture_shape)


class BlockTrainer(AcrossMachines, keras.Model):
    """Trains a model on blocks of visits, all steps of a block in one compiled call.

    Each step is Keras's own, so `compile` takes any optimizer, loss and metrics, and `fit` any
    callback; their "batch" is a block. It shares its weights with `model`: train this one, then use
    and save that one.

    Args:
        model: Takes pictures, returns logits.
        look_up: Visits to pictures.
        unroll: Steps that are written out in the compiled program one after another, where that
            divides a block's steps. 0 writes out all of them: longer to compile, nothing to loop.
        choose: Called with the visits and labels of a step, returns those to train on.
        after_step: Called after each step, inside the compiled program.

    Attributes:
        batch_axis: Of a block, where the rows of a batch lie: what answers a full memory needs it.
    """

    batch_axis = 1

    def __init__(
        self,
        model: keras.Model,
        look_up: LookUp,
        *,
        unroll: int = 1,
        choose: Callable | None = None,
        after_step: Callable | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.model, self.look_up, self.unroll = model, look_up, unroll
        self.choose, self.after_step = choose, after_step
        self.built = True

    def save(self, *args, **kwargs):
        """Save `model`, which takes pixels; this one would take its pictures along."""
        self.model.save(*args, **kwargs)

    def call(self, visits, training=False):
        """Turn visits (…, 6) into logits (…, classes)."""
        pictures = self.look_up(ops.reshape(visits, (-1, len(FIELDS))), training=training)
        logits = self.model(pictures, training=training)
        if len(visits.shape) == 2:
            return logits
        return ops.reshape(logits, (*ops.shape(visits)[:-1], logits.shape[-1]))

    def train_step(self, data):
        visits, labels, *_ = data  # `train_on_batch` adds weights that there aren't

        def step(i):
            batch = visits[i], labels[i]
            if self.choose is not None:
                batch = self.choose(*batch)
            super(BlockTrainer, self).train_step(batch)
            if self.after_step is not None:
                self.after_step()

        self._loop(step, visits)
        return step_logs(self.get_metrics_result())

    def test_step(self, data):
        visits, labels = data

        def step(i):
            super(BlockTrainer, self).test_step((visits[i], labels[i]))

        self._loop(step, visits)
        return step_logs(self.get_metrics_result())

    def _loop(self, step: Callable, visits) -> None:
        """Take all steps of a block, `unroll` of them a turn of the loop."""
        count = visits.shape[0]
        if count is None:  # validation, whose last block may have fewer
            count, unroll = tf.shape(visits)[0], 1
        else:
            unroll = self.unroll or count
            unroll = unroll if count % unroll == 0 else 1
            if tf.distribute.get_strategy().num_replicas_in_sync > 1:
                unroll = count  # devices meet at every step, which they can't inside a loop
        if isinstance(count, int) and unroll == count:
            for i in range(count):
                step(i)
            return

        def turn(i):
            for offset in range(unroll):
                step(i + offset)
            return (i + unroll,)

        tf.while_loop(lambda i: i < count, turn, (tf.constant(0),))
