"""Train on several GPUs, or several machines: which `tf.distribute.Strategy` suits what is there.

    training.distribute(DEVICES)  # all GPUs for None; from here on
    trainer = training.on_device(model(), table)
    trainer.compile(...)
    trainer.fit(...)

What is built and compiled afterwards keeps a copy on every device; `fit` shares each batch among
them and adds up their gradients. Batch size and learning rate mean what they mean on one device;
batch normalization sees each device's share of a batch. With one device nothing changes.
"""

import functools
import json
import os
from numbers import Integral

import keras
import tensorflow as tf


def workers() -> int:
    """Count the machines that train together, as the environment's `TF_CONFIG` says; 1 without it.

    Raises:
        ValueError: `TF_CONFIG` is not what TensorFlow expects.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return 1
    try:
        cluster = json.loads(text).get("cluster", {})
        return max(len(cluster.get("worker", [])) + len(cluster.get("chief", [])), 1)
    except (AttributeError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            'Expected TF_CONFIG as JSON: {"cluster": {"worker": ["host:port", ...]}, '
            f'"task": {{"type": "worker", "index": 0}}}}. Received: TF_CONFIG={text!r}'
        ) from error


def distribute(devices: int | None = None) -> int:
    """Let what is built from now on train on several GPUs or machines, where they are there.

    It is `with strategy(devices).scope():` for all that follows, until the next call. XLA and
    several steps a call are for one device: `compile` with neither if this returns more than 1.

    Args:
        devices: How many of this machine's GPUs at most; None for all.

    Returns:
        How many devices share a batch, those of all machines together.

    Raises:
        ValueError: `devices` is less than 1.
    """
    tf.distribute.experimental_set_strategy(None)
    chosen = strategy(devices)
    if chosen.num_replicas_in_sync > 1:
        tf.distribute.experimental_set_strategy(chosen)
    return chosen.num_replicas_in_sync


@functools.cache
def strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """Choose TensorFlow's way to train on what is there, the same object each time.

    Several machines where `TF_CONFIG` names them: `device` has to be called before TensorFlow's
    first operation then. Else all of this machine's GPUs, if there are several. Else the one
    device.

    Args:
        devices: How many of this machine's GPUs at most; None for all.

    Raises:
        ValueError: `devices` is less than 1.
    """
    if devices is not None and not (isinstance(devices, Integral) and devices >= 1):
        raise ValueError(f"Expected at least one device, or None. Received: {devices=}")
    if workers() > 1:
        return connected()
    gpus = tf.config.list_logical_devices("GPU")[:devices]
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    return tf.distribute.get_strategy()


@functools.cache
def connected() -> tf.distribute.Strategy:
    """Connect this machine with the others that `TF_CONFIG` names, once."""
    return tf.distribute.MultiWorkerMirroredStrategy()


class AcrossMachines:
    """Put before `keras.Model` among a class's bases: lets Keras 3's `fit` run on several machines.

    As it comes (3.15), `fit` stops there in two places: it averages the first batch over machines
    to learn its shape, and it averages a step's logs along an axis that single numbers lack.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is not None and iterator is not None:
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(self._local, next(batches))
                break
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def _local(self, value):
        """Return this machine's first share of something that may be shared."""
        return self.distribute_strategy.experimental_local_results(value)[0]

    def train_step(self, data):
        return step_logs(super().train_step(data))

    def test_step(self, data):
        return step_logs(super().test_step(data))


def step_logs(logs: dict) -> dict:
    """Return logs as they are; on several machines as vectors of one number."""
    if workers() == 1:
        return logs
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}


class Shared(AcrossMachines, keras.Model):
    """A model whose `fit` runs on several GPUs or machines; it shares its weights with `model`."""

    def __init__(self, model: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.built = True

    def save(self, *args, **kwargs):
        """Save `model`, which any Keras opens."""
        self.model.save(*args, **kwargs)

    def call(self, inputs, training=False):
        return self.model(inputs, training=training)
