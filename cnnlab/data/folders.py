"""Image folders: which subfolders are sets, which are classes, and which files are pictures."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab import images

logger = logging.getLogger(__name__)

# Subfolders of these names, in any spelling, themselves with one subfolder a class, are the split.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
# "Train", "test_set", "val2017", "seg_train", "validation-images"
SPLIT_NAME = re.compile(
    rf"(?:seg[ _-])?({'|'.join(SPLITS)})[ _-]?(?:set|split|data|images)?[ _-]?\d*"
)
SHARES = {"val": 0.1, "test": 0.2}  # of all training pictures, where the folder has no such set
# What other programs leave in folders: none of the reader's doing, so nothing is said of it.
LITTER = {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found", "thumbs.db"}
LITTER |= {"desktop.ini", "system volume information"}


class Files(NamedTuple):
    """The pictures of one set: paths in alphabetical order, and int64 labels (n,)."""

    paths: list[Path]
    labels: np.ndarray


def scan(folder: Path) -> tuple[tuple[str, ...], dict[str, Files]]:
    """List the pictures of a folder without decoding them.

    A file is a picture if Pillow knows its ending, or else its first bytes. How many others were
    left out, and why, is logged, apart from hidden ones and what operating systems leave behind.
    Linked subfolders are followed.

    Args:
        folder: Holds one subfolder a class; or `train` and, if you like, `val` and `test`, each of
            which does. These names may be spelled otherwise: Training, valid, test_set.

    Returns:
        The class names in alphabetical order, and the files of "train" and, where the folder has
        such subfolders, of "val" and "test".

    Raises:
        ValueError: There are no subfolders, or only one, or one without a picture; the sets don't
            have the same classes; or the subfolders look like a split and aren't one.
    """
    split = split_folders(folder)
    classes = _class_names(split["train"])
    for name, part in split.items():
        if (found := _class_names(part)) != classes:
            raise ValueError(
                f"Expected the same subfolders in every set of {folder}. Received: "
                f"train: {_listed(classes)}; {name}: {_listed(found)}."
            )
    left_out: Counter[str] = Counter()
    for place in {folder, *split.values()}:
        outside = _pictures(place, left_out=Counter(), deep=False)
        left_out["in no class's subfolder"] += len(outside)
    files = {name: _files(part, classes, left_out) for name, part in split.items()}
    if left_out := +left_out:  # without those counted 0
        reasons = ", ".join(f"{count:,} {why}" for why, count in left_out.most_common())
        logger.warning("%d files of %s were left out: %s.", left_out.total(), folder, reasons)
    needed = 1 + len(SHARES.keys() - files.keys())
    counts = np.bincount(files["train"].labels)
    if counts.min() < needed:
        raise ValueError(
            f"Expected at least {needed} pictures of each class in {split['train']}, so that every "
            f"set has one. Received: {counts.min()} of {classes[counts.argmin()]!r}. Add some, or "
            "remove the subfolder."
        )
    return classes, files


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of train and, if any, val and test; an undivided folder is train.

    Raises:
        ValueError: The subfolders look like a split and aren't one.
    """
    inside = _subfolders(folder)
    sets = {part: name for part in inside if (name := _split_name(part))}
    whole = [part for part in sets if _subfolders(part)]
    if not whole and len(set(sets.values())) < 2:
        _refuse_splits_in_classes(inside)
        return {"train": folder}
    problems = [f"{part.name} has no subfolders" for part in sets if part not in whole]
    problems += [f"{part.name} is none of the sets" for part in inside if part not in sets]
    problems += [] if "train" in sets.values() else ["there is no train"]
    if len(set(sets.values())) < len(sets):
        problems.append("two name one set")
    if problems:
        names = _listed([part.name for part in inside])
        raise ValueError(
            f"Expected a split, as the subfolders of {folder} look like one: train and, if you "
            "like, val and test, nothing else, each with one subfolder a class. Received: "
            f"{names}, of which {_listed(problems, '; ')}. Move or rename what doesn't belong."
        )
    return {name: part for part, name in sets.items()}


def _split_name(part: Path) -> str | None:
    match = SPLIT_NAME.fullmatch(part.name.casefold().strip())
    return SPLITS[match[1]] if match else None


def _refuse_splits_in_classes(classes: Sequence[Path]) -> None:
    """Refuse cat/train, cat/test …: read as classes, their sets would be thrown together."""
    for part in classes:
        inside = {_split_name(path) for path in _subfolders(part)} - {None}
        if len(inside) > 1:
            raise ValueError(
                "Expected sets that hold classes, such as train/cat and test/cat. Received: "
                f"{part}, a class that holds sets. Move its pictures into train/{part.name} and so "
                "on."
            )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _is_litter(path.name))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.casefold() in LITTER


def _classes(folder: Path) -> dict[str, Path]:
    """Return a set's subfolders by name; one name where macOS and others write é in two ways."""
    return {unicodedata.normalize("NFC", path.name): path for path in _subfolders(folder)}


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(_classes(folder))
    if len(names) < 2:
        hint = "Move the pictures of each class into a subfolder named after it."
        for only in names:
            if len(_subfolders(folder / only)) > 1:
                hint = f"If the classes are in {only}, pass that folder."
        raise ValueError(
            f"Expected at least two subfolders in {folder}, one for each class. "
            f"Received: {_listed(names) or 'none'}. {hint}"
        )
    return names


def _files(folder: Path, classes: Sequence[str], left_out: Counter[str]) -> Files:
    paths, labels, places = [], [], _classes(folder)
    for label, name in enumerate(classes):
        others: Counter[str] = Counter()
        found = _pictures(places[name], left_out=others)
        if not found:
            reasons = ", ".join(f"{count:,} {why}" for why, count in others.most_common())
            raise ValueError(
                f"Expected pictures (.jpg, .png, .webp and others that Pillow reads) in "
                f"{folder / name}. Received: {reasons or 'none'}. Add some, or remove the "
                "subfolder."
            )
        left_out += others
        paths += found
        labels += [label] * len(found)
    return Files(paths, np.array(labels, np.int64))


def _listed(names: Sequence[str], comma: str = ", ") -> str:
    """Join names for a message, the first dozen of them and none longer than a line."""
    short = [name if len(name) <= 80 else f"{name[:79]}…" for name in names[:12]]
    return comma.join(short + [f"… ({len(names)} in all)"] * (len(names) > 12))


def _pictures(folder: Path, *, left_out: Counter[str], deep: bool = True) -> list[Path]:
    """List a folder's pictures, and count other files by what is said of them."""
    found, endings = [], images.endings()
    seen = {str(parent) for parent in Path(os.path.realpath(folder)).parents}
    for root, folders, names in os.walk(folder, followlinks=True):
        if (place := os.path.realpath(root)) in seen:  # a link that leads back, or up
            folders.clear()
            continue
        seen.add(place)
        folders[:] = [name for name in folders if deep and not _is_litter(name)]
        for name in names:
            if _is_litter(name):
                continue
            path = Path(root, name)
            if path.suffix.lower() in endings or images.is_picture(path):
                found.append(path)
            else:
                left_out[_why(path)] += 1
    return sorted(found)


def _why(path: Path) -> str:
    ending, head = path.suffix.lower(), b""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(12)
    if images.is_heic(head) or ending in (".heic", ".heif"):
        return f"{ending or 'without an ending'} ({images.HEIC_REMEDY})"
    return f"{ending or 'without an ending'} (no pictures that Pillow reads)"
