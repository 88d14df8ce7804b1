"""The training of a painter: what it practises on, its loss as it falls, and Stop.

Source: Johnson, Alahi and Fei-Fei 2016, https://arxiv.org/abs/1603.08155.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnlab import images, training
from cnnlab.style import notebook
from cnnlab.style.painter import painter_network
from cnnlab.style.perceptual import PerceptualLoss
from cnnlab.style.settings import (
    Picture,
    check_choices,
    positive_int,
    read_picture,
    read_precision,
    read_seed,
)

TERMS = ("content", "style", "variation")


class PainterTrainer(keras.Model):
    """A painter and its loss: `compile` it with an optimizer and `fit` it on pictures.

    Its metrics are the terms of the loss; its weights are the painter's, so use and save that.

    Args:
        painter: From pixels to pixels, such as `painter_network` makes.
        loss: The distances to content and style.
    """

    def __init__(self, painter: keras.Model, loss: PerceptualLoss, **kwargs):
        super().__init__(**kwargs)
        self.painter, self.perceptual_loss = painter, loss
        self.terms = [keras.metrics.Mean(name) for name in TERMS]

    def call(self, pictures, training=False):
        return self.painter(pictures, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = tf.reduce_mean(self.perceptual_loss.terms(y_pred, x), 0)
        for metric, loss in zip(self.terms, tf.unstack(losses), strict=True):
            metric.update_state(loss)
        return tf.reduce_sum(losses * self.perceptual_loss.term_weights)


def crops(
    pictures: Picture | Sequence[Picture], count: int, *, size: int = 256, seed: int = 0
) -> np.ndarray:
    """Cut random squares of all scales out of a few pictures, half of them mirrored.

    Args:
        pictures: One or several paths, addresses or arrays as `images.read` takes them.
        count: Number of pieces.
        size: Their side in pixels; larger cuts are reduced to it.
        seed: The same seed gives the same pieces.

    Returns:
        uint8 (count, size, size, 3).

    Raises:
        ValueError: A picture is smaller than a piece, there is none, or a number makes no sense.
    """
    count, size = positive_int("count", count), positive_int("size", size)
    random = np.random.default_rng(read_seed(seed))
    one = isinstance(pictures, str | Path) or getattr(pictures, "ndim", 0) == 3
    sources = [images.read(picture) for picture in ([pictures] if one else pictures)]
    if not sources:
        raise ValueError(f"Expected at least one picture. Received: {pictures=!r}")
    for i, source in enumerate(sources):
        if min(source.shape[:2]) < size:
            raise ValueError(
                f"Expected pictures with sides of at least size={size}. "
                f"Received: pictures[{i}] with shape={source.shape}"
            )
    pieces = np.empty((count, size, size, 3), np.uint8)
    for piece in pieces:
        source = sources[random.integers(len(sources))]
        side = random.integers(size, min(source.shape[:2]), endpoint=True)
        top, left = (random.integers(length - side, endpoint=True) for length in source.shape[:2])
        cut = images.read(source[top : top + side, left : left + side], size)
        piece[:] = cut[:, ::-1] if random.random() < 0.5 else cut
    return pieces


def train_painter(
    style: Picture,
    pictures: np.ndarray,
    *,
    steps: int = 2000,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 5,
    precision: str | None = None,
    jit_compile: bool | None = None,
    seed: int = 0,
    report_every: int = 50,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    **loss_options,
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Train a painter in one style.

    This is Keras's `compile` and `fit` on a `PainterTrainer`. In a notebook Stop ends the training
    with the painter as it is; elsewhere the KeyboardInterrupt rises, and its `result` is what would
    have been returned.

    Args:
        style: The picture whose style to learn: a path, an address, or an array as `images.read`
            takes it.
        pictures: What to train on, uint8 (n, h, w, 3); sides are multiples of 4.
        steps: Batches to train on, to the nearest multiple of `report_every`.
        batch_size: Pictures in a batch.
        learning_rate: The highest, of Adam: it rises over a tenth of the steps, then falls to 0.
        widths: As for `painter_network`.
        blocks: As for `painter_network`.
        precision: Dtype policy of both networks; None takes what suits the device.
        jit_compile: Whether to compile with XLA; None does where it suits the device.
        seed: Of the initial weights and the order of pictures, by `keras.utils.set_random_seed`,
            which also sets the state of Python's and NumPy's global generators.
        report_every: Steps in what Keras calls an epoch: one value of the history, one call of the
            callbacks' `on_epoch_end`. `callback.model.painter` is the painter so far.
        callbacks: Keras's.
        verbose: Keras's.
        **loss_options: Further arguments of `PerceptualLoss`.

    Returns:
        The painter, in float32 and for pictures of any size; and the history, term -> the means
        over each `report_every` steps, and over what came after when it was stopped: "content",
        "style", "variation" and, weighted, "loss"; and "step", at which each of them ends.

    Raises:
        ValueError: An argument is invalid.
        MemoryError: Memory ran out; the message says what to try.
        FloatingPointError: The losses have become infinite.
    """
    notebook.go_on()
    check_choices({"precision": precision})
    pictures, steps = _check_pictures(pictures, batch_size), positive_int("steps", steps)
    report_every, seed = min(positive_int("report_every", report_every), steps), read_seed(seed)
    precision = read_precision(precision)
    style = read_picture("style", style)
    loss = PerceptualLoss(style, precision=precision, **loss_options)
    if min(pictures.shape[1:3]) < loss.smallest_side:
        raise ValueError(
            f"Expected pictures with sides of at least {loss.smallest_side}, which the "
            f"deepest layer needs. Received: shape={pictures.shape}"
        )
    keras.utils.set_random_seed(seed)
    form = {"widths": widths, "blocks": blocks}
    painter = painter_network(pictures.shape[1:], precision=precision, **form)
    epochs = round(steps / report_every)
    rate = training.OneCycle(learning_rate, epochs * report_every, warmup=0.1)
    trainer = PainterTrainer(painter, loss)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(painter.trainable_variables)  # else `fit` traces its step twice
    trainer.compile(
        optimizer,
        jit_compile=training.device().jit_compile if jit_compile is None else jit_compile,
    )
    batches = tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(pictures), seed).repeat()
    batches = batches.batch(batch_size, drop_remainder=True).prefetch(2)
    watch = _Watch(epochs * report_every)
    options = {"epochs": epochs, "steps_per_epoch": report_every, "verbose": verbose}
    options["callbacks"] = [watch, keras.callbacks.TerminateOnNaN(), *callbacks]
    stop = _fit(trainer, batches, options, batch_size)
    free = painter_network(**form)
    free.set_weights(painter.get_weights())
    result = free, watch.finished()
    return notebook.stopped(stop, result) if stop else result


