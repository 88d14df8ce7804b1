"""Photographs as square pictures of one size, and random views of them on the device.

A table is uint8 (n, side, side, 3), RGB. Labels are nowhere needed: what is to be seen in a
picture, the teacher says.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
PART_BYTES = 1_500_000_000  # 32-bit indices reach no further than 2 GB into an array


def read(source: Path, side: int) -> np.ndarray:
    """Read a table from a folder of picture files, at any depth, or a `.npy` file that holds one.

    Raises:
        ValueError: The folder has no pictures, or the file is no such table.
    """
    if source.suffix == ".npy":
        table = np.load(source, mmap_mode="r")
        if (
            table.ndim != 4
            or table.dtype != np.uint8
            or table.shape[1:] != (*table.shape[1:2] * 2, 3)
        ):
            raise ValueError(
                "Expected uint8 (n, side, side, 3). "
                f"Received: {source.name} with {table.dtype} {table.shape}"
            )
        return table
    files = sorted(f for f in source.rglob("*") if f.suffix.lower() in ENDINGS)
    if not files:
        raise ValueError(f"Expected a folder of pictures or a .npy table. Received: {source}")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(partial(square, side=side), files, chunksize=64)))


def square(file: Path, side: int) -> np.ndarray:
    """Cut the middle square of a picture and scale it to a side: uint8 (side, side, 3)."""
    with Image.open(file) as picture:
        picture = picture.convert("RGB")
        short = min(picture.size)
        left, top = (picture.width - short) // 2, (picture.height - short) // 2
        box = (left, top, left + short, top + short)
        return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS, box=box))


class Photographs:
    """Tables on the device, from which batches are drawn that depend on seed and step alone.

    So a training that was interrupted goes on with the batches that it would have seen. A batch
    comes from one part of one table, and parts of one table are equally large: a compiled
    function sees few shapes.

    Args:
        tables: uint8 (n, side, side, 3); the sides may differ.
        held_out: Pictures at the end of each table that are kept back for measuring.
        seed: Of everything that is drawn.
    """

    def __init__(self, tables: list[np.ndarray], *, held_out: int, seed: int = 0):
        self.seed, self.parts, self.held_out, self.count = seed, [], [], 0
        for table in tables:
            kept = min(held_out, len(table) // 5)
            self.held_out.append(np.asarray(table[len(table) - kept :]))
            rest = table[: len(table) - kept]
            number = math.ceil(rest.nbytes / PART_BYTES)
            size = len(rest) // number
            self.parts += [tf.constant(rest[i * size : (i + 1) * size]) for i in range(number)]
            self.count += number * size
        # A picture counts by its pixels: a large one holds more views.
        sizes = np.array([np.prod(part.shape, dtype=float) for part in self.parts])
        self.shares = sizes / sizes.sum()

    def batch(self, step: int, count: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Draw a part, int32 rows of it and a seed (2,), for `random_views`."""
        rng = np.random.default_rng((self.seed, step))
        part = self.parts[rng.choice(len(self.parts), p=self.shares)]
        rows = rng.integers(0, len(part), count, dtype=np.int32)
        return part, tf.constant(rows), tf.constant([self.seed, step], tf.int32)

    def samples(self, count: int, side: int, *, batch: int = 100) -> Iterator[tf.Tensor]:
        """Yield whole pictures of all parts in turn, about `count`: float32 (n, side, side, 3)."""
        each = max(count // len(self.parts), 1)
        for part in self.parts:
            for start in range(0, min(each, len(part)), batch):
                yield whole_views(part[start : min(start + batch, each)], side)


def random_views(part, rows, seed, side: int, *, smallest: float = 0.4, ratio: float = 4 / 3):
    """Scale a random part of each picture to a side; half of them mirrored.

    To resize is linear, for rows and for columns apart, so it is two products with matrices of
    interpolation weights: the fast way on a GPU. To mirror is to turn the columns' matrix round.

    Args:
        part: uint8 (n, s, s, 3).
        rows: int32 (m,), which of them.
        seed: int32 (2,). The same seed gives the same views.
        side: Of the views, in pixels.
        smallest: Share of the area that is kept at least.
        ratio: The widest aspect ratio of what is kept; the narrowest is its inverse.

    Returns:
        float32 (m, side, side, 3) in 0…255.

    Source: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842.
    """
    pictures = tf.cast(tf.gather(part, rows), tf.float32)
    area, stretch, top, left, coin = tf.unstack(
        tf.random.stateless_uniform((5, tf.shape(rows)[0], 1), seed)
    )
    share = tf.sqrt(smallest + (1 - smallest) * area)
    stretch = tf.exp((stretch - 0.5) * math.log(ratio))
    height, width = tf.minimum(share * stretch, 1.0), tf.minimum(share / stretch, 1.0)
    columns = resampling(left, width, part.shape[2], side)
    columns = tf.where(coin[:, :, None] < 0.5, tf.reverse(columns, [1]), columns)
    return _resample(pictures, resampling(top, height, part.shape[1], side), columns)


def whole_views(pictures, side: int):
    """Scale whole pictures to a side: float32 (n, side, side, 3)."""
    all_of_it = tf.ones((1, 1))
    matrix = resampling(0 * all_of_it, all_of_it, pictures.shape[1], side)
    matrix = tf.repeat(matrix, tf.shape(pictures)[0], axis=0)
    return _resample(tf.cast(pictures, tf.float32), matrix, matrix)


def _resample(pictures, rows, columns):
    x = tf.einsum("nij,njwc->niwc", rows, pictures)
    return tf.einsum("nij,nhjc->nhic", columns, x)


def resampling(place, share, old: int, new: int):
    """Compute the weights (n, new, old) with which each new row of pixels is mixed from old ones.

    Linear interpolation; where pictures shrink, over as many old pixels as go into a new one.

    Args:
        place: float (n, 1), where the kept part lies: 0 at the start, 1 at the end.
        share: float (n, 1), how much of the side is kept.
        old: Side of the pictures.
        new: Side of the views.
    """
    step = share * old / new  # old pixels for a new one
    start = (1 - share) * place * old
    centres = start + step * (tf.range(new, dtype=tf.float32) + 0.5) - 0.5
    distances = tf.abs(tf.range(old, dtype=tf.float32) - centres[:, :, None])
    weights = tf.maximum(1 - distances / tf.maximum(step, 1.0)[:, :, None], 0.0)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)
