import keras
import numpy as np
import pytest
import tensorflow as tf
from short_fits import LABELS, PICTURES, compiled, fit, network

from cnnlab import runs, training


class Full(keras.Model):
    """A model on a device whose memory holds no step of more than so many rows."""

    def __init__(self, model, rows, error=tf.errors.ResourceExhaustedError):
        super().__init__()
        self.model, self.rows, self.error, self.tried = model, rows, error, []
        self.built = True

    def call(self, x, training=False):
        return self.model(x, training=training)

    def train_step(self, data):
        rows = data[0].shape[0]
        self.tried.append(rows)
        if rows > self.rows:
            raise self.error(None, None, "OOM when allocating tensor: RESOURCE_EXHAUSTED")
        return super().train_step(data)


def full(rows, **options):
    return compiled(Full(network(), rows, **options))


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError, tf.errors.InternalError])
def test_out_of_memory_is_answered_with_a_batch_that_fits(error):
    log, trainer = runs.RunLog(), full(6, error=error)
    weights = trainer.get_weights()
    with pytest.raises(MemoryError) as raised:
        fit(log, trainer=trainer, data=(PICTURES, LABELS), batch_size=20)
    assert str(raised.value) == (
        "Expected a batch that fits into the device's memory. Received: 20 rows. "
        "A step with 5 was tried and fits: set the batch size to it."
    )
    assert trainer.tried == [20, 10, 5]
    for now, before in zip(trainer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)
    assert raised.value.__suppress_context__  # not a page of TensorFlow's around the sentence
    assert len(log) == 0


def test_a_block_that_does_not_fit_is_answered_with_a_batch_size(monkeypatch):
    whole_step, tried = training.BlockTrainer.train_step, []

    def train_step(self, data):
        tried.append(data[0].shape[:2])
        if data[0].shape[1] > 6:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return whole_step(self, data)

    monkeypatch.setattr(training.BlockTrainer, "train_step", train_step)
    trainer = compiled(training.BlockTrainer(network(), training.LookUp(PICTURES)))
    blocks = training.Visits(np.arange(20), LABELS[:20], 10).blocks(3)
    with pytest.raises(MemoryError, match=r"Received: 10 rows\. A step with 5 was tried"):
        fit(runs.RunLog(), trainer=trainer, data=(blocks,), validation_data=None)
    assert tried == [(2, 10), (1, 5)]


def test_a_network_too_large_for_any_batch_says_so():
    with pytest.raises(MemoryError, match="5 rows, and 1 doesn't fit either"):
        fit(runs.RunLog(), trainer=full(0))


def test_out_of_memory_in_validation_names_the_validation_batch(monkeypatch):
    def raising(self, data):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(Full, "test_step", raising)
    with pytest.raises(MemoryError, match="smaller validation_batch_size"):
        fit(runs.RunLog(), trainer=full(99))


def test_other_errors_of_tensorflow_go_their_way():
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="boom"),
        runs.RunLog().record("net", full(9)),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "boom")


def broken_after(steps, value=np.nan):
    """Batches of which those after the first few hold NaN."""
    pictures = np.repeat(PICTURES[:20].astype("float32"), 2, axis=0)
    pictures[5 * steps :] = value
    return pictures, np.repeat(LABELS[:20], 2)


def test_a_loss_that_is_no_number_ends_the_training_at_once(caplog):
    log = runs.RunLog()
    trainer = compiled(network(), keras.optimizers.SGD(1e-4))
    run = fit(log, trainer=trainer, data=broken_after(3), batch_size=5, validation_data=None)
    assert run.diverged
    assert not run.stopped
    assert run.note.startswith("ended in epoch 1 of 3 after 4 of 8 steps, loss 1.")
    assert "then its loss was nan. The loss hadn't grown before: look for a picture" in run.note
    assert "1 (diverged)" in repr(log)
    assert caplog.messages == [f"net: {run.note}"]


def test_a_first_loss_that_is_no_number_points_at_the_data():
    trainer = compiled(network())
    run = fit(runs.RunLog(), trainer=trainer, data=broken_after(0), batch_size=5)
    assert "No loss before it was a number, so look at what goes in" in run.note


@pytest.mark.parametrize(("rate", "seen"), [(1e30, "One step led there"), (1e-2, "had grown from")])
def test_a_loss_that_grew_points_at_the_learning_rate(rate, seen):
    flat = [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(1)]
    trainer = keras.Sequential(flat)  # of pixels as they are: far too large for such rates
    trainer.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    run = fit(runs.RunLog(), trainer=trainer, epochs=9)
    assert seen in run.note
    assert f"most likely the learning rate is too high (now {rate:.3g})" in run.note


def test_float16_is_named_where_the_loss_had_not_grown():
    trainer = compiled(network(dtype="mixed_float16"), keras.optimizers.SGD(1e-4))
    run = fit(runs.RunLog(), trainer=trainer, data=broken_after(3), batch_size=5)
    assert "the range of float16" in run.note
