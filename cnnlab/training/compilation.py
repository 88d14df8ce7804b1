"""Whether XLA, TensorFlow's compiler, works on a GPU that is newer than many a TensorFlow.

Where it doesn't, it ends the process without an exception to catch. So it is tried in a process of
its own first, and only on such GPUs: the others are known to work, and asking takes seconds.
"""

import functools
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

RTX_50 = 12  # NVIDIA's compute capability, whose kernels some builds of TensorFlow don't bring
SECONDS = 180  # after which the process counts as dead
PROBE = """
import sys
import tensorflow as tf
for gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(gpu, True)
x = tf.random.normal((2, 8, 8, 4))
f = lambda x: tf.reduce_sum(tf.nn.conv2d(x, tf.ones((3, 3, 4, 4)), 1, "SAME"))
f = tf.function(f, jit_compile=sys.argv[1] == "True")
sys.exit(0 if float(f(x)) is not None else 1)
"""


@functools.cache  # it takes seconds, and a notebook asks for its device several times
def what_works(capability: tuple[int, ...]) -> Literal["xla", "gpu", "cpu"]:
    """Find what trains on an NVIDIA GPU without ending the process.

    Args:
        capability: The GPU's compute capability, such as (12, 0).

    Returns:
        `"xla"`: all does. `"gpu"`: the GPU does, without XLA. `"cpu"`: this TensorFlow has no code
        for the GPU.
    """
    if capability[0] < RTX_50 or survives(_probe(jit_compile=True)):
        return "xla"
    return "gpu" if survives(_probe(jit_compile=False)) else "cpu"


def survives(command: Sequence[str], *, timeout: float = SECONDS) -> bool:
    """Run a command quietly and tell whether it comes to a good end.

    Args:
        command: The program and its arguments.
        timeout: Seconds after which it is ended and counts as dead.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _probe(*, jit_compile: bool) -> list[str]:
    """Return the command that runs one convolution, compiled or not, on the first device."""
    return [sys.executable, "-c", PROBE, str(jit_compile)]
