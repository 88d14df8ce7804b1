import subprocess
import sys

import pytest
import tensorflow as tf

from cnnlab import training
from cnnlab.training import compilation

ABORTS = [sys.executable, "-c", "import os; os.abort()"]
LIVES = [sys.executable, "-c", ""]


def test_a_process_that_aborts_or_hangs_does_not_survive():
    hangs = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert compilation.survives(LIVES)
    assert not compilation.survives(ABORTS)
    assert not compilation.survives(hangs, timeout=1)


@pytest.fixture
def gpu(monkeypatch):
    """Make a GPU of a capability appear, on which XLA, or everything, aborts."""

    def appear(capability, *, aborts=(), asked=None):
        asked = [] if asked is None else asked

        def probe(*, jit_compile):
            asked.append(jit_compile)
            return ABORTS if jit_compile in aborts else LIVES

        found = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
        details = {"device_name": "A card", "compute_capability": capability}
        monkeypatch.setattr(compilation, "_probe", probe)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [found])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
        monkeypatch.setattr(
            tf.config, "set_visible_devices", lambda devices, kind: asked.append((devices, kind))
        )

    compilation.what_works.cache_clear()
    yield appear
    compilation.what_works.cache_clear()


def test_a_gpu_known_to_work_is_not_asked(gpu):
    asked = []
    gpu((9, 0), aborts=(True, False), asked=asked)
    device = training.device()
    assert (device.is_gpu, device.jit_compile, device.reason, asked) == (True, True, "", [])


def test_a_new_gpu_on_which_xla_works_is_asked_once(gpu):
    asked = []
    gpu((12, 0), asked=asked)
    assert training.device() == training.device()
    assert training.device().jit_compile
    assert (training.device().reason, asked) == ("", [True])


def test_a_new_gpu_on_which_xla_aborts_goes_on_without_it(gpu):
    asked = []
    gpu((12, 0), aborts=(True,), asked=asked)
    device = training.device()
    assert (device.is_gpu, device.jit_compile, asked) == (True, False, [True, False])
    assert device.precision == "mixed_bfloat16"
    assert device.reason.startswith("XLA doesn't run on the GPU A card (compute capability 12.0)")


def test_a_new_gpu_on_which_all_aborts_is_hidden(gpu):
    asked = []
    gpu((12, 1), aborts=(True, False), asked=asked)
    device = training.device()
    assert (device.is_gpu, device.jit_compile, device.precision) == (False, False, "float32")
    assert device.name.startswith("CPU")
    assert "no code for the GPU A card (compute capability 12.1)" in device.reason
    assert asked == [True, False, ([], "GPU")]


@pytest.mark.slow
def test_the_probe_itself_works_here():
    command = compilation._probe(jit_compile=True)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
