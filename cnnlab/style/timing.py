"""How long a style transfer is going to take.

Before a size is known, from the network's operations and a convolution timed on this device, good
to about a factor of two; afterwards, from what the last run at that size took.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

import tensorflow as tf

from cnnlab import training
from cnnlab.style.pyramid import Level
from cnnlab.style.vgg import VGGPlan

# Share of a lone convolution's speed that a whole step reaches, and the least that a step takes.
SPEED_SHARE = {"CPU": 0.8, "GPU": 0.4}
LEAST_SECONDS = {"CPU": 5e-3, "GPU": 1.5e-3}
# What runs of this process took, by kind and size: seconds to prepare the size, and a step's.
_seen: dict[Hashable, tuple[float, float]] = {}


def remember(kind: Hashable, level: Level, prepare: float, step: float) -> None:
    """Keep what a size took in a run of this kind, without compiling, for the next such run."""
    _seen[kind, level.height, level.width] = prepare, step


def remembered(kind: Hashable, level: Level) -> tuple[float, float] | None:
    """Return what the last run of this kind took at this size: to prepare it, and a step."""
    return _seen.get((kind, level.height, level.width))


def step_seconds(levels: Sequence[Level], plan: VGGPlan, dtype: str) -> list[float]:
    """Estimate a step's seconds at each size from the network's operations."""
    device = "GPU" if training.device().is_gpu else "CPU"
    rate = SPEED_SHARE[device] * _flops_per_second(dtype, device)
    # Forward and back: the gradient of the picture costs as much as its features.
    return [
        max(2 * plan.flops(level.height, level.width) / rate, LEAST_SECONDS[device])
        for level in levels
    ]


def _flops_per_second(dtype: str, device: str) -> float:
    """Time a convolution of the middle of a VGG, forward and back, for milliseconds."""
    pictures = 32 if device == "GPU" else 1  # a GPU is slow at anything small
    x = tf.ones((pictures, 64, 64, 128), dtype)
    kernel = tf.ones((3, 3, 128, 128), dtype)

    def seconds(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            forward = tf.nn.conv2d(x, kernel, 1, "SAME")
            back = tf.nn.conv2d_transpose(x, kernel, x.shape, 1, "SAME")
        (forward[0, 0, 0, 0] + back[0, 0, 0, 0]).numpy()  # waits for the device
        return time.perf_counter() - start

    seconds(1)
    n = 2 if seconds(1) > 4e-3 else 50
    operations = 2 * pictures * 2 * 9 * 128 * 128 * 64 * 64
    return n * operations / min(seconds(n) for _ in range(2))
