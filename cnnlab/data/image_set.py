"""Image sets: `load` finds, downloads, verifies, reads and splits; the result is an `ImageSet`."""

from __future__ import annotations

import difflib
import html
import os
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import numpy as np

from cnnlab import images
from cnnlab.data import cifar10, folders, pictures, shapes10
from cnnlab.data.splits import complete, count_of, divide, generator, stratified
from cnnlab.sources import DEFAULT_LIMITS, BrokenFileError, Limits, box

CIFAR10_VAL_SIZE = 5_000
# "auto" has something else to offer, so it doesn't wait for hours on a slow line.
AUTO_LIMITS = Limits(total=20 * 60.0)


@dataclass(frozen=True, repr=False, eq=False)
class ImageSet:
    """Pictures and labels in three sets that have no picture in common.

    Attributes:
        x_train: uint8 (n, height, width, 3) in 0…255, RGB.
        y_train: int64 (n,), indices into `classes`.
        x_val: As x_train; for choices made while training.
        y_val: As y_train.
        x_test: As x_train; for the verdict, once, at the end.
        y_test: As y_train.
        classes: The class names.
        name: "CIFAR-10", "Shapes-10" or the folder's name.
        source: Where the pictures come from, in words.
        stands_in_for: The name of the set that was wanted, where this is a substitute.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    name: str
    source: str
    stands_in_for: str | None = None

    def __post_init__(self):
        for split, (x, y) in self._splits().items():
            if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
                raise ValueError(
                    f"Expected x_{split} and y_{split} as NumPy arrays. Received: "
                    f"{type(x).__name__} and {type(y).__name__}"
                )
            if x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8 or y.shape != (len(x),):
                raise ValueError(
                    f"Expected x_{split} uint8 (n, height, width, 3) and y_{split} (n,). "
                    f"Received: x_{split} {x.dtype} {x.shape}, y_{split} {y.shape}"
                )
            if len(y) and not (
                y.dtype.kind in "iu" and 0 <= y.min() and y.max() < len(self.classes)
            ):
                raise ValueError(
                    f"Expected y_{split} to hold indices of the {len(self.classes)} classes. "
                    f"Received: {y.dtype} from {y.min()} to {y.max()}"
                )

    @property
    def title(self) -> str:
        """Return the name for figures, which says so where these are substitutes."""
        if self.stands_in_for:
            return f"{self.name} (standing in for {self.stands_in_for})"
        return self.name

    def subset(self, size: int | float, *, seed: int = 0) -> ImageSet:
        """Keep part of the training set, every class in its proportion; val and test stay whole.

        Args:
            size: A count (int), or a fraction of the training set (float in 0…1).
            seed: The same seed gives the same pictures.
        """
        kept = stratified(self.y_train, size, seed=seed)
        return replace(self, x_train=self.x_train[kept], y_train=self.y_train[kept])

    def at_most(
        self, *, train: int | None = None, val: int | None = None, test: int | None = None
    ) -> ImageSet:
        """Keep no more than so many pictures of each set, every class in its proportion.

        Args:
            train: A count; None keeps all. What `subset` keeps with seed 0.
            val: As train.
            test: As train.
        """
        kept = {}
        for split, count in (("train", train), ("val", val), ("test", test)):
            x, y = self._splits()[split]
            if isinstance(count, Integral):
                count = min(int(count), len(y))
            rows = slice(None) if count is None else stratified(y, count)
            kept |= {f"x_{split}": x[rows], f"y_{split}": y[rows]}
        return replace(self, **kept)

    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {
            "train": (self.x_train, self.y_train),
            "val": (self.x_val, self.y_val),
            "test": (self.x_test, self.y_test),
        }

    def _facts(self) -> dict[str, str]:
        counts = [f"{len(y):,} {split}" for split, (_, y) in self._splits().items()]
        height, width = self.x_train.shape[1:3]
        return {
            "pictures": f"{', '.join(counts)}; {height} × {width} RGB",
            "classes": f"{len(self.classes)}: {', '.join(self.classes)}",
            "source": self.source,
        }

    def __repr__(self) -> str:
        lines = [f"{key:9} {value}" for key, value in self._facts().items()]
        if self.stands_in_for:
            lines.insert(0, f"STAND-IN  these pictures are not {self.stands_in_for}")
        return "\n  ".join([f"ImageSet: {self.title}", *lines])

    def _repr_html_(self) -> str:
        cell = "color:inherit;text-align:left;vertical-align:top;padding:2px 12px 2px 0"
        rows = "".join(
            f'<tr><th style="{cell}">{key}</th><td style="{cell}">{html.escape(value)}</td></tr>'
            for key, value in self._facts().items()
        )
        table = f'<table style="color:inherit;font-size:inherit">{rows}</table>'
        return f"{self._warning()}<p><b>{html.escape(self.title)}</b></p>{table}"

    def _warning(self) -> str:
        if not self.stands_in_for:
            return ""
        return box(
            f"Stand-in data: this is {self.name}, not {self.stands_in_for}",
            "Every figure and number below is about other pictures; “source” says why.",
        )


def load(
    name: str | Path = "auto",
    *,
    val_size: int | float | None = None,
    seed: int = 0,
    image_size: int | tuple[int, int] = (64, 64),
    offline: bool = False,
    memory_limit: float | None = None,
) -> ImageSet:
    """Load a set of labelled pictures, split into training, validation and test.

    Args:
        name: "cifar10": from this disk, else downloaded. "shapes10": drawn by code, ten classes of
            32 × 32. "auto": CIFAR-10 if it can be had, else Shapes-10, which then says that it is
            a stand-in. Anything else: a folder with one subfolder of pictures for each class, of
            any size and format; or with subfolders train, val and test that are such folders.
        val_size: Pictures of the training set that become the validation set: a count (int) or a
            fraction (float). None: 5,000, or a tenth of a folder. Ignored for a folder with `val`.
        seed: For the split, and for drawing Shapes-10. A folder without `test` also loses a fifth
            to the test set. CIFAR-10's test set is always its own.
        image_size: Height and width that a folder's pictures get (one number for a square); the
            middle of each is kept.
        offline: Whether to do without a download.
        memory_limit: Bytes that a folder's pictures may take. None: half of the free memory.

    Returns:
        The three sets; every class has its proportion in each.

    Raises:
        BrokenFileError: A file of CIFAR-10 on this disk isn't what it should be ("cifar10").
        OSError: CIFAR-10 is not on this disk and can't be downloaded ("cifar10").
        ValueError: There is no such folder, or what is in it makes no set; the message names it.
            Or an argument makes no sense.
        MemoryError: A folder's pictures are too many to be held in memory.
    """
    generator(seed)  # refuses a wrong one before anything is read
    pictures.require_limit(memory_limit)
    if name == "cifar10":
        return _cifar10(val_size, seed, offline=offline)
    if name == "shapes10":
        return _shapes10(val_size, seed)
    if name == "auto":
        try:
            return _cifar10(val_size, seed, offline=offline, limits=AUTO_LIMITS)
        except (OSError, BrokenFileError) as error:
            why = str(error).splitlines()[0]
            drawn = _shapes10(val_size, seed)
            source = f'{drawn.source}, because: {why} data.load("cifar10") says what to do by hand.'
            return replace(drawn, source=source, stands_in_for="CIFAR-10")
    folder = Path(os.path.expanduser(str(name)))  # papermill makes a number of a folder called 2024
    if not str(name).strip() or not folder.is_dir():
        raise ValueError(
            'Expected "auto", "cifar10", "shapes10" or a folder with one subfolder for each class. '
            f"Received: name={str(name)!r}, {_why_no_folder(str(name), folder)}"
        )
    return _folder(folder, val_size, seed, image_size, memory_limit)


def _why_no_folder(name: str, folder: Path) -> str:
    if not name.strip():
        return "which is empty"
    if folder.is_file():
        return "which is a file. Pass the folder that holds the classes; unpack an archive first"
    plain = "".join(filter(str.isalnum, name.casefold()))
    meant = difflib.get_close_matches(plain, ("auto", "cifar10", "shapes10"), 1, 0.8)
    hint = f". Did you mean {meant[0]!r}?" if meant else ""
    return f"which is no folder in {images.folder_of(folder)}{hint}"


def _cifar10(
    val_size: int | float | None, seed: int, *, offline: bool, limits: Limits = DEFAULT_LIMITS
) -> ImageSet:
    arrays, source = cifar10.load(offline=offline, limits=limits)
    x, y = arrays["x_train"], arrays["y_train"]
    train, val = divide(y, CIFAR10_VAL_SIZE if val_size is None else val_size, seed=seed)
    return ImageSet(
        x_train=x[train],
        y_train=y[train],
        x_val=x[val],
        y_val=y[val],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        classes=cifar10.CLASSES,
        name="CIFAR-10",
        source=source,
    )


def _shapes10(val_size: int | float | None, seed: int) -> ImageSet:
    total = 50_000
    n_val = count_of(
        CIFAR10_VAL_SIZE if val_size is None else val_size,
        total,
        at_least=10,
        at_most=total - 10,
        name="val_size",
    )
    return ImageSet(
        **shapes10.make(total - n_val, n_val, 10_000, seed=seed),
        classes=tuple(shapes10.CLASSES),
        name="Shapes-10",
        source=f"drawn by cnnlab.data.shapes10, seed {seed}",
        stands_in_for=None,  # said, so that type checkers don't expect it among the arrays
    )


def _folder(
    folder: Path,
    val_size: int | float | None,
    seed: int,
    image_size: int | tuple[int, int],
    memory_limit: float | None,
) -> ImageSet:
    classes, files = folders.scan(folder)
    files = complete(files, val_size, seed)
    paths = [path for part in files.values() for path in part.paths]
    size = images.height_and_width(image_size, "image_size")
    pictures.require_memory(len(paths), size, limit=memory_limit)
    pixels = pictures.read(paths, size)  # all at once, so that all broken ones are named at once
    pictures.warn_of_copies(folder, files, pixels)
    arrays, start = {}, 0
    for split, (_, labels) in files.items():
        arrays[f"x_{split}"] = pixels[start : start + len(labels)]
        arrays[f"y_{split}"] = labels
        start += len(labels)
    name = folder.resolve().name
    return ImageSet(**arrays, classes=classes, name=name, source=f"folder {name}/")
