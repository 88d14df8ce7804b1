"""What a style transfer is going to do, checked and estimated before it does anything."""

from __future__ import annotations

import math
import operator
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import tensorflow as tf

from cnnlab import images
from cnnlab.style.features import Chain

SMALLEST_LEVEL = 128
# Memory of a step as multiples of the network's answers to the picture: they are kept for the way
# back, where gradients of the largest ones join them. (512 px, bfloat16, XLA, H100: 0.43 GB.)
MEMORY_FACTOR = 3.0
# Share of a lone convolution's speed that a whole step reaches, and the least that a step takes.
SPEED_SHARE = {"CPU": 0.8, "GPU": 0.4}
LEAST_SECONDS = {"CPU": 5e-3, "GPU": 1.5e-3}


@dataclass(frozen=True)
class Level:
    """One size of the pyramid and the number of steps taken at it."""

    height: int
    width: int
    steps: int


@dataclass(frozen=True)
class Estimate:
    """What a run will need.

    Attributes:
        memory: Bytes at the largest size.
        available: Bytes that the device has left, None if it doesn't tell.
        seconds: Of computing, without tracing and compiling. Good to about a factor of two.
    """

    memory: int
    available: int | None
    seconds: float

    def __str__(self) -> str:
        left = "" if self.available is None else f" of {self.available / 1e9:.1f} GB available"
        return f"about {self.seconds:.0f} s, {self.memory / 1e9:.1f} GB{left}"


def positive_int(name: str, value: int) -> int:
    """The value as a Python int, at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"Expected {name} to be a positive whole number. Received: {value!r}")
    return number


def number(name: str, value: float, low: float = 0.0, high: float = math.inf) -> float:
    """The value as a finite float in low…high."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not (math.isfinite(result) and low <= result <= high):
        limits = f"at least {low:g}" if high == math.inf else f"in {low:g}…{high:g}"
        raise ValueError(f"Expected {name} to be a finite number {limits}. Received: {value!r}")
    return result


def shares(name: str, weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that add up to 1.

    Raises:
        ValueError: There is none, one is negative or not finite, or all are 0.
    """
    checked = {key: number(f"{name}[{key!r}]", weight) for key, weight in weights.items()}
    total = sum(checked.values())
    if total <= 0:
        raise ValueError(f"Expected a positive weight among {name}. Received: {dict(weights)!r}")
    return {key: weight / total for key, weight in checked.items() if weight}


def term_weights(**weights: float) -> tuple[float, ...]:
    """Checks the weights of the terms, of which content or style has to count."""
    checked = {name: number(f"{name}_weight", weight) for name, weight in weights.items()}
    if checked["content"] + checked["style"] <= 0:
        raise ValueError(f"Expected a positive content_weight or style_weight. Received: {weights}")
    return tuple(checked.values())


def layer_shares(name: str, layers: str | Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Layers by name, or names with weights, as shares that add up to 1."""
    if isinstance(layers, str):
        layers = [layers]
    return shares(name, layers if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0))


def picture(name: str, source: object) -> np.ndarray:
    """Reads a content or style picture; an array has to be without alpha."""
    shape = np.shape(source) if hasattr(source, "__array__") else ()
    if len(shape) == 3 and shape[-1] == 4:
        raise ValueError(
            f"Expected {name} without an alpha channel; images.read(…) lays it on white. "
            f"Received: shape={shape}"
        )
    return images.read(source)


def read_masks(
    masks: Sequence[np.ndarray | None] | None, styles: int, shape: tuple[int, int]
) -> list[np.ndarray | None]:
    """Checks the masks: one a style, each None or of the content's height and width.

    Returns:
        For each style None or uint8 (h, w) in 0…255.
    """
    if masks is None:
        return [None] * styles
    masks = [masks] if isinstance(masks, np.ndarray) else list(masks)
    if len(masks) != styles:
        raise ValueError(f"Expected one mask a style, {styles}. Received: {len(masks)}")
    return [None if mask is None else _mask(i, mask, shape) for i, mask in enumerate(masks)]


def _mask(index: int, mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(
            f"Expected each mask to have the content's height and width, {shape}. "
            f"Received: masks[{index}] with shape={mask.shape}"
        )
    top = 255 if mask.dtype == np.uint8 else 1
    values = mask.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and 0 < high <= top):
        raise ValueError(
            "Expected each mask to be bool, float in 0…1, or uint8 in 0…255, and not all 0. "
            f"Received: masks[{index}] with dtype={mask.dtype} and values from {low:g} to {high:g}"
        )
    return np.rint(values * (255 / top)).astype(np.uint8)


