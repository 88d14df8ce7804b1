"""Image folders: one subfolder a class, read into memory or streamed through Keras's own loader."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil
from PIL import Image
from tqdm import tqdm

from cnnlab import images

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
KERAS_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Subfolders of these names, themselves with one subfolder a class, are taken as the split.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SHARES = {"val": 0.1, "test": 0.2}  # of all training pictures, where the folder has no such set
EXIF_ORIENTATION = 0x0112


class Files(NamedTuple):
    """The pictures of one set: paths in alphabetical order, and int64 labels (n,)."""

    paths: list[Path]
    labels: np.ndarray


class Streams(NamedTuple):
    """Three tf.data sets of (float32 (batch, h, w, 3) in 0…255, int32 (batch,)), and the names."""

    train: tf.data.Dataset
    val: tf.data.Dataset
    test: tf.data.Dataset
    classes: tuple[str, ...]


def scan(folder: Path) -> tuple[tuple[str, ...], dict[str, Files]]:
    """List the pictures of a folder without opening them.

    Hidden files and files whose ending is none of SUFFIXES are left out.

    Args:
        folder: Holds one subfolder a class; or `train` and, if you like, `val` and `test`, each of
            which does.

    Returns:
        The class names in alphabetical order, and the files of "train" and, where the folder has
        such subfolders, of "val" and "test".

    Raises:
        ValueError: There are no subfolders, or only one, or one without a picture, or the sets
            don't have the same classes.
    """
    split = _split_folders(folder)
    classes = _class_names(split["train"])
    for name, part in split.items():
        if (found := _class_names(part)) != classes:
            raise ValueError(
                f"Expected the same subfolders in every set of {folder}. Received: "
                f"train: {', '.join(classes)}; {name}: {', '.join(found)}."
            )
    files = {name: _files(part, classes) for name, part in split.items()}
    needed = 1 + len(SHARES.keys() - files.keys())
    counts = np.bincount(files["train"].labels)
    if counts.min() < needed:
        raise ValueError(
            f"Expected at least {needed} pictures of each class in {split['train']}, so that every "
            f"set has one. Received: {counts.min()} of {classes[counts.argmin()]!r}. Add some, or "
            "remove the subfolder."
        )
    return classes, files


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


def stream(
    folder: str | Path,
    *,
    image_size: tuple[int, int] = (224, 224),
    batch_size: int = 32,
    seed: int = 0,
    check: bool = True,
) -> Streams:
    """Read a folder's pictures while training, through `keras.utils.image_dataset_from_directory`.

    For a folder larger than memory. Keras's loader knows JPEG, PNG, GIF and BMP; unlike
    `data.load` it ignores EXIF orientation and transparency, and its split is drawn at random,
    without looking at the classes.

    Args:
        folder: As for `data.load`.
        image_size: Height and width; the middle of each picture is kept.
        batch_size: Pictures in a batch.
        seed: For the split and the order.
        check: Whether to decode every picture once before, so that a broken one is named now
            rather than met in the middle of an epoch.

    Returns:
        train (shuffled anew each epoch), val, test and the class names.

    Raises:
        ValueError: As for `data.load`, or a picture is of a kind that Keras's loader doesn't know.
    """
    folder = Path(folder).expanduser()
    classes, files = scan(folder)
    import keras  # seconds, and only streaming needs it

    split = _split_folders(folder)
    loaded = []

    def keras_loader(part: Path, **options: Any) -> list[tf.data.Dataset]:
        with redirect_stdout(io.StringIO()):  # it counts val and test as one, aloud
            sets = keras.utils.image_dataset_from_directory(
                part,
                class_names=list(classes),
                image_size=image_size,
                crop_to_aspect_ratio=True,
                interpolation="area",  # antialiased when it shrinks, unlike the default
                batch_size=None,  # pyright: ignore[reportArgumentType] - batched below
                seed=seed,
                verbose=False,
                **options,
            )
        sets = sets if isinstance(sets, list) else [sets]
        loaded.extend(Path(path) for part in sets for path in part.file_paths)
        return sets

    missing = {name: share for name, share in SHARES.items() if name not in split}
    if missing and (count := len(files["train"].paths)) < 10:
        raise ValueError(f"Expected at least 10 pictures to split. Received: {count} in {folder}")
    if missing:
        share = sum(missing.values())
        train, held = keras_loader(split["train"], validation_split=share, subset="both")
        count = round(len(held.file_paths) * missing.get("val", 0) / share)
        sets = {"train": train, "val": held.take(count), "test": held.skip(count)}
    else:
        sets = {"train": keras_loader(split["train"])[0]}
    for name in split.keys() & SHARES.keys():
        sets[name] = keras_loader(split[name], shuffle=False)[0]
    _compare([path for part in files.values() for path in part.paths], loaded)
    if check:
        _check_decoding(loaded)
    batches = {name: part.batch(batch_size).prefetch(2) for name, part in sets.items()}
    return Streams(**batches, classes=classes)


def _compare(ours: Sequence[Path], kerass: Sequence[Path]) -> None:
    """Refuse a folder in which Keras's loader would pass over pictures, or read hidden files."""
    for files, problem in (
        (set(ours) - set(kerass), f"Keras's loader reads {', '.join(KERAS_SUFFIXES)} only"),
        (set(kerass) - set(ours), "a hidden file, which Keras's loader would read as a picture"),
    ):
        if files:
            raise ValueError(
                f"{len(files)} files can't be streamed, among them {min(files)}: {problem}. "
                "Convert or remove them, or use data.load()."
            )


