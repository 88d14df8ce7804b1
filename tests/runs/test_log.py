from types import SimpleNamespace

import keras
import numpy as np
import pytest
import short_fits
import tensorflow as tf

from cnnlab import models, plots, runs, training
from cnnlab.runs import inputs
from cnnlab.style.practice import PainterTrainer


@pytest.fixture
def network():
    return models.linear((4, 4, 3), 2)


def fit(network, run, *, epochs=2, callbacks=()):
    x, y = np.zeros((8, 4, 4, 3), "float32"), np.arange(8) % 2
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)  # no tracing for so little
    network.fit(x, y, epochs=epochs, verbose=0, validation_data=(x, y), callbacks=[run, *callbacks])


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_records_what_fit_did(network):
    log = runs.RunLog()
    with log.record("linear", network, lr=0.01) as run:
        fit(network, run)
    assert list(log) == [run]
    assert set(run.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(run.history["loss"]) == 2
    assert run.parameters == 48 * 2 + 2
    assert 0 < run.first_step_seconds < run.seconds
    assert run.test_accuracy is None


def test_same_settings_replace_and_other_settings_add(network):
    log = runs.RunLog()
    for lr in (0.01, 0.02, 0.01):
        with log.record("linear", network, lr=lr) as run:
            fit(network, run)
    assert [run.settings["lr"] for run in log] == [0.01, 0.02]
    assert next(iter(log)) is run


def test_stop_keeps_the_whole_epochs_and_ends_the_block(network):
    log = runs.RunLog()
    with log.record("linear", network) as run:
        fit(network, run, epochs=5, callbacks=[InterruptAt(3)])
    assert run.stopped
    assert len(run.history["loss"]) == 3
    assert "3 (stopped)" in repr(log)


def test_a_run_without_a_whole_epoch_is_not_logged(network):
    log = runs.RunLog()
    with log.record("linear", network) as run:
        fit(network, run, callbacks=[InterruptAt(0)])
    assert len(log) == 0


def test_keras_s_own_callbacks_stand_beside(network, tmp_path):
    log = runs.RunLog()
    with log.record("linear", network) as run:
        stopping = keras.callbacks.EarlyStopping("val_loss", min_delta=99)
        fit(network, run, epochs=4, callbacks=[keras.callbacks.CSVLogger(tmp_path / "c"), stopping])
    assert run.epochs == 2
    assert len((tmp_path / "c").read_text().splitlines()) == 1 + 2


def test_other_errors_are_not_swallowed(network):
    log = runs.RunLog()
    with pytest.raises(ValueError, match="boom"), log.record("linear", network):
        raise ValueError("boom")
    assert len(log) == 0


def test_table_names_settings_and_scores(network):
    log = runs.RunLog()
    with log.record("<linear>", network, lr=1e-3, seed=4) as run:
        fit(network, run)
    run.test_accuracy = 0.4321
    html = log._repr_html_()
    for text in ("&lt;linear&gt;", "lr 0.001, seed 4", "43.21%", "98"):
        assert text in html


def test_a_run_that_no_fit_was_given_is_named(network, caplog):
    log = runs.RunLog()
    with log.record("a", network) as run:
        pass
    assert "The run 'a' was not given to fit: callbacks=[run]" in caplog.text
    assert not run.stopped
    caplog.clear()
    with log.record("a", network) as run:
        fit(network, run, epochs=1)
    with pytest.raises(OSError, match="boom"), log.record("a", network):
        raise OSError("boom")
    assert caplog.messages == []


def test_fit_of_a_model_that_does_not_hold_the_network_is_refused(network):
    other = models.linear((4, 4, 3), 5)
    message = f"'a', '{network.name}'.*fit of '{other.name}'.*Give record the network that fit"
    log = runs.RunLog()
    with pytest.raises(ValueError, match=message), log.record("a", network) as run:
        fit(other, run)
    assert len(log) == 0


def test_a_network_of_the_same_shapes_may_stand_in_for_another():
    compiled_once, of_one_seed = models.linear((4, 4, 3), 2), models.linear((4, 4, 3), 2)
    assert inputs.trains(compiled_once, of_one_seed)


def test_a_trainer_that_holds_the_network_is_its_fit():
    images = SimpleNamespace(
        **{key: np.zeros((2, 4, 4, 3), "uint8") for key in ("x_train", "x_val")}
    )
    table = training.to_device(images)
    lazy = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])  # no weights yet
    frozen = models.linear((4, 4, 3), 2)
    frozen.trainable = False
    for network in (models.linear((4, 4, 3), 2), frozen):
        around = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Identity(), network])
        painter = PainterTrainer(network, loss=None)
        for trainer in (network, around, training.on_device(network, table), painter):
            assert inputs.trains(trainer, network)
            assert inputs.trains(trainer, lazy)
            assert not inputs.trains(trainer, models.linear((4, 4, 3), 5))


