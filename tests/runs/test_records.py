import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from short_fits import LABELS, PICTURES, compiled, fit, network

from cnnlab import plots, runs
from cnnlab.runs import records

TESTS = Path(__file__).resolve().parents[1]
# Another kernel, which says that it is ready, waits for a sign, and writes 200 lines.
WRITER = (
    "from test_records import *; print(flush=True); input(); write(Path(sys.argv[1]), 'theirs')"
)


def write(folder, name):
    """Write 200 lines; `append` needs nothing of a run but its attributes."""
    state = {"settings": {"text": "x" * 5000}, "inputs": {}, "history": {"loss": [1.0]}, "note": ""}
    times = {"date": "2026-01-01T00:00:00", "seconds": 1.0, "first_step_seconds": 0.5}
    ends = {"stopped": False, "diverged": False, "test_accuracy": None, "parameters": 1}
    run = SimpleNamespace(name=name, **state, **times, **ends)
    for number in range(200):
        records.append(folder, run, number)


def once(log, name="net", *, epochs=1, **options):
    return fit(log, name=name, epochs=epochs, trainer=compiled(network()), **options)


@pytest.fixture
def another_kernel(monkeypatch):
    """Call it, and what was written before is of an earlier kernel."""
    return lambda: monkeypatch.setattr(records, "KERNEL", "ffff0000")


def test_a_run_outlives_its_kernel_with_its_score(tmp_path, another_kernel):
    log = runs.RunLog(tmp_path / "runs")
    run = once(log, epochs=2)
    run.test_accuracy = 0.4321
    assert runs.earlier(tmp_path / "runs") == []  # this kernel's are in the log
    another_kernel()
    (found,) = runs.earlier(tmp_path / "runs")
    for name in ("name", "settings", "inputs", "history", "parameters", "seconds", "date"):
        assert getattr(found, name) == getattr(run, name)
    assert found.test_accuracy == 0.4321
    assert set(found.versions) == {"keras", "tensorflow"}
    text = (tmp_path / "runs" / "log.jsonl").read_text()
    assert str(tmp_path) not in text
    assert len(text) < 2 * 10_000


def test_earlier_runs_are_a_table_and_curves_beside_this_kernel_s(tmp_path, another_kernel):
    once(runs.RunLog(tmp_path))
    another_kernel()
    log = runs.RunLog(tmp_path)
    once(log, "wider")
    earlier = runs.earlier(tmp_path)
    assert "net" in repr(earlier)
    assert "<th style='text-align:left'>date</th>" in earlier._repr_html_()
    labels = [text.get_text() for text in plots.learning_curves([*log, *earlier]).axes[1].texts]
    assert labels == ["wider", "net"]
    assert [run.name for run in log] == ["wider"]


def test_two_runs_are_compared_in_a_few_lines(tmp_path, another_kernel):
    once(runs.RunLog(tmp_path))
    another_kernel()
    (before,) = runs.earlier(tmp_path)
    log = runs.RunLog()
    with log.record(
        "net", trainer := compiled(network(), keras.optimizers.Adam(0.1)), lr=0.5
    ) as run:
        trainer.fit(PICTURES, LABELS, verbose=0, callbacks=[run])
    run.test_accuracy, before.test_accuracy = 0.5, 0.25
    lines = repr(run.compared_with(before)).splitlines()
    assert any(line.split() == ["lr", "0.5", "–"] for line in lines)
    assert any(line.split() == ["optimizer", "Adam", "SGD"] for line in lines)
    assert any(
        line.split() == ["test", "accuracy", "50.00%", "25.00%", "(-25.00", "points)"]
        for line in lines
    )
    assert len(lines) < 15


def test_two_kernels_write_at_once(tmp_path, another_kernel):
    code = f"import sys; sys.path[:0] = {[str(TESTS), str(TESTS / 'runs')]}; {WRITER}"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        other.stdin.write(b"go\n")
        other.stdin.flush()
        write(tmp_path, "ours")
    assert other.returncode == 0
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    names = [json.loads(line)["name"] for line in lines if line]
    assert names.count("ours") == names.count("theirs") == 200
    another_kernel()
    assert len(runs.earlier(tmp_path)) == 400


def test_lines_that_hold_no_run_are_passed_over_with_a_note(tmp_path, another_kernel, caplog):
    path = tmp_path / "log.jsonl"
    once(runs.RunLog(tmp_path))
    whole = path.read_text()
    foreign = [
        '{"name": 3}',
        "no JSON",
        "[]",
        "\udcff",
        whole.replace('"history": {', '"history": {"a": 1, '),
    ]
    path.write_text("\n".join(foreign) + "\n" + whole[:100], errors="surrogateescape")
    once(runs.RunLog(tmp_path), "after a half-written line")
    another_kernel()
    assert [run.name for run in runs.earlier(tmp_path)] == ["after a half-written line"]
    assert caplog.messages == ["log.jsonl: passed over 6 lines that hold no run: 1, 2, 3, 4, 5, …"]


def test_a_folder_that_can_t_be_written_costs_one_warning_and_no_training(tmp_path, caplog):
    (tmp_path / "runs").write_text("a file in its place")
    log = runs.RunLog(tmp_path / "runs")
    once(log)
    once(log, "another", resume=True)
    assert [run.name for run in log] == ["net", "another"]
    assert [message.split(" (")[0] for message in caplog.messages] == [
        "Runs can't be written to the log's folder",
        "The checkpoint after epoch 1 could not be written",
    ]
    assert str(tmp_path) not in caplog.text


def test_no_folder_no_runs(tmp_path):
    assert repr(runs.earlier(tmp_path / "nowhere")) == "no runs yet"
    runs.RunLog(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_home_is_the_user_s(tmp_path, another_kernel, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    once(runs.RunLog("~/log"))
    another_kernel()
    assert (tmp_path / "log" / "log.jsonl").exists()
    assert len(runs.earlier("~/log")) == 1


def test_a_log_that_can_t_be_read_holds_no_runs_and_is_named(tmp_path, caplog):
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "log.jsonl").mkdir()
    for folder in (tmp_path, file):
        caplog.clear()
        assert runs.earlier(folder) == []
        (note,) = caplog.messages
        assert f"Received: {folder / 'log.jsonl'} (" in note


@pytest.mark.parametrize("folder", [None, 3, "~nobody-of-this-name/log"])
def test_what_is_no_folder_is_refused(folder):
    with pytest.raises(ValueError, match=r"Expected the path of a log's folder.*Received: folder="):
        runs.earlier(folder)
    if folder is not None:
        with pytest.raises(ValueError, match="Received: folder="):
            runs.RunLog(folder)
