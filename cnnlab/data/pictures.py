"""The pictures of listed files: read into memory, or streamed while a network learns from them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil
from tqdm import tqdm

from cnnlab import images
from cnnlab.data.folders import Files, scan
from cnnlab.data.splits import complete, generator

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)

AT_ONCE = 1_000  # tasks that wait for a thread: one for each of a million files takes a gigabyte


class Streams(NamedTuple):
    """Three tf.data sets of (float32 (batch, h, w, 3) in 0…255, int32 (batch,)), and the names."""

    train: tf.data.Dataset
    val: tf.data.Dataset
    test: tf.data.Dataset
    classes: tuple[str, ...]


def require_limit(limit: object) -> None:
    """Refuse a limit that is no number of bytes, such as "1GB"."""
    number = isinstance(limit, Real) and not isinstance(limit, bool) and float(limit) > 0
    if not (limit is None or number):
        raise ValueError(
            "Expected memory_limit to be a number of bytes above 0, such as 1e9, or None for half "
            f"of the free memory. Received: memory_limit={limit!r}"
        )


def require_memory(count: int, size: tuple[int, int], *, limit: float | None = None) -> None:
    """Raise MemoryError where pictures would take more bytes than a limit: half of what is free."""
    needed = 3 * count * size[0] * size[1]
    limit = psutil.virtual_memory().available / 2 if limit is None else limit
    if needed > limit:
        raise MemoryError(
            f"{count:,} pictures of {size[0]} × {size[1]} take {needed / 1e9:.3g} GB. Expected at "
            f"most {limit / 1e9:.3g} GB (half of the free memory unless memory_limit says "
            "otherwise). Choose a smaller image_size, or use data.stream(), which reads the "
            "pictures while training."
        )


def read(paths: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    """Read pictures into one array, in parallel.

    Args:
        paths: The files; whatever `images.read` reads.
        size: Height and width of the result; the middle of each picture is kept.

    Returns:
        uint8 (n, height, width, 3) in 0…255, RGB.

    Raises:
        ValueError: Some files can't be read as pictures; they are named.
    """
    result = np.empty((len(paths), *size, 3), np.uint8)

    def read_one(index: int) -> None:
        result[index] = images.read(paths[index], size)

    _for_each(paths, read_one, "reading pictures")
    return result


def warn_of_copies(folder: Path, files: Mapping[str, Files], pixels: np.ndarray) -> None:
    """Warn of pictures that are in two sets, or in two classes of one.

    In two sets a network would be tested on what it has learnt.

    Args:
        folder: Which they come from, in the message.
        files: By set.
        pixels: Of all files in their order, as `read` returns them.
    """
    places = [
        (split, label, path)
        for split, part in files.items()
        for path, label in zip(part.paths, part.labels, strict=True)
    ]
    first, copies, contrary = {}, [], []
    for (split, label, path), picture in zip(places, pixels, strict=True):
        digest = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
        other, earlier_label, earlier = first.setdefault(digest, (split, label, path))
        names = (f"{p.relative_to(folder)} ({s})" for p, s in ((path, split), (earlier, other)))
        if other != split:
            copies.append(" and ".join(names))
        elif label != earlier_label:
            contrary.append(" and ".join(names))
    if contrary:
        logger.warning(
            "%d pictures of %s are in two classes, the same in each pixel, such as %s. Nothing can "
            "tell them apart: remove them from the wrong one.",
            len(contrary),
            folder,
            contrary[0],
        )
    if copies:
        logger.warning(
            "%d pictures of %s are in two of the sets, the same in each pixel, such as %s. Scores "
            "will look better than they are: remove the copies.",
            len(copies),
            folder,
            copies[0],
        )


def stream(
    folder: str | Path,
    *,
    image_size: int | tuple[int, int] = (224, 224),
    batch_size: int = 32,
    val_size: int | float | None = None,
    seed: int = 0,
    shuffle: bool = True,
    check: bool = True,
) -> Streams:
    """Read a folder's pictures while training: those of `data.load`, in sets that are as its.

    For a folder larger than memory. Batches go to Keras's `fit(…, shuffle=False)`, as they are
    shuffled already, and `evaluate`, and to this
    library's `evaluation.evaluate`, `evaluation.probabilities` and `transfer.extract_features`.

    Args:
        folder: As for `data.load`.
        image_size: As for `data.load`.
        batch_size: Pictures in a batch.
        val_size: As for `data.load`.
        seed: For the split and the order.
        shuffle: Whether the training set comes in another order each epoch. False where something
            is computed of each picture and kept, as by `transfer.extract_features`: its labels then
            come in the same order.
        check: Whether to decode every picture once before, so that a broken one is named now
            rather than met in the middle of an epoch.

    Returns:
        train, val, test and the class names.

    Raises:
        ValueError: As for `data.load`, or batch_size is no whole number above 0.
    """
    given, folder = folder, Path(os.path.expanduser(folder))
    size = images.height_and_width(image_size, "image_size")
    batch_size = images.whole_number(batch_size, "batch_size")
    generator(seed)
    if given == "" or not folder.is_dir():
        raise ValueError(
            "Expected a folder with one subfolder for each class. "
            f"Received: folder={str(given)!r}, which is none"
        )
    classes, files = scan(folder)
    files = complete(files, val_size, seed)
    if check:
        paths = [path for part in files.values() for path in part.paths]
        _for_each(paths, lambda index: images.read(paths[index], size), "checking pictures")
    sets = {
        name: _stream(part, size, batch_size, seed if shuffle and name == "train" else None)
        for name, part in files.items()
    }
    return Streams(**sets, classes=classes)


def _stream(
    files: Files, size: tuple[int, int], batch_size: int, seed: int | None
) -> tf.data.Dataset:
    import tensorflow as tf  # seconds, and only streaming needs it

    def read_one(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(
            lambda name: images.read(os.fsdecode(name), size), [path], tf.uint8, stateful=False
        )
        return tf.cast(tf.ensure_shape(pixels, (*size, 3)), tf.float32), label

    paths = [os.fsencode(path) for path in files.paths]
    dataset = tf.data.Dataset.from_tensor_slices((paths, files.labels.astype(np.int32)))
    if seed is not None:  # of names, not of pictures: all of them at once
        dataset = dataset.shuffle(len(paths), seed=seed)
    dataset = dataset.map(read_one, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch_size).prefetch(2)


def _for_each(paths: Sequence[Path], do: Callable[[int], object], what: str) -> None:
    """Do something with each picture, in parallel; name all those with which it fails."""
    failures: dict[Path, str] = {}

    def attempt(index: int) -> None:
        try:
            do(index)
        except (OSError, ValueError) as error:
            failures[paths[index]] = str(error).partition("\n")[0]

    with ThreadPoolExecutor() as pool, tqdm(desc=what, total=len(paths), delay=2) as bar:
        for start in range(0, len(paths), AT_ONCE):
            for _ in pool.map(attempt, range(start, min(start + AT_ONCE, len(paths)))):
                bar.update()
    if failures:
        first = sorted(failures)[:5]
        raise ValueError(
            f"{len(failures)} of {len(paths)} pictures can't be used; replace or remove them:\n"
            + "\n".join(f"- {path}: {failures[path]}" for path in first)
            + ("\n- …" if len(failures) > len(first) else "")
        )
