"""Paint in one pass, in the styles that a painter has learnt beforehand.

    style.paint("photo.jpg", "woodcut")
    style.paint("photo.jpg", {"woodcut": 2, "gold": 1}, strength=0.8)

The painter that ships knows the styles of `data/pictures`; `data/make_painter.py` has taught it.
All styles share its convolutions, and each has scales and shifts of its own, so styles can be mixed
as numbers are. Source: Dumoulin, Shlens and Kudlur 2017, A Learned Representation For Artistic
Style, https://arxiv.org/abs/1610.07629.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from cnnlab import images, models
from cnnlab.style.painter import painter_network
from cnnlab.style.pyramid import fitted
from cnnlab.style.settings import Picture, number, positive_int, read_picture, shares

SMALLEST_SIDE = 4  # pixels: the painter works at a quarter of the size
MOST = 512  # styles, blocks or filters that a file may ask for


def paint(
    content: Picture,
    style: str | Mapping[str, float],
    *,
    strength: float = 1.0,
    size: int | None = 512,
    weights: str | Path = "shipped",
) -> np.ndarray:
    """Paint a picture in one pass: about as long as it takes to look at it, on a CPU too.

    Args:
        content: What to paint: a path, an address, or an array as `images.read` takes it.
        style: One of `painter_styles()`, or a mixture: name -> weight. Weights count relative to
            one another.
        strength: How much of the painting to lay over the content, 0…1: 0 leaves the content as it
            is, 1 is the painting alone.
        size: Longer side of the result in pixels; None keeps the content's own. Strokes have the
            same width in pixels at any size, so a smaller picture is painted more boldly.
        weights: "shipped", or the file of a painter that `data/make_painter.py` has made.

    Returns:
        uint8 (h, w, 3), of the content's proportions.

    Raises:
        ValueError: An argument is invalid, or the file isn't a painter's.
        OSError: The content or the painter can't be read.
        MemoryError: Memory ran out; the message names a size to try.
    """
    styles, run = _load(weights)
    mixture = _mixture(style, styles)
    strength = number("strength", strength, high=1.0)
    picture = read_picture("content", content)
    if size is not None:
        picture = images.read(picture, fitted(positive_int("size", size), picture.shape[:2]))
    if min(picture.shape[:2]) < SMALLEST_SIDE:
        height, width = picture.shape[:2]
        enough = math.ceil(SMALLEST_SIDE * max(height, width) / min(height, width))
        raise ValueError(
            f"Expected a picture with sides of at least {SMALLEST_SIDE} pixels. Received: "
            f"{height} × {width}, with size={size}. Pass size={enough} or more"
        )
    if strength == 0:
        return picture
    given = picture.astype(np.float32)
    try:
        painted = run(given[None], mixture[None])[0].numpy()
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        height, width = given.shape[:2]
        raise MemoryError(
            f"Expected memory for {height} × {width} pixels, but it ran out. "
            f"Try size={max(height, width) // 2}"
        ) from error
    return images.to_uint8(given + strength * (painted - given))


def painter_styles(weights: str | Path = "shipped") -> tuple[str, ...]:
    """List the names of the styles that a painter knows.

    Args:
        weights: As for `paint`.
    """
    return _load(weights)[0]


def _load(weights: str | Path) -> tuple[tuple[str, ...], Callable]:
    """Return a painter's styles, and a function of pixels and shares: the pixels painted."""
    if not isinstance(weights, str | Path):
        raise ValueError(
            f'Expected "shipped" or the path of a painter\'s file. Received: {weights=!r:.80}'
        )
    path = models.shipped_file("painter") if weights == "shipped" else weights
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise FileNotFoundError(
            f'Expected "shipped", the painter that comes along, or the file of one that '
            f"data/make_painter.py has made. Received: weights={str(weights)!r:.200}, which is "
            f"{'a folder' if path.is_dir() else 'no file'}"
        )
    return _read(path.absolute(), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[tuple[str, ...], Callable]:
    """Read a painter once, and again when its file has changed."""
    notes = models.read_notes(path)
    if not {"styles", "form"} <= notes.keys():
        raise ValueError(
            f"Expected a file that data/make_painter.py has made. Received: {path.name} with "
            f"{', '.join(notes) or 'no notes'}"
        )
    painter = painter_network(**_form(str(notes["form"]), path))
    models.load_weights(painter, path)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3)), tf.TensorSpec((1, None))])
    def run(pixels: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        return painter([pixels, shares], training=False)

    return tuple(str(name) for name in notes["styles"]), run


def _form(text: str, path: Path) -> dict:
    """Return a painter's sizes as a file notes them, checked before anything is built from them."""
    try:
        form = json.loads(text)
        numbers = [form["styles"], form["blocks"], *form["widths"]]
    except (ValueError, TypeError, KeyError):
        numbers, form = [], {}
    good = all(isinstance(n, int) and 1 <= n <= MOST for n in numbers) and len(numbers) == 5
    if not good or set(form) != {"styles", "blocks", "widths"}:
        raise ValueError(
            'Expected the sizes of a painter, {"styles": …, "widths": [three], "blocks": …}, each '
            f"1…{MOST}. Received: {path.name} with {text!r:.80}"
        )
    return form


def _mixture(style: str | Mapping[str, float], styles: tuple[str, ...]) -> np.ndarray:
    """Return each style's share, float32 (styles,), adding up to 1."""
    wanted = {style: 1.0} if isinstance(style, str) else style
    if not isinstance(wanted, Mapping) or not set(wanted) <= set(styles):
        raise ValueError(
            f"Expected style to be one of {', '.join(styles)}, or a mapping of such names to "
            f"weights (stylize takes any picture as a style). Received: style={style!r:.80}"
        )
    given = shares("style", wanted)
    return np.array([given.get(name, 0.0) for name in styles], np.float32)
