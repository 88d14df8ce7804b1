import errno
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from short_fits import LABELS, PICTURES, At, compiled, fit, interrupt, network, shuffled, usual

from cnnlab import runs, training

TESTS = Path(__file__).resolve().parents[1]
REPEATED = {"steps_per_epoch": 3}
ROWS = np.arange(len(LABELS))
VISITS = training.Visits(ROWS, LABELS, 5, crop=1, flip=True, side=4)
DATA = {
    "shuffled": {},
    "several steps a call": {"trainer": lambda: compiled(network(), steps_per_execution=3)},
    "without end": {"data": lambda: (shuffled(repeat=True),), **REPEATED},
    "arrays": {"data": lambda: (PICTURES, LABELS), "batch_size": 5, "shuffle": True},
    "blocks of visits": {
        "trainer": lambda: compiled(training.BlockTrainer(network(), training.LookUp(PICTURES))),
        "data": lambda: (VISITS.blocks(3, steps_per_call=1),),
        "steps_per_epoch": VISITS.steps,
        "validation_data": lambda: training.plain_visits(ROWS, LABELS, batch_size=5),
    },
}


def made(options):
    return {key: make() if callable(make) else make for key, make in options.items()}


def die():
    raise SystemExit


def checkpoints(folder):
    return list(Path(folder).rglob("*.npz"))


def test_a_killed_kernel_goes_on_with_the_numbers_of_one_that_was_not(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from short_fits import fit_and_die; "
    code += f"fit_and_die({str(tmp_path)!r})"
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=TESTS.parent)
    assert killed.returncode == -9, killed.stderr.decode()
    assert len(checkpoints(tmp_path)) == 1
    steps = []
    beside = [At(epoch, 0, lambda epoch=epoch: steps.append(epoch)) for epoch in range(3)]
    run = fit(runs.RunLog(tmp_path), resume=True, trainer=usual(), beside=beside)
    assert steps == [1, 2]
    plain = fit(runs.RunLog(), trainer=usual())
    assert run.history == plain.history
    assert run.epochs == 3
    for resumed, whole in zip(run.network.weights, plain.network.weights, strict=True):
        np.testing.assert_array_equal(resumed, whole)
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize("case", DATA)
def test_the_order_of_any_data_goes_on(case, tmp_path):
    with pytest.raises(SystemExit):
        fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 2, die)], **made(DATA[case]))
    run = fit(runs.RunLog(tmp_path), resume=True, **made(DATA[case]))
    assert run.history == fit(runs.RunLog(), **made(DATA[case])).history


def test_a_stopped_run_goes_on_too_and_its_trainer_is_free_for_the_next(tmp_path):
    log, trainer = runs.RunLog(tmp_path), compiled(network())
    weights = trainer.get_weights()
    run = fit(log, resume=True, trainer=trainer, beside=[At(1, 2, interrupt)])
    assert "ends with epoch 1, after which resume=True goes on" in run.note
    run = fit(log, resume=True, trainer=trainer)
    assert run.epochs == 3
    assert not run.stopped
    assert len(log) == 1
    trainer.set_weights(weights)
    assert fit(log, trainer=trainer, epochs=2).epochs == 2  # from its first epoch


def test_a_run_of_other_inputs_does_not_go_on_from_it(tmp_path):
    with pytest.raises(SystemExit):
        fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 0, die)])
    trainer = compiled(network(), keras.optimizers.SGD(0.2))
    first = []
    fit(
        runs.RunLog(tmp_path),
        resume=True,
        trainer=trainer,
        beside=[At(0, 0, lambda: first.append(1))],
    )
    assert first


def test_other_pictures_or_labels_begin_anew(tmp_path):
    others = {
        "pictures": {"data": (255 - PICTURES, LABELS)},
        "labels": {"data": (PICTURES, 2 - LABELS)},
        "validation": {"validation_data": (PICTURES[:6], LABELS[:6])},
        "nothing": {},
    }
    for changed, options in others.items():
        usual = {"data": (PICTURES, LABELS), "batch_size": 5}
        with pytest.raises(SystemExit):
            fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 0, die)], **usual)
        first = []
        note = At(0, 0, lambda first=first: first.append(1))
        fit(runs.RunLog(tmp_path), resume=True, beside=[note], **usual | options)
        assert bool(first) == (changed != "nothing"), changed


def test_a_full_disk_keeps_the_checkpoint_before_and_the_training_goes_on(
    tmp_path, monkeypatch, caplog
):
    savez, calls = np.savez, []

    def full(file, *arrays, **named):
        calls.append(1)
        if len(calls) > 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        savez(file, *arrays, **named)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(SystemExit):
        fit(runs.RunLog(tmp_path), resume=True, beside=[At(2, 3, die)])
    assert len(calls) == 2
    (warning,) = caplog.messages
    assert (
        "after epoch 2 could not be written (No space left on device). The one before is kept"
        in warning
    )
    assert [path.suffix for path in (tmp_path / "checkpoints").iterdir()] == [".npz"]
    monkeypatch.undo()
    again = []
    run = fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 0, lambda: again.append(1))])
    assert again
    assert run.history == fit(runs.RunLog()).history


def test_a_truncated_checkpoint_is_passed_over_with_a_note(tmp_path, caplog):
    with pytest.raises(SystemExit):
        fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 0, die)])
    (path,) = checkpoints(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    run = fit(runs.RunLog(tmp_path), resume=True)
    (note,) = caplog.messages
    assert f"The checkpoint {path.name} can't be read" in note
    assert str(tmp_path) not in note
    assert run.history == fit(runs.RunLog()).history


def test_without_a_folder_it_is_refused():
    with pytest.raises(ValueError, match=r"Expected a log with a folder .*RunLog\('runs'\)"):
        fit(runs.RunLog(), resume=True)


def test_stop_while_a_checkpoint_is_written_keeps_the_one_before(tmp_path, monkeypatch):
    savez, calls = np.savez, []

    def stopped(file, *arrays, **named):
        calls.append(1)
        if len(calls) > 1:
            file.write(b"half")
            raise KeyboardInterrupt
        savez(file, *arrays, **named)

    monkeypatch.setattr(np, "savez", stopped)
    run = fit(runs.RunLog(tmp_path), resume=True)
    assert run.stopped
    assert [path.suffix for path in (tmp_path / "checkpoints").iterdir()] == [".npz"]
    monkeypatch.undo()
    again = fit(runs.RunLog(tmp_path), resume=True)
    assert again.history == fit(runs.RunLog()).history


def test_a_checkpoint_is_replaced_and_never_written_over(tmp_path):
    def keep():
        (path,) = checkpoints(tmp_path)
        (tmp_path / "first").hardlink_to(path)

    with pytest.raises(SystemExit):
        fit(runs.RunLog(tmp_path), resume=True, beside=[At(1, 0, keep), At(2, 0, die)])
    (path,) = checkpoints(tmp_path)
    for name, epochs in ((tmp_path / "first", 1), (path, 2)):
        with np.load(name) as file:
            assert f'"epochs": {epochs}' in str(file["progress"])
