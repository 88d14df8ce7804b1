"""What goes around Keras's `compile` and `fit`: device, augmentation, schedule, optimizer.

Keras trains; nothing here hides it. `on_device` puts a look-up of pictures by row number and an
augmentation in front of a model, so that `fit` hands out row numbers instead of pictures and all
else happens inside the compiled step.
"""

import datetime
import os
import platform
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cnnlab.data import ImageSet


@dataclass(frozen=True)
class Device:
    """What a model will run on, and the settings that suit it.

    Attributes:
        name: The GPU's name, or the processor's kind and number of cores.
        is_gpu: Whether it is a GPU.
        precision: The dtype policy for it: `"mixed_bfloat16"`, `"mixed_float16"` or `"float32"`.
        jit_compile: Whether to compile with XLA: about twice as fast on a GPU, half as fast on a
            CPU (TensorFlow 2.21).
    """

    name: str
    is_gpu: bool
    precision: str
    jit_compile: bool


def device() -> Device:
    """Finds the machine's first GPU, else its CPU.

    GPU memory is then taken as it is needed, so that several notebooks can be open at once.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        name = f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
        return Device(name, is_gpu=False, precision="float32", jit_compile=False)
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # Only possible before the GPU's first use: the cell is being rerun.
        pass
    details = tf.config.experimental.get_device_details(gpus[0])
    nvidia_generation, _ = details.get("compute_capability", (0, 0))
    precision = "float32"
    if nvidia_generation >= 8:
        precision = "mixed_bfloat16"
    elif nvidia_generation == 7:
        precision = "mixed_float16"
    name = details.get("device_name", gpus[0].name)
    return Device(name, is_gpu=True, precision=precision, jit_compile=nvidia_generation > 0)


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


def to_device(images: ImageSet) -> DevicePictures:
    """Moves the training and validation pictures to the device once, for every model to train from.

    CIFAR-10 takes 150 MB there. A set that doesn't fit raises TensorFlow's ResourceExhaustedError:
    train such a set from `data.stream` instead.
    """
    table = tf.constant(np.concatenate([images.x_train, images.x_val]))
    rows = np.arange(len(table), dtype=np.int32)
    return DevicePictures(table, *np.split(rows, [len(images.x_train)]))


def on_device(
    model: keras.Model, pictures: DevicePictures, augment: keras.layers.Layer | None = None
) -> keras.Model:
    """A model that takes row numbers of `pictures` and returns what `model` says of them.

    It shares its weights with `model`: train this one, then use and save that one.

    Args:
        model: Takes pixels, returns logits.
        pictures: From `to_device`.
        augment: Applied to the pictures in training only, such as `Augment()`.
    """
    rows = keras.Input((), dtype="int32", name="rows")
    x = _LookUp(pictures.table, name="look_up")(rows)
    if augment is not None:
        x = augment(x)
    return keras.Model(rows, model(x), name=f"{model.name}_on_device")


class _LookUp(keras.layers.Layer):
    """Row numbers (n,) to float32 pictures (n, height, width, 3)."""

    def __init__(self, table: tf.Tensor, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.table = table

    def call(self, rows):
        return tf.cast(tf.gather(self.table, rows), "float32")


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
        super().__init__(dtype="float32", **kwargs)
        self.crop, self.flip, self.cutout = crop, flip, cutout
        self.random = keras.random.SeedGenerator(seed)

    def call(self, pictures, training=False):
        """Takes and returns float32 (n, height, width, channels) in 0…255."""
        if not training:
            return pictures
        n, height, width = ops.shape(pictures)[0], pictures.shape[1], pictures.shape[2]
        rows = _reflect(ops.arange(height) + self._draw(n, -self.crop, self.crop), height)
        columns = _reflect(ops.arange(width) + self._draw(n, -self.crop, self.crop), width)
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
        """A random integer in low…high for each picture, shape (n, 1)."""
        return keras.random.randint((n, 1), low, high + 1, seed=self.random)

    def _hidden(self, n, side: int):
        """Which rows (or columns) of each picture cutout hides: bool (n, side)."""
        start = self._draw(n, 0, side - self.cutout)
        place = ops.arange(side)
        return ops.logical_and(place >= start, place < start + self.cutout)


def _reflect(index, side: int):
    """Folds indices that run over the edge back inside, as in a mirror on the last pixel."""
    index = ops.abs(index)
    return ops.minimum(index, 2 * (side - 1) - index)


@keras.saving.register_keras_serializable("cnnlab")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate climbs in a straight line to its peak, then falls in one to zero.

    For the cosine-shaped kind use `keras.optimizers.schedules.CosineDecay` with its
    `warmup_target`.

    Args:
        peak: The largest learning rate.
        steps: Batches in the whole training.
        warmup: Share of the steps that climb, 0…1.

    Source: Smith and Topin 2017, https://arxiv.org/abs/1708.07120, without the third phase and the
    momentum's cycle.
    """

    def __init__(self, peak: float, steps: int, *, warmup: float = 0.1):
        if not (steps > 0 and 0 <= warmup < 1):
            raise ValueError(
                "Expected steps > 0 and warmup in 0…1 (1 excluded). "
                f"Received: steps={steps}, warmup={warmup}"
            )
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        """The learning rate of batch number `step` (from 0), float32."""
        done = (ops.cast(step, "float32") + 0.5) / self.steps  # the middle of the step: never 0
        climb = done / max(self.warmup, 1e-9)
        fall = (1 - done) / (1 - self.warmup)
        return self.peak * ops.maximum(ops.minimum(climb, fall), 0.0)

    def get_config(self) -> dict:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