def target_size(size: int | tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the result: as given, or with the content's proportions."""
    if isinstance(size, tuple | list):
        if len(size) != 2:
            raise ValueError(f"Expected size as a number or (height, width). Received: {size!r}")
        return tuple(positive_int("size", side) for side in size)
    return fitted(positive_int("size", size), shape)


def fitted(longer: int, shape: tuple[int, int]) -> tuple[int, int]:
    """A shape with the same proportions whose longer side is given."""
    return tuple(max(1, round(side * longer / max(shape))) for side in shape)


def levels(
    size: tuple[int, int],
    steps: int,
    count: int | None,
    styles: Sequence[tuple[int, int]],
    style_scale: float,
    smallest_side: int,
) -> tuple[Level, ...]:
    """The sizes from coarse to fine, each twice the one before, with the steps dealt out to them.

    The coarsest gets two shares, every other one share: the first has the longest way to go.

    Args:
        size: The last one.
        steps: Over all sizes.
        count: How many sizes; None takes those with a longer side of about SMALLEST_LEVEL or more
            where no picture's side is under twice what the network needs.
        styles: Heights and widths of the style pictures.
        style_scale: As in `style_size`.
        smallest_side: What the network needs.

    Raises:
        ValueError: At one of the sizes a picture is too small for the network.
    """

    def seen(shape: tuple[int, int]) -> dict[str, tuple[int, int]]:
        named = {f"style {i}": style_size(own, shape, style_scale) for i, own in enumerate(styles)}
        return {"content": shape, **named}

    def good(shape: tuple[int, int]) -> bool:
        shortest = min(min(s) for s in seen(shape).values())
        return max(shape) >= 0.9 * SMALLEST_LEVEL and shortest >= 2 * smallest_side

    halvings = range(1, 16 if count is None else positive_int("pyramid", count))
    sizes = [size]
    for i in halvings:
        half = fitted(max(1, round(max(size) / 2**i)), size)
        if len(sizes) == steps or (count is None and not good(half)):
            break
        sizes.insert(0, half)
    for shape in sizes:
        for name, (height, width) in seen(shape).items():
            if min(height, width) < smallest_side:
                raise ValueError(
                    f"Expected sides of at least {smallest_side} pixels, which the deepest layer "
                    f"needs. Received: {name} of {height} × {width} pixels, at the size "
                    f"{shape[0]} × {shape[1]} of the pyramid"
                )
    share = max(1, steps // (len(sizes) + 1))
    first = steps - share * (len(sizes) - 1)
    return tuple(Level(*shape, share if i else first) for i, shape in enumerate(sizes))


def style_size(shape: tuple[int, int], picture: tuple[int, int], scale: float) -> tuple[int, int]:
    """The size at which a style is looked at: as large as the picture times scale, never enlarged.

    A picture enlarged has no detail to offer, only blur, and blur would be taken for its style.
    """
    longer = max(1, round(max(picture) * scale))
    return fitted(min(longer, max(shape)), shape)


def estimate(plan: Sequence[Level], chain: Chain, dtype: str, *, lbfgs: bool = False) -> Estimate:
    """Memory and time of a run, from the network's size and a convolution timed on this device."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    rate = SPEED_SHARE[kind] * _flops_a_second(dtype, kind)
    # Forward and back: the gradient of the picture costs as much as its features.
    seconds = sum(
        level.steps * max(2 * chain.flops(level.height, level.width) / rate, LEAST_SECONDS[kind])
        for level in plan
    )
    last = plan[-1]
    answers = sum(math.prod(shape) for shape in chain.shapes(last.height, last.width).values())
    pixels = 3 * last.height * last.width
    memory = MEMORY_FACTOR * answers * tf.as_dtype(dtype).size + 10 * 4 * pixels
    if lbfgs:  # SciPy's workspace: ten pairs of steps and gradients, in double precision
        memory += 25 * 8 * pixels
    return Estimate(round(memory), _available(kind), seconds)


def _flops_a_second(dtype: str, kind: str) -> float:
    """The speed of a convolution's way back in the middle of a VGG, timed for milliseconds."""
    pictures = 32 if kind == "GPU" else 1  # a GPU is slow at anything small
    x = tf.ones((pictures, 64, 64, 128), dtype)
    kernel = tf.ones((3, 3, 128, 128), dtype)

    def seconds(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            y = tf.nn.conv2d_transpose(x, kernel, x.shape, 1, "SAME")
        y[0, 0, 0, 0].numpy()  # waits for the device
        return time.perf_counter() - start

    seconds(1)
    n = 4 if seconds(1) > 2e-3 else 100
    return n * pictures * 2 * 9 * 128 * 128 * 64 * 64 / min(seconds(n) for _ in range(2))


def _available(kind: str) -> int | None:
    """Bytes left on the device."""
    if kind == "CPU":
        return psutil.virtual_memory().available
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        free = int(answer.stdout.split()[0]) * 2**20
    except (subprocess.SubprocessError, ValueError, IndexError):
        return None
    # TensorFlow keeps what it has had: what isn't in use of it comes on top.
    own = tf.config.experimental.get_memory_info("GPU:0")
    return free + own["peak"] - own["current"]
