"""Trainings of a moment, for tests of the log of runs."""

import os
import signal

import keras
import numpy as np
from keras import layers

from cnnlab import runs, training

CHANCE = np.random.default_rng(0)
PICTURES = CHANCE.integers(0, 256, (22, 6, 6, 3)).astype("uint8")
LABELS = CHANCE.integers(0, 3, 22)


class At(keras.callbacks.Callback):
    """Call something after a step of an epoch, both counted from 0."""

    def __init__(self, epoch, step, call):
        super().__init__()
        self.epoch, self.step, self.call = epoch, step, call

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.step):
            self.call()


def interrupt():
    raise KeyboardInterrupt


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def network(*, width=4, shortcut=False, seed=3, dtype=None):
    """Pixels (6, 6, 3) -> 3 logits, with chance in training: augmentation and dropout."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 6, 3))
    x = training.Augment(crop=1, seed=5)(inputs)
    x = layers.Rescaling(1 / 255)(x)
    y = layers.Conv2D(width, 3, padding="same", activation="relu", dtype=dtype)(x)
    y = layers.BatchNormalization()(y)
    if shortcut:
        y = y + layers.Conv2D(width, 1)(x)
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(y))
    return keras.Model(inputs, layers.Dense(3)(x))


def compiled(model, optimizer=None, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss, ["accuracy"], **options)
    return model


def shuffled(batch_size=5, seed=1, **options):
    return training.shuffled_batches(PICTURES, LABELS, batch_size, seed=seed, **options)


def fit(log, *, epochs=4, resume=False, beside=(), data=None, trainer=None, name="net", **options):
    """Train once and log it; return the run."""
    trainer = trainer or compiled(network())
    batches = (shuffled(),) if data is None else data
    with log.record(name, trainer, resume=resume) as run:
        trainer.fit(
            *batches,
            epochs=epochs,
            verbose=0,
            validation_data=(PICTURES[:7], LABELS[:7]),
            callbacks=[*beside, run],
            **{"shuffle": False} | options,
        )
    return run


def fit_and_die(folder):
    """What another process does in the test of a kernel that is killed."""
    fit(runs.RunLog(folder), resume=True, beside=[At(2, 1, kill)])
