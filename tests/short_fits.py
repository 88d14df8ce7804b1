"""Trainings of a moment, for tests of the log of runs."""

import os
import signal

import keras
import numpy as np
from keras import layers

from cnnlab import runs, training

CHANCE = np.random.default_rng(0)
PICTURES = CHANCE.integers(0, 256, (22, 4, 4, 3)).astype("uint8")
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


def network(*, augmented=False, dtype=None):
    """Pixels (4, 4, 3) -> 3 logits, with chance in training: dropout, and augmentation if asked."""
    keras.utils.set_random_seed(3)
    augment = [training.Augment(crop=1, seed=5)] if augmented else []
    own = [layers.Rescaling(1 / 255), layers.Dropout(0.3), layers.Dense(3, dtype=dtype)]
    return keras.Sequential([keras.Input((4, 4, 3)), *augment, layers.Flatten(), *own])


def compiled(model, optimizer=None, *, run_eagerly=True, **options):
    """Compile a model, by default without a graph, which takes longer to make than to run."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"metrics": ["accuracy"]} | options | {"run_eagerly": run_eagerly}
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss, **options)
    return model


def shuffled(batch_size=5, **options):
    return training.shuffled_batches(PICTURES, LABELS, batch_size, seed=1, **options)


def fit(log, *, epochs=3, resume=False, beside=(), data=None, trainer=None, name="net", **options):
    """Train once and log it; return the run."""
    trainer = trainer or compiled(network())
    options = {"shuffle": False, "validation_data": (PICTURES[:7], LABELS[:7])} | options
    with log.record(name, trainer, resume=resume) as run:
        batches = (shuffled(),) if data is None else data
        trainer.fit(*batches, epochs=epochs, verbose=0, callbacks=[run, *beside], **options)
    return run


def fit_and_die(folder):
    """What another process does in the test of a kernel that is killed."""
    fit(runs.RunLog(folder), resume=True, trainer=usual(), beside=[At(1, 2, kill)])


def usual():
    """A trainer as notebooks have it: compiled, augmented, with moments in its optimizer."""
    return compiled(network(augmented=True), keras.optimizers.Adam(0.01), run_eagerly=False)