@keras.saving.register_keras_serializable("cnnlab")
class Muon(keras.optimizers.Optimizer):
    """Orthogonalised momentum for kernels of convolutions, Nesterov's for everything else.

    A kernel is treated as a matrix of one column a filter. Its momentum is replaced by the nearest
    matrix with orthonormal columns (or rows), so that every direction is learnt at the same pace,
    and the bank of filters keeps its
    norm: batch normalization follows, so only directions matter. Keras's own `Muon` leaves kernels
        of convolutions to AdamW.

    Args:
        learning_rate: Of the kernels, a float or a schedule; 0.24 is a good peak.
        momentum: Of the kernels.
        sgd_ratio: Learning rate of all other weights, in units of `learning_rate`.
        sgd_momentum: Nesterov momentum of all other weights.
        steps: Newton-Schulz iterations.
        **kwargs: As for any Keras optimizer.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with the settings of
    https://github.com/KellerJordan/cifar10-airbench.
    """

    def __init__(
        self,
        learning_rate=0.24,
        *,
        momentum: float = 0.6,
        sgd_ratio: float = 0.3,
        sgd_momentum: float = 0.85,
        steps: int = 3,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum, self.steps = momentum, steps
        self.sgd_ratio, self.sgd_momentum = sgd_ratio, sgd_momentum

    def build(self, var_list):
        if not self.built:
            super().build(var_list)
            self.velocities = [
                self.add_variable_from_reference(v, name="velocity") for v in var_list
            ]

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        velocity = self.velocities[self._get_variable_index(variable)]
        is_kernel = len(variable.shape) == 4
        momentum = self.momentum if is_kernel else self.sgd_momentum
        self.assign(velocity, momentum * velocity + gradient)
        update = gradient + momentum * velocity
        if is_kernel:
            filters = variable.shape[-1]
            update = orthogonalize(ops.reshape(update, (-1, filters)), steps=self.steps)
            norm = ops.norm(ops.reshape(variable, (-1,)))
            kept = variable * (filters**0.5 / norm)
            self.assign(variable, kept - rate * ops.reshape(update, variable.shape))
        else:
            self.assign_sub(variable, self.sgd_ratio * rate * update)

    def get_config(self) -> dict:
        own = {k: getattr(self, k) for k in ("momentum", "sgd_ratio", "sgd_momentum", "steps")}
        return {**super().get_config(), **own}


def environment() -> dict[str, str]:
    """Versions, device and date, for the last cell of a notebook."""
    return {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (tf, keras, np)},
        "device": device().name,
        "date": datetime.date.today().isoformat(),
    }


def orthogonalize(matrix, *, steps: int = 3):
    """Pushes all singular values of a float matrix towards 1, by Newton-Schulz iterations.

    The quintic's coefficients are chosen for the steepest start: after 3 to 5 steps the values lie
    around 1, in about 0.7…1.2, which serves as well as exactness.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ ops.transpose(x)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return ops.transpose(x) if tall else x
