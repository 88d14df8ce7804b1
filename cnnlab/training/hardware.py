"""The machine that a model runs on: a GPU or the processor, and the settings that suit it."""

import datetime
import os
import platform
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnnlab.training.compilation import what_works
from cnnlab.training.strategies import connected, workers


@dataclass(frozen=True)
class Device:
    """What a model will run on, and the settings that suit it.

    Attributes:
        name: The GPU's name, or the processor's kind and number of cores.
        is_gpu: Whether it is a GPU.
        precision: The dtype policy for it: `"mixed_bfloat16"`, `"mixed_float16"` or `"float32"`.
        jit_compile: Whether to compile with XLA: about twice as fast on a GPU, half as fast on a
            CPU (TensorFlow 2.21).
        reason: Why training goes on without XLA or without the GPU that is there, for the reader;
            empty where all is well.
    """

    name: str
    is_gpu: bool
    precision: str
    jit_compile: bool
    reason: str = ""


def device() -> Device:
    """Find the machine's first GPU, else its CPU.

    On a GPU of compute capability 12 and above, such as an RTX 50, this first sees in a process of
    its own that TensorFlow doesn't die there, which takes some seconds, once. It changes nothing,
    except that GPUs for which TensorFlow has no code are hidden from it. Where `TF_CONFIG` names
    several machines, it connects them: TensorFlow wants that before its first operation.
    """
    if workers() > 1:
        connected()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return _cpu()
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = details.get("compute_capability", (0, 0))
    name = details.get("device_name", gpus[0].name)
    works = what_works(capability)
    generation = f"{name} (compute capability {'.'.join(map(str, capability))})"
    if works == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return _cpu(
            f"This TensorFlow has no code for the GPU {generation}. All goes on on the CPU, slowly."
        )
    precision = "float32"
    if capability[0] >= 8:
        precision = "mixed_bfloat16"
    elif capability[0] == 7:
        precision = "mixed_float16"
    if works == "gpu":
        reason = f"XLA doesn't run on the GPU {generation}. All goes on without it, more slowly."
        return Device(name, is_gpu=True, precision=precision, jit_compile=False, reason=reason)
    return Device(name, is_gpu=True, precision=precision, jit_compile=capability[0] > 0)


def _cpu(reason: str = "") -> Device:
    name = f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
    return Device(name, is_gpu=False, precision="float32", jit_compile=False, reason=reason)


def environment() -> dict[str, str]:
    """Return versions, device and date, for the last cell of a notebook."""
    return {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (tf, keras, np)},
        "device": device().name,
        "date": datetime.date.today().isoformat(),
    }
