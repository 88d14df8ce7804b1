import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from short_fits import At, compiled, fit, interrupt, network, shuffled

from cnnlab import _notebook, runs


@pytest.fixture
def lines(monkeypatch):
    """What a notebook's cell shows, one list of versions for each output."""
    shown = []

    class Handle:
        def __init__(self, thing):
            self.versions = [repr(thing)]
            shown.append(self.versions)

        def update(self, thing):
            self.versions.append(repr(thing))

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=True))
    monkeypatch.setattr("IPython.display.display", lambda thing, display_id: Handle(thing))
    return shown


def test_a_line_is_there_before_the_first_step_and_its_last_version_stays(lines, monkeypatch):
    monkeypatch.setattr(_notebook, "SECONDS_A_LINE", 0.0)
    first = []
    note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: first.extend(lines[0]))
    fit(runs.RunLog(), epochs=2, beside=[note])
    assert first[0] == "net: compiling…"
    (line,) = lines
    assert line[1].startswith("net: epoch 1/2, step 1/4, loss ")
    assert any(", about " in version and version.endswith(" s left") for version in line)
    assert line[-1].startswith("net: epoch 2/2, ")
    assert line[-1].split(", ")[-1].startswith("validation ")
    assert "\n" not in "".join(line)


def test_the_line_changes_a_few_times_a_second(lines):
    beside = [
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.01))
    ]
    started = time.perf_counter()
    fit(runs.RunLog(), epochs=12, beside=beside)
    passed = time.perf_counter() - started
    assert len(lines[0]) <= 4 * passed + 4  # and at the start and the end


def test_nothing_is_printed_outside_of_a_notebook(capfd):
    fit(runs.RunLog(), epochs=1)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    ("stop", "note", "epochs"),
    [
        ((0, 1), "stopped in epoch 1 of 3 after 2 of 4 steps, loss", 0),
        ((2, 0), "stopped in epoch 3 of 3 after 1 of 4 steps, loss", 2),
    ],
)
def test_stop_says_what_was_kept(lines, stop, note, epochs):
    log = runs.RunLog()
    run = fit(log, beside=[At(*stop, interrupt)])
    assert run.stopped
    assert run.note.startswith(note)
    assert (": the network keeps what it has learnt; " in run.note) == (not epochs)
    end = (
        "the log has no row for it"
        if not epochs
        else f"its row in the log ends with epoch {epochs}"
    )
    assert run.note.endswith(end)
    assert lines[0][-1] == f"net: {run.note}"
    assert len(log) == bool(epochs)


@pytest.mark.parametrize("metrics", [["accuracy"], []], ids=["accuracy", "loss"])
def test_stop_gives_the_weights_of_the_best_epoch(metrics):
    trainer, kept = compiled(network(), metrics=metrics), []

    def spoil():  # before validation
        trainer.set_weights([-9 * weight for weight in trainer.get_weights()])

    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(trainer.get_weights())
    )
    run = fit(runs.RunLog(), trainer=trainer, beside=[At(1, 3, spoil), keep, At(2, 1, interrupt)])
    first, second = run.history["val_loss"]
    assert first < second
    assert ": the network is as it was after epoch 1, the best on validation; " in run.note
    assert run.note.endswith("ends with epoch 2")
    for weight, best in zip(trainer.get_weights(), kept[0], strict=True):
        np.testing.assert_array_equal(weight, best)


def test_stop_while_compiling_says_that_nothing_was_learnt(lines):
    class Compiling(keras.Model):
        def __init__(self):
            super().__init__()
            self.model, self.built = network(), True

        def call(self, x, training=False):
            raise KeyboardInterrupt

    run = fit(runs.RunLog(), trainer=compiled(Compiling()))
    assert run.note.startswith("stopped before its first step: the network is as it was; ")


def test_stop_outside_of_a_notebook_is_logged(caplog):
    run = fit(runs.RunLog(), beside=[At(0, 1, interrupt)])
    assert caplog.messages == [f"net: {run.note}"]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, of any generator's end
def test_steps_that_nobody_counted_before_have_no_time_left(lines):
    def generate():
        yield from shuffled()

    fit(runs.RunLog(), data=(generate(),), epochs=1)
    assert "left" not in "".join(lines[0])
    assert lines[0][-1].startswith("net: epoch 1/1, ")