def _check_pictures(pictures: np.ndarray, batch_size: int) -> np.ndarray:
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ValueError(
            f"Expected pictures as uint8 (n, h, w, 3). Received: {pictures.dtype} {pictures.shape}"
        )
    if any(side % 4 for side in pictures.shape[1:3]) or len(pictures) < batch_size:
        raise ValueError(
            "Expected at least a batch of pictures, with sides that are multiples of 4. "
            f"Received: pictures of shape={pictures.shape}, batch_size={batch_size}"
        )
    return pictures


class _Watch(keras.callbacks.Callback):
    """Keep the history of a training with the steps that it belongs to, and show how far it is."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.step, self.line = steps, 0, notebook.line()
        self.history: dict[str, list[float]] = {n: [] for n in ("step", "loss", *TERMS)}
        self._logs: dict[str, float] = {}

    def on_train_begin(self, logs=None):
        self.line.show(f"step 0 of {self.steps}, compiling")

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._logs = logs or {}
        if self.step == 1:  # it compiled
            self._began = time.perf_counter()
        elif self.line.due:
            pace = (time.perf_counter() - self._began) / (self.step - 1)
            self.line.show(
                f"step {self.step} of {self.steps}, loss {float(self._logs['loss']):.3g}, "
                f"about {pace * (self.steps - self.step):.0f} s left"
            )

    def on_epoch_end(self, epoch, logs=None):
        self._keep(logs or {})
        self._logs = {}

    def _keep(self, logs: dict[str, float]) -> None:
        for name, values in self.history.items():
            values.append(float(self.step if name == "step" else logs[name]))

    def finished(self) -> dict[str, np.ndarray]:
        """Return the history, with what has been learnt since the last report."""
        if self._logs:
            self._keep(self._logs)
        self.line.show(f"{self.step} of {self.steps} steps taken")
        history = {name: np.float32(values) for name, values in self.history.items()}
        if not all(np.isfinite(values).all() for values in history.values()):
            raise FloatingPointError(
                "Expected finite losses; try a smaller learning_rate or precision='float32'. "
                f"Received: {history}"
            )
        return history


def _fit(
    trainer: PainterTrainer, batches: tf.data.Dataset, options: dict, batch_size: int
) -> KeyboardInterrupt | None:
    """Fit until the end or Stop; return the exception of Stop."""
    try:
        trainer.fit(batches, shuffle=False, **options)  # the batches are shuffled already
    except KeyboardInterrupt as stop:
        return stop
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise MemoryError(
            f"Expected memory for batch_size={batch_size}, but it ran out. Try "
            f"batch_size={max(1, batch_size // 2)}, or smaller pictures"
        ) from error
    return None
