"""Damaged files of every kind end in a result or in a documented error, soon and in little memory.

A few of each kind are part of every run; all, with `-m fuzz`.
"""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("mutants.py")
FULL, SAMPLE = 2_000, 25
PEAK_MB = 1_000
KINDS = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "archive", "binary batch"]
KINDS += ["python batch", "folder"]
WEIGHTS = ["npz", "h5", "weights.h5"]


def check(found, count):
    assert found["problems"] == [], found
    assert found["longest_message"] < 5_000, found  # of paths as long as paths can be
    assert sum(found["ends"].values()) == count, found
    assert len(found["ends"]) > 1 or count < FULL, found  # else nothing was put to the test


def check_apart(kinds, count):
    """Run in a process of its own, which a crash, a hang or a flood of memory ends."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kinds, str(count)],
        capture_output=True, text=True, cwd=SCRIPT.parents[2], timeout=3_000,
    )  # fmt: skip
    assert done.returncode == 0, f"ended at {done.stderr[-2_000:]}"
    for line in done.stdout.splitlines():
        found = json.loads(line)
        check(found, count)
        assert found["peak_mb"] < PEAK_MB, found


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, *WEIGHTS])
def test_thousands_of_damaged_files(kind):
    check_apart(kind, FULL)


def test_a_few_damaged_files_of_each_kind():
    check_apart(",".join(KINDS), SAMPLE)


@pytest.mark.filterwarnings("ignore")  # Keras's own, about files that it refuses next
@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_few_damaged_files_of_weights(kind):
    check(runpy.run_path(str(SCRIPT))["run"](kind, SAMPLE), SAMPLE)  # here, as Keras starts slowly