@pytest.mark.parametrize("name", [None, 3, "", " "])
@pytest.mark.parametrize("resume", [False, True])
def test_a_name_that_is_no_text_is_refused(network, name, resume, tmp_path):
    log = runs.RunLog(tmp_path)
    with pytest.raises(ValueError, match=f"Expected .* words .*Received: name={name!r}"):
        with log.record(name, network, resume=resume):
            pytest.fail("the block was entered")


class InterruptAfter(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("first", [False, True])
def test_an_interrupt_after_the_last_epoch_stops_nothing(network, first, caplog):
    log = runs.RunLog()
    with log.record("linear", network) as run:
        after = InterruptAfter()
        fit(network, after if first else run, callbacks=[run if first else after])
    assert not run.stopped
    assert not run.note
    assert [run.epochs for run in log] == [2]
    assert "(stopped)" not in repr(log)
    assert "interrupted after its last epoch: it is whole" in caplog.text


def test_keras_s_callback_for_tensorboard_goes_beside_it(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is no part of what cnnlab needs")
    run = short_fits.fit(runs.RunLog(), epochs=2, beside=[keras.callbacks.TensorBoard(tmp_path)])
    assert run.inputs == short_fits.fit(runs.RunLog(), epochs=2).inputs
    written = {}
    for path in tmp_path.glob("*/events.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.tag in ("epoch_loss", "epoch_accuracy"):
                    key = path.parent.name, value.tag.removeprefix("epoch_")
                    written.setdefault(key, []).append(float(tf.make_ndarray(value.tensor)))
    for key, name in (("loss", "train"), ("accuracy", "train"), ("loss", "validation")):
        expected = run.history[key if name == "train" else f"val_{key}"]
        assert written[name, key] == pytest.approx(expected, rel=1e-6)


def test_two_fits_of_one_run_are_added_up(network):
    log = runs.RunLog()
    with log.record("net", network) as run:
        fit(network, run)
        first = run.seconds
        fit(network, run, epochs=1)
    assert run.epochs == 3
    assert run.seconds > first
    assert "epoch 3/3" in repr(run)


def test_a_run_takes_no_fit_after_its_block(network):
    log = runs.RunLog()
    with log.record("net", network) as run:
        fit(network, run)
    with pytest.raises(ValueError, match=r"inside the block .* 'net', whose block has ended"):
        fit(network, run)
    assert run.epochs == 2


def test_epochs_without_validation_leave_a_gap(network):
    log, x = runs.RunLog(), np.zeros((8, 4, 4, 3), "float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    y = np.arange(8) % 2
    with log.record("net", network) as run:
        options = {"validation_data": (x, y), "validation_freq": 2, "verbose": 0}
        network.fit(x, y, epochs=3, callbacks=[run], **options)
    assert np.isnan(run.history["val_loss"]).tolist() == [True, False, True]
    assert "nan" not in f"{run} {log!r}"
    (panel,) = plots.learning_curves(log, metrics=["loss"]).axes
    assert [line.get_xdata().tolist() for line in panel.lines] == [[0.5, 1.5, 2.5], [2]]


def test_what_is_no_model_and_no_share_is_refused(network):
    for wrong in (None, "vgg16"):
        with pytest.raises(ValueError, match="Expected the Keras model that is trained"):
            with runs.RunLog().record("net", wrong):
                pass
    run = runs.Run("net", network, {})
    for wrong in (93.1, "93 %", float("nan")):
        with pytest.raises(ValueError, match="test_accuracy as a share 0…1"):
            run.test_accuracy = wrong
