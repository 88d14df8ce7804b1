"""What the recipes of the speed race have in common: one network, compiled once, many seeds.

The clock of a run starts when the pictures are on the device and the weights are drawn, and stops
when the last prediction is back: computing the whitening, drawing orders and augmentations, `fit`,
and the second look at unsure pictures all count. Compiling, on noise, is timed apart.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import tensorflow as tf

from cnnlab import data, training

WHITENED_FROM = 5_000  # 4.8 million patches fix the 12 eigenvectors far better than they need


@dataclass(frozen=True)
class Pictures:
    """Training pictures with labels, and those to predict; nothing else is known of the latter."""

    table: tf.Tensor
    rows: np.ndarray
    labels: np.ndarray
    asked: tf.Tensor
    answers: np.ndarray


def pictures(images: data.ImageSet, *, held_out: bool) -> Pictures:
    """All 50,000 against the test set; or, to choose settings, 45,000 against the other 5,000."""
    if held_out:
        table, labels = images.x_train, images.y_train
        asked, answers = images.x_val, images.y_val
    else:
        table = np.concatenate([images.x_train, images.x_val])
        labels = np.concatenate([images.y_train, images.y_val])
        asked, answers = images.x_test, images.y_test
    rows = np.arange(len(table), dtype=np.int32)
    return Pictures(tf.constant(table), rows, labels, tf.constant(asked), answers)


@dataclass
class Race:
    """A compiled trainer that can start over.

    Attributes:
        trainer: Compiled.
        shown: The pictures.
        visits: Of one seed: what `fit` is given.
        epochs: Of a run.
        predict: From `careful_predictor`.
        redraw: Puts new weights of a seed into the networks.
        whitened: The networks whose whitening is to be computed.
        begin: Called when the whitening is there, before the first step.
        optimizers: To be put back to their start.
        steps_per_call: Batches a call, None for whole epochs.
    """

    trainer: training.BlockTrainer
    shown: Pictures
    visits: Callable[[int], training.Visits]
    epochs: int
    predict: Callable
    redraw: Callable[[int], None]
    whitened: list[keras.Model]
    begin: Callable[[], None]
    optimizers: list[keras.optimizers.Optimizer]
    steps_per_call: int | None = None
    fresh: list[list[np.ndarray]] = field(default_factory=list)

    def __post_init__(self):
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        # One pipeline for all runs: to build one takes longer than to fill it.
        signature = self.visits(0).signature(self.steps_per_call)
        self.blocks = tf.data.Dataset.from_generator(self._draw, output_signature=signature)
        self.blocks = self.blocks.prefetch(2)
        self.fresh = [[np.array(v) for v in o.variables] for o in self.optimizers]

    def compile(self) -> float:
        """Seconds of one epoch and one prediction on labels that mean nothing, compiling them."""
        start = time.perf_counter()
        noise = np.random.default_rng(0).integers(0, 10, len(self.shown.labels))
        visits = replace(self.visits(0), labels=noise)
        self._reset(0)
        self._whiten()
        with ThreadPoolExecutor(1) as pool:  # both programs at once
            pool.submit(self.predict, self.shown.asked)
            self._fit(visits, epochs=1)
        self.predict(self.shown.asked).numpy()
        return time.perf_counter() - start

    def run(self, seed: int) -> tuple[float, float, dict]:
        """Trains from a seed: seconds, share of right answers, Keras's history."""
        self._reset(seed)
        visits = self.visits(seed)
        start = time.perf_counter()
        self._whiten()
        history = self._fit(visits, epochs=self.epochs)
        found = self.predict(self.shown.asked).numpy()
        seconds = time.perf_counter() - start
        return seconds, float((found.argmax(axis=1) == self.shown.answers).mean()), history

    def epoch_seconds(self, epochs: int = 5) -> list[float]:
        """Seconds of each epoch of one `fit`, after compiling."""
        self._reset(0)
        self._whiten()
        clock = Clock()
        self._fit(self.visits(0), epochs=epochs, callbacks=[clock])
        return clock.seconds

    def _fit(self, visits, *, epochs: int, callbacks=()) -> dict:
        self.now = visits
        fitted = self.trainer.fit(
            self.blocks,
            epochs=epochs,
            steps_per_epoch=visits.steps // (self.steps_per_call or visits.steps),
            callbacks=list(callbacks),
            shuffle=False,
            verbose=0,
        )
        return fitted.history

    def _draw(self):
        """Blocks of the visits that are on now, as many as are asked for."""
        return self.now.draw(10**6, steps_per_call=self.steps_per_call)

    def _reset(self, seed: int) -> None:
        self.redraw(seed)
        for optimizer, values in zip(self.optimizers, self.fresh, strict=True):
            for variable, value in zip(optimizer.variables, values, strict=True):
                variable.assign(value)

    def _whiten(self) -> None:
        some = self.shown.table[:WHITENED_FROM]
        first, *others = self.whitened
        whitening = first.get_layer("whiten")
        whitening.fit_to(some)
        for model in others:
            model.get_layer("whiten").kernel.assign(whitening.kernel)
        self.begin()


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def settings_from(kind: type, changes: list[str]):
    """A recipe's settings with changes such as "epochs=9": the value is of the default's type."""
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        default = getattr(kind, name, None)
        if default is None:
            raise ValueError(
                "Expected NAME=VALUE with the name of a setting. "
                f"Received: {change!r}. Names: {', '.join(kind.__dataclass_fields__)}"
            )
        if isinstance(default, bool):
            values[name] = text == "True"
        elif isinstance(default, tuple):
            values[name] = tuple(int(part) for part in text.split("/"))
        else:
            values[name] = type(default)(text)
    return kind(**values)
