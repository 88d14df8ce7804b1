import os
import subprocess
import sys

import pytest

from cnnlab import compiled


@pytest.fixture
def not_started(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(os, "environ", {**os.environ, "XLA_FLAGS": "--xla_gpu_autotune_level=4"})


def test_keeps_both_beside_the_switches_that_are_there(not_started, tmp_path):
    assert compiled.keep(tmp_path / "xla")
    assert os.environ["XLA_FLAGS"] == (
        f"--xla_gpu_autotune_level=4 --xla_gpu_per_fusion_autotune_cache_dir={tmp_path / 'xla'}"
    )
    assert f"persistent_cache_directory={tmp_path / 'xla'}" in os.environ["TF_XLA_FLAGS"]


def test_sets_nothing_once_tensorflow_runs_or_where_no_folder_can_be(not_started, tmp_path):
    (tmp_path / "file").write_text("")
    before = dict(os.environ)
    assert not compiled.keep(tmp_path / "file")
    sys.modules["tensorflow"] = object()
    assert not compiled.keep(tmp_path / "xla")
    assert dict(os.environ) == before


def test_an_unknown_version_is_tried_once_and_its_death_leaves_all_as_it_was(
    not_started, tmp_path, monkeypatch
):
    tried = []

    def died(command, environment, timeout):
        tried.append(environment)
        return False

    monkeypatch.setattr(compiled, "KNOWN", ())
    monkeypatch.setattr(compiled, "_runs", died)
    before = dict(os.environ)
    assert not compiled.keep(tmp_path)
    assert not compiled.keep(tmp_path)
    assert len(tried) == 1
    assert "persistent_cache_directory" in tried[0]["TF_XLA_FLAGS"]
    assert dict(os.environ) == before


def test_a_process_that_aborts_does_not_survive():
    aborts = [sys.executable, "-c", "import os; print('ran', flush=True); os.abort()"]
    lives = [sys.executable, "-c", "print('ran')"]
    sleeps = [sys.executable, "-c", "import time; print('ran', flush=True); time.sleep(60)"]
    assert not compiled._runs(aborts, {}, 60)
    assert compiled._runs(lives, {}, 60)
    assert not compiled._runs(sleeps, {}, 2)


@pytest.mark.parametrize(
    ("capability", "with_xla", "without", "remains"),
    [
        ((9, 0), False, False, None),  # not even asked
        ((12, 0), True, True, None),
        ((12, 0), False, True, "gpu"),
        ((12, 1), False, False, "cpu"),
        ((), False, False, None),
    ],
)
def test_an_rtx_50_goes_on_with_what_survives(capability, with_xla, without, remains):
    found = compiled.without_xla(
        capability, probe=lambda *, jit_compile: with_xla if jit_compile else without
    )
    assert (found and found[0]) == remains
    if remains:
        assert f"{capability[0]}.{capability[1]}" in found[2]


@pytest.mark.slow
def test_the_second_process_compiles_nothing(tmp_path):
    """The switches are ones that TensorFlow knows, and programs are written and read again."""
    work = (
        "from cnnlab import compiled; import sys;"
        "kept = compiled.keep(sys.argv[1]);"
        "import tensorflow as tf;"
        "f = tf.function(lambda x: tf.linalg.matmul(x, x) + 1, jit_compile=True);"
        "f(tf.ones((4, 4))); print('ran', kept)"
    )
    stamps = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", work, str(tmp_path)], capture_output=True, text=True
        )
        assert "ran True" in done.stdout, done.stderr[-2000:]
        stamps.append({p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("*.pb")})
    assert stamps[0]
    assert stamps[0] == stamps[1]
