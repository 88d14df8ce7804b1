"""The machine that a model runs on: a GPU or the processor, and the settings that suit it."""

import datetime
import os
import platform
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Device:
    """What a model will run on, and the settings that suit it.

    Attributes:
        name: The GPU's name, or the processor's kind and number of cores.
        is_gpu: Whether it is a GPU.
        precision: The dtype policy for it: `"mixed_bfloat16"`, `"mixed_float16"` or `"float32"`.
        jit_compile: Whether to compile with XLA: about twice as fast on a GPU, half as fast on a
            CPU (TensorFlow 2.21).
    """

    name: str
    is_gpu: bool
    precision: str
    jit_compile: bool


def device() -> Device:
    """Find the machine's first GPU, else its CPU, and change nothing."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        name = f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
        return Device(name, is_gpu=False, precision="float32", jit_compile=False)
    details = tf.config.experimental.get_device_details(gpus[0])
    nvidia_generation, _ = details.get("compute_capability", (0, 0))
    precision = "float32"
    if nvidia_generation >= 8:
        precision = "mixed_bfloat16"
    elif nvidia_generation == 7:
        precision = "mixed_float16"
    name = details.get("device_name", gpus[0].name)
    return Device(name, is_gpu=True, precision=precision, jit_compile=nvidia_generation > 0)


def environment() -> dict[str, str]:
    """Return versions, device and date, for the last cell of a notebook."""
    return {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (tf, keras, np)},
        "device": device().name,
        "date": datetime.date.today().isoformat(),
    }
