"""Where files are looked for before anything is downloaded, and where a download is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A folder to look in, its name in messages, and whether what lies there is meant for us."""

    folder: Path
    label: str
    ours: bool = False


def our_places() -> Iterator[Place]:
    """`$CNNLAB_DATA` where it is set, then the repository's `data/`."""
    if folder := os.environ.get("CNNLAB_DATA"):
        yield Place(Path(folder).expanduser(), "$CNNLAB_DATA/", ours=True)
    repository = Path(__file__).resolve().parents[2]
    if (repository / "pyproject.toml").is_file():  # else the library is installed on its own
        yield Place(repository / "data", "data/", ours=True)


def keras_cache(kind: str) -> Place:
    """Keras's own folder of downloads; `kind` is "datasets" or "models"."""
    if folder := os.environ.get("KERAS_HOME"):
        return Place(Path(folder).expanduser() / kind, f"$KERAS_HOME/{kind}/")
    return Place(Path.home() / ".keras" / kind, f"~/.keras/{kind}/")


def home_place(kind: str) -> Place:
    """Where a download and what is unpacked are kept: the first of our places, or Keras's cache."""
    ours = list(our_places())
    if os.environ.get("CNNLAB_DATA"):
        return ours[0]  # asked for by name: used or complained about, never replaced in silence
    for place in ours:
        existing = place.folder if place.folder.exists() else place.folder.parent
        if os.access(existing, os.W_OK):
            return place
    return keras_cache(kind)
