"""Pictures on their way into `fit`: on the device, in a new order at each epoch, augmented.

Keras trains; nothing here hides it. `on_device` puts a look-up of pictures by row number and an
augmentation in front of a model, so that `fit` hands out row numbers instead of pictures and all
else happens inside the compiled step.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnnlab._digest import digest
from cnnlab.layers import leaves
from cnnlab.training.strategies import Shared, workers


@dataclass(frozen=True)
class DevicePictures:
    """The training and validation pictures as one table in the device's memory.

    Attributes:
        table: uint8 tensor (n, height, width, 3): the training pictures, then the validation
            pictures.
        train_rows: int32, the table's rows that hold the training pictures.
        val_rows: int32, the rows that hold the validation pictures.
    """

    table: tf.Tensor
    train_rows: np.ndarray
    val_rows: np.ndarray


class TrainingPictures(Protocol):
    """What `to_device` reads of an image set, such as `data.load` returns.

    Attributes:
        x_train: uint8 (n, height, width, 3).
        x_val: As x_train.
    """

    @property
    def x_train(self) -> np.ndarray: ...

    @property
    def x_val(self) -> np.ndarray: ...


def to_device(images: TrainingPictures) -> DevicePictures:
    """Move the training and validation pictures to the device once, for every model to train from.

    CIFAR-10 takes 150 MB there. A set that doesn't fit raises TensorFlow's ResourceExhaustedError:
    train such a set from `data.stream` instead.

    Raises:
        ValueError: It is no image set.
    """
    if not hasattr(images, "x_train"):
        raise ValueError(
            f"Expected an image set, such as data.load returns. Received: a {type(images).__name__}"
        )
    table = tf.constant(np.concatenate([images.x_train, images.x_val]))
    rows = np.arange(len(table), dtype=np.int32)
    return DevicePictures(table, *np.split(rows, [len(images.x_train)]))


def shuffled_batches(x, y, batch_size: int, *, seed: int, repeat: bool = False) -> tf.data.Dataset:
    """Batches for `fit`, in a new random order at each epoch.

    For `fit(batches, shuffle=False)`: they are shuffled already. `fit` on arrays doesn't do that
    after `keras.utils.set_random_seed`: it then repeats the order of its first epoch in every epoch
    and every `fit` (Keras 3.15).

    Args:
        x: Rows to train on: an array (n, ...) or a dictionary of such arrays.
        y: Their targets, likewise.
        batch_size: Rows a step. The rows that don't fill a last batch are left out, other ones at
            each epoch; fewer rows than one batch make one small batch.
        seed: The same seed gives the same orders, epoch by epoch. They go on from one `fit` to the
            next with the same batches, and begin anew with new ones.
        repeat: Whether to begin the next pass where one ends, within a batch and without end, for
            `fit(..., steps_per_epoch=...)`. Then no row is left out.

    Returns:
        A dataset of (x, y), with a length unless it repeats.

    Raises:
        ValueError: No rows, not as many targets as rows, or a batch size that is no whole number
            of at least 1.
    """
    lengths = {len(part) for part in keras.tree.flatten((x, y))}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"Expected as many targets as rows, at least one. Received: {sorted(lengths)} of them"
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(
            f"Expected batch_size to be a whole number of at least 1. Received: {batch_size=}"
        )
    with tf.device("CPU"):
        arrays = keras.tree.map_structure(tf.convert_to_tensor, (x, y))
    n = len(keras.tree.flatten(arrays)[0])
    # Shuffled in full and as numbers, so that it costs little whatever a row holds.
    rows = tf.data.Dataset.range(n).shuffle(n, seed=seed, reshuffle_each_iteration=True)
    rows = rows.repeat() if repeat else rows
    rows = rows.batch(batch_size, drop_remainder=repeat or n >= batch_size)
    pick = lambda rows: keras.tree.map_structure(lambda a: tf.gather(a, rows), arrays)  # noqa: E731
    # One thread and no tuning: there is hardly any work to share, and the training needs the cores.
    options = tf.data.Options()
    options.autotune.enabled, options.threading.private_threadpool_size = False, 1
    return rows.map(pick).prefetch(1).with_options(options)


def on_device(
    model: keras.Model,
    pictures: DevicePictures,
    augment: keras.layers.Layer | None = None,
    *,
    mirror: bool = False,
) -> keras.Model:
    """Build a model that takes row numbers of `pictures` and returns what `model` says of them.

    It shares its weights with `model`: train this one, then use that one. What `save` writes of
    either is `model`, so that a `ModelCheckpoint` leaves a file that takes pixels. (`save_weights`
    writes the trainer's.)

    Args:
        model: Takes pixels, returns logits.
        pictures: From `to_device`.
        augment: Applied to the pictures in training only, such as `Augment()`.
        mirror: Whether to show each picture mirrored at every second visit in training, from a
            random start. Two epochs then hold every picture both ways, where `Augment`'s random
            flips show half of them twice the same way.

    Source of the alternating flip: K. Jordan 2024, https://arxiv.org/abs/2404.00498.
    """
    rows = keras.Input((), dtype="int32", name="rows")
    x = _LookUp(pictures.table, mirror=mirror, name="look_up")(rows)
    if augment is not None:
        x = augment(x)
    trainer = keras.Model(rows, model(x), name=f"{model.name}_on_device")
    trainer.save = model.save
    return Shared(trainer) if workers() > 1 else trainer


def start_over(trainer: keras.Model, model: keras.Model, weights: list[np.ndarray]) -> None:
    """Put a compiled trainer back to before its first step, and keep what was compiled.

    Compiling takes longer than many an epoch, so several seeds or settings had better share it.
    The optimizer's variables are again what building it made, the learning rate excepted, which
    stays; the random numbers of augmentation and dropout start anew, from
    `keras.utils.set_random_seed`.

    Args:
        trainer: Compiled, such as `on_device` makes; its `fit` may have run.
        model: The model inside that is to start over.
        weights: Its weights to start from, as `get_weights` of an equal model gives them.
    """
    model.set_weights(weights)
    if trainer.optimizer.built:
        new = _like(trainer.optimizer)
        new.build(trainer.trainable_variables)
        for variable, value in zip(_state(trainer.optimizer), _state(new), strict=True):
            variable.assign(value)
    for layer in leaves(trainer):
        if generator := getattr(layer, "seed_generator", None):
            generator.state.assign(keras.random.SeedGenerator().state)
        if isinstance(layer, _LookUp):
            layer.start_over()


def _state(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """An optimizer's variables, learning rates left out."""
    return [v for v in optimizer.variables if not v.path.endswith("learning_rate")]


def _like(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Make a new optimizer of the same settings, the learning rate excepted."""
    config = optimizer.get_config()
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return type(optimizer)(**config | {"inner_optimizer": _like(optimizer.inner_optimizer)})
    return type(optimizer).from_config(config | {"learning_rate": 0.0})


class _LookUp(keras.layers.Layer):
    """Row numbers (n,) to float32 pictures (n, height, width, 3).

    `LookUp` of blocks.py is told whether to mirror; this one remembers it, so that `fit` needs
    nothing but row numbers.
    """

    def __init__(self, table: tf.Tensor, *, mirror: bool = False, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.table, self.mirror, self._digest = table, mirror, digest(table)
        if workers() == 1 and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Each of this machine's devices has a copy; other machines have their own anyway.
            fixed = {"dtype": "uint8", "initializer": "zeros", "trainable": False}
            self.table = self.add_weight(shape=table.shape, name="table", **fixed)
            self.table.assign(table)
        if mirror:
            # Devices that share a batch count on together: hence the sum.
            counted = {"dtype": "float32", "trainable": False, "aggregation": "sum"}
            self.visits = self.add_weight(shape=(len(table),), name="visits", **counted)
            self.start_over()

    def get_config(self) -> dict:
        """Say what can be said, for the log of runs: of the table of pictures a digest."""
        return super().get_config() | {"mirror": self.mirror, "pictures": self._digest}

    def start_over(self) -> None:
        if self.mirror:
            coins = keras.random.randint(self.visits.shape, 0, 2)
            self.visits.assign(ops.cast(coins, "float32"))

    def call(self, rows, training=False):
        x = tf.cast(tf.gather(self.table, rows), "float32")
        if not (self.mirror and training):
            return x
        # A row may come several times in a batch: each time is a visit of its own.
        same = ops.cast(rows[:, None] == rows[None], "float32")
        earlier = ops.sum(ops.tril(same, -1), axis=1)
        mirrored = (ops.take(self.visits, rows) + earlier) % 2
        counts = ops.scatter(rows[:, None], ops.ones_like(earlier), self.visits.shape)
        # TensorFlow's own `assign_add`: Keras's sums what was there, too, once for each device.
        self.visits.value.assign_add(counts)
        return ops.where(mirrored[:, None, None, None] == 1, ops.flip(x, axis=2), x)


@keras.saving.register_keras_serializable("cnnlab")
class Augment(keras.layers.Layer):
    """Random crops of the padded picture, horizontal flips and cutout, in training only.

    Crop and flip together are one question for each output pixel, "which input pixel do I copy?",
    so they are two look-ups, one of rows and one of columns; padding by reflection is part of the
    answer.

    Args:
        crop: Largest shift in pixels, up, down, left and right (the padding of pad-and-crop).
        flip: Whether to mirror half of the pictures.
        cutout: Side in pixels of the grey square laid over a random place, 0 for none.
        seed: The same seed gives the same sequence of augmentations.

    Source: He et al. 2015 (crops and flips), https://arxiv.org/abs/1512.03385; DeVries and Taylor
    2017 (cutout), https://arxiv.org/abs/1708.04552. There the padding is black; reflection leaves
    no edges to learn.
    """

    def __init__(
        self, *, crop: int = 4, flip: bool = True, cutout: int = 0, seed: int = 0, **kwargs
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        if not all(isinstance(pixels, Integral) for pixels in (crop, cutout)):
            raise ValueError(
                f"Expected crop and cutout as whole numbers of pixels. Received: {crop=}, {cutout=}"
            )
        self.crop, self.flip, self.cutout, self.seed = crop, flip, cutout, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("crop", "flip", "cutout", "seed")}
        return super().get_config() | own

    def call(self, pictures, training=False):
        """Take and return float32 (n, height, width, channels) in 0…255."""
        if not training:
            return pictures
        n, height, width = ops.shape(pictures)[0], pictures.shape[1], pictures.shape[2]
        check_sizes(self.crop, self.cutout, min(height, width))
        rows = reflect(ops.arange(height) + self._draw(n, -self.crop, self.crop), height)
        columns = reflect(ops.arange(width) + self._draw(n, -self.crop, self.crop), width)
        if self.flip:
            columns = ops.where(self._draw(n, 0, 1) == 1, width - 1 - columns, columns)
        x = tf.gather(pictures, rows, axis=1, batch_dims=1)
        x = tf.gather(x, columns, axis=2, batch_dims=1)
        if self.cutout:
            hidden_rows = self._hidden(n, height)[:, :, None, None]
            hidden_columns = self._hidden(n, width)[:, None, :, None]
            x = ops.where(ops.logical_and(hidden_rows, hidden_columns), 127.5, x)
        return x

    def _draw(self, n, low: int, high: int):
        """Draw a random integer in low…high for each picture, shape (n, 1)."""
        return keras.random.randint((n, 1), low, high + 1, seed=self.seed_generator)

    def _hidden(self, n, side: int):
        """Draw which rows (or columns) of each picture cutout hides: bool (n, side)."""
        return covers(self._draw(n, 0, side - self.cutout), self.cutout, side)


def check_sizes(crop: int, cutout: int, side: int) -> None:
    """Refuse shifts and squares that are larger than a picture, or negative."""
    if not (0 <= crop < side and 0 <= cutout <= side):
        raise ValueError(
            f"Expected crop in 0…{side - 1} and cutout in 0…{side}, for pictures of {side} pixels. "
            f"Received: {crop=}, {cutout=}"
        )


def reflect(index, side: int):
    """Fold indices that run over the edge back inside, as in a mirror on the last pixel."""
    index = ops.abs(index)
    return ops.minimum(index, 2 * (side - 1) - index)


def covers(start, length: int, side: int):
    """Tell which of `side` places lie in start…start + length - 1: (n, 1) to bool (n, side)."""
    place = ops.arange(side)
    return ops.logical_and(place >= start, place < start + length)
