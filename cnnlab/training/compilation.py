"""XLA: keep what it compiles from one process to the next; find out whether it works here at all.

Import this before TensorFlow, which reads these switches once, when it starts. An unknown switch
ends the process, so they are only set for versions of TensorFlow that are known to have them, or
after a process of its own has survived them.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["RTX_50", "keep", "survives", "without_xla"]

KNOWN = ("2.21",)
RTX_50 = 12  # NVIDIA's compute capability, whose kernels some builds of TensorFlow don't bring
PROBE = """
import tensorflow as tf
x = tf.random.normal((2, 8, 8, 4))
f = lambda x: tf.reduce_sum(tf.nn.conv2d(x, tf.ones((3, 3, 4, 4)), 1, "SAME"))
print("ran", float(tf.function(f, jit_compile=JIT)(x)) is not None)
"""


def keep(folder: str | Path, *, autotuning: bool = True, programs: bool = True) -> bool:
    """Keeps compiled programs, and which kernels proved fastest, in a folder.

    Training then starts at once the second time. The folder may be deleted at any time.

    Args:
        folder: Made if it isn't there.
        autotuning: Whether to keep the choice of kernels.
        programs: Whether to keep the programs themselves.

    Returns:
        Whether they will be kept. Not where TensorFlow is running already, the folder can't be
        made, or this TensorFlow doesn't know how.
    """
    if "tensorflow" in sys.modules:
        return False
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    switches = {}
    if autotuning:
        switches["XLA_FLAGS"] = f"--xla_gpu_per_fusion_autotune_cache_dir={folder}"
    if programs:
        switches["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder}"
    together = {k: f"{os.environ.get(k, '')} {v}".strip() for k, v in switches.items()}
    if not _knows(together, folder):
        return False
    os.environ.update(together)
    return True


def survives(
    *, jit_compile: bool, environment: Mapping[str, str] | None = None, timeout: float = 180
) -> bool:
    """Whether a process of its own lives through one compiled convolution on the first device.

    Args:
        jit_compile: Whether to compile it with XLA.
        environment: Variables to set there.
        timeout: Seconds after which it counts as dead.
    """
    return _runs(
        [sys.executable, "-c", PROBE.replace("JIT", str(jit_compile))], environment or {}, timeout
    )


def without_xla(capability: Sequence[int], *, probe=survives) -> tuple[str, str, str] | None:
    """What to do about a GPU that TensorFlow may have been built too early for.

    Older GPUs are not asked: there XLA is known to work, and asking takes seconds.

    Args:
        capability: The GPU's compute capability, such as (12, 0).
        probe: Called with `jit_compile`; says whether that ran to its end.

    Returns:
        None where all is well. Else what remains, "gpu" or "cpu", with heading and text for
        `notice.box`.
    """
    if not capability or capability[0] < RTX_50 or probe(jit_compile=True):
        return None
    generation = ".".join(str(part) for part in capability)
    if probe(jit_compile=False):
        return (
            "gpu",
            "Training without XLA",
            f"TensorFlow's compiler XLA doesn't run on this GPU (compute capability {generation}). "
            "All goes on without it, at about half the speed.",
        )
    return (
        "cpu",
        "Training on the CPU",
        f"This TensorFlow has no code for this GPU (compute capability {generation}). All goes on "
        "on the CPU, slowly: choose a smaller preset.",
    )


def _knows(switches: Mapping[str, str], folder: Path) -> bool:
    """Whether this TensorFlow bears the switches, as is known or tried once for each version."""
    version = importlib.metadata.version("tensorflow")
    if version.rpartition(".")[0] in KNOWN:
        return True
    verdict = folder / f"switches-{version}.txt"
    if not verdict.exists():
        # On the CPU: switches are read alike everywhere, and the GPU's memory stays free.
        ran = survives(jit_compile=True, environment={**switches, "CUDA_VISIBLE_DEVICES": "-1"})
        verdict.write_text("ran" if ran else "died", encoding="utf-8")
    return verdict.read_text(encoding="utf-8") == "ran"


def _runs(command: Sequence[str], environment: Mapping[str, str], timeout: float) -> bool:
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"ran" in done.stdout
