"""How long a style transfer is going to take.

Before a size is known, from the network's operations and a convolution timed on this device, good
to about a factor of two; afterwards, from what the last run at that size took.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence

import tensorflow as tf

from cnnlab import training
from cnnlab.style.pyramid import Level
from cnnlab.style.vgg import VGGPlan

# Share of a lone convolution's speed that a whole step reaches, and the least that a step takes.
SPEED_SHARE = {"CPU": 0.8, "GPU": 0.4}
LEAST_SECONDS = {"CPU": 5e-3, "GPU": 1.5e-3}
# What runs of this process took, by kind and size: seconds to prepare the size, and a step's.
_seen: dict[Hashable, tuple[float, float]] = {}


class Timer:
    """The seconds of a run: expected, taken and left, with compiling and callbacks apart.

    Args:
        levels: The sizes of the run.
        guesses: A step's seconds at each; used where no run of this kind was at this size before.
        kind: What tells runs apart that take different times at the same size.
        clock: Tells the time in seconds.
        started: When the run began, by the clock; None: now.

    Attributes:
        compiling: Seconds of tracing and compiling so far.
        calling: Seconds in callbacks so far.
        guessed: What all steps take by the guesses.
        expected: What the run takes, without compiling and callbacks, as expected at its start.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        guesses: Sequence[float],
        *,
        kind: Hashable = None,
        clock: Callable[[], float] = time.perf_counter,
        started: float | None = None,
    ):
        self.levels, self.kind, self.clock = levels, kind, clock
        self.started = clock() if started is None else started
        self.compiling = self.calling = 0.0
        # A size is prepared in about a step's time: features of the content and of the styles.
        self._costs = [
            _seen.get(self._key(level), (guess, guess))
            for level, guess in zip(levels, guesses, strict=True)
        ]
        self.guessed = math.fsum(
            lv.steps * guess for lv, guess in zip(levels, guesses, strict=True)
        )
        self._before = self.seconds
        self.expected = self._before + self._cost(sum(level.steps for level in levels))

    def _key(self, level: Level) -> Hashable:
        return self.kind, level.height, level.width, level is self.levels[-1]

    def _cost(self, steps: int) -> float:
        """Return the seconds that the first steps were expected to take, preparations included."""
        total = 0.0
        for level, (prepare, step) in zip(self.levels, self._costs, strict=True):
            if steps > 0:
                total += prepare + min(steps, level.steps) * step
            steps -= level.steps
        return total

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.clock() - self.started

    @property
    def working(self) -> float:
        """Since the start, without compiling and callbacks."""
        return self.seconds - self.compiling - self.calling

    def left(self, step: int) -> float:
        """Return the seconds until the end after this step: as expected, at the pace so far."""
        done, spent = self._cost(step), self.working - self._before
        whole = self.expected - self._before
        return (whole - done) * (spent / done if done else 1.0)

    @contextlib.contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Count the time of the block as "compiling" or "calling"."""
        began = self.clock()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + self.clock() - began)

    def remember(self, level: Level, prepare: float, steps: float) -> None:
        """Keep for later runs of this kind what a size took: to prepare, and all of its steps."""
        _seen[self._key(level)] = prepare, steps / level.steps


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
            back = tf.nn.conv2d_transpose(x, kernel, x.shape, strides=1)
        (forward[0, 0, 0, 0] + back[0, 0, 0, 0]).numpy()  # waits for the device
        return time.perf_counter() - start

    seconds(1)
    n = 2 if seconds(1) > 4e-3 else 50
    operations = 2 * pictures * 2 * 9 * 128 * 128 * 64 * 64
    return n * operations / min(seconds(n) for _ in range(2))