def _check_decoding(paths: Sequence[Path]) -> None:
    """Decode every picture as Keras's loader will."""
    import tensorflow as tf

    turned = []

    def decode(index: int) -> None:
        path = paths[index]
        try:
            tf.io.decode_image(tf.io.read_file(str(path)), channels=3, expand_animations=False)
        except tf.errors.InvalidArgumentError:
            raise ValueError("damaged, or not a picture that TensorFlow reads") from None
        with Image.open(path) as image:
            if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
                turned.append(path)

    _for_each(paths, decode, "checking pictures")
    if turned:
        logger.warning(
            "%d of %d pictures will be streamed lying on their side, among them %s: Keras's loader "
            "ignores their EXIF orientation. data.load() doesn't.",
            len(turned),
            len(paths),
            min(turned),
        )


def _split_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of train and, if any, val and test; an undivided folder is train."""
    inside = _subfolders(folder)
    is_split = "train" in {part.name for part in inside} and all(
        part.name in SPLITS and _subfolders(part) for part in inside
    )
    if not is_split:
        return {"train": folder}
    sets = {SPLITS[part.name]: part for part in inside}
    if len(sets) < len(inside):
        raise ValueError(
            f"Expected one subfolder each of {folder} for training, validation and test. "
            f"Received: {', '.join(part.name for part in inside)}, of which two name one set"
        )
    return sets


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _subfolders(folder))
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two subfolders in {folder}, one for each class. "
            f"Received: {', '.join(names) or 'none'}. Move the pictures of each class into a "
            "subfolder named after it."
        )
    return names


def _files(folder: Path, classes: Sequence[str]) -> Files:
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = _pictures(folder / name)
        if not found:
            raise ValueError(
                f"Expected pictures ({', '.join(SUFFIXES)}) in {folder / name}. Received: none. "
                "Add some, or remove the subfolder."
            )
        paths += found
        labels += [label] * len(found)
    return Files(paths, np.array(labels, np.int64))


def _pictures(folder: Path) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found)


def _for_each(paths: Sequence[Path], do: Callable[[int], None], what: str) -> None:
    """Do something with each picture, in parallel; name all those with which it fails."""
    failures = {}
    with ThreadPoolExecutor() as pool, tqdm(desc=what, total=len(paths), delay=2) as bar:
        tasks = {pool.submit(do, index): path for index, path in enumerate(paths)}
        try:
            for task in as_completed(tasks):
                error = task.exception()
                if isinstance(error, OSError | ValueError):
                    failures[tasks[task]] = error
                elif error:
                    raise error
                bar.update()
        except BaseException:  # Stop, too: without this the pool would go on to the last picture
            pool.shutdown(cancel_futures=True)
            raise
    if failures:
        first = sorted(failures)[:5]
        raise ValueError(
            f"{len(failures)} of {len(paths)} pictures can't be used; replace or remove them:\n"
            + "\n".join(f"- {path}: {str(failures[path]).splitlines()[0]}" for path in first)
            + ("\n- …" if len(failures) > len(first) else "")
        ) from failures[first[0]]
