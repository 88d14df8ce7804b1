"""Search: the first place on this disk that has a file, else a download, else how to get it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cnnlab.sources.download import fetch
from cnnlab.sources.origins import DEFAULT_LIMITS, Limits
from cnnlab.sources.places import Place
from cnnlab.sources.published import BrokenFileError, Remote

logger = logging.getLogger(__name__)

Content = TypeVar("Content")
Kind = TypeVar("Kind")


def find(
    candidates: Mapping[str, Kind],
    read: Callable[[Path, Kind, str], Content],
    *,
    places: Iterable[Place],
    home: Place,
    downloads: Sequence[Remote],
    title: str,
    offline: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Content, str]:
    """Read a file from the first place that has it, downloading it if none has.

    Args:
        candidates: The names under which it may lie in a place, best first, and of what kind each
            is: whatever `read` wants to know.
        read: Called with path, kind and the name for messages; raises BrokenFileError or OSError
            for a file that is not what it should be.
        places: Where to look, in order. A broken file in one that is ours stops the search, because
            someone put it there; elsewhere it is passed over with a warning.
        home: Where a download is kept.
        downloads: What to download where nothing was found, best first; their names are among the
            candidates.
        title: What is looked for, in messages.
        offline: Whether to do without a download.
        limits: Time limits of the download.

    Returns:
        What `read` returned, and where it was found, in words.

    Raises:
        BrokenFileError: A file in a place of ours isn't what it should be.
        OSError: It is in none of the places and can't be downloaded; the message says what to do
            by hand.
    """
    for place in places:
        for name, kind in candidates.items():
            path, label = place.folder / name, f"{place.label}{name}"
            if not path.exists():
                continue
            try:
                return _read(read, path, kind, label), label
            except BrokenFileError as error:
                if place.ours:
                    raise
                logger.warning("Passed over: %s", error)
    if offline:
        absent = "" if home.folder.is_dir() else f", which is to be {home.folder.absolute()}: make"
        absent = absent and f"{absent} that folder first, or set CNNLAB_DATA to another"
        raise FileNotFoundError(
            f"{title} can't be found on this disk, and no download was wanted. Get "
            f"{downloads[0].description} from {downloads[0].origins[0]} and put it, as it is, into "
            f"{home.label}{absent}"
        )
    path = fetch(downloads, home.folder, label=home.label, limits=limits)
    label = f"{home.label}{path.name}"
    return _read(read, path, candidates[path.name], label), f"{label}, just downloaded"


def _read(
    read: Callable[[Path, Kind, str], Content], path: Path, kind: Kind, label: str
) -> Content:
    try:
        return read(path, kind, label)
    except OSError as error:
        raise BrokenFileError(f"{label} can't be read: {error.strerror or error}.") from error
