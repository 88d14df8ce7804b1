"""Places: the folders to look for a file in, and the one where a download is kept."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Place:
    """A folder to look in, its name in messages, and whether what lies there is meant for us."""

    folder: Path
    label: str
    ours: bool = False


def search_places(kind: str) -> list[Place]:
    """List where to look, in order: `$CNNLAB_DATA`, the repository's `data/`, Keras's cache.

    Args:
        kind: Which of Keras's folders: "datasets" or "models".
    """
    places = [*_our_places(), _keras_cache(kind)]
    named = places[0]
    if _named() and not named.folder.exists():
        quoted = _named()[0] in "\"'" or _named()[-1] in "\"'"
        logger.warning(
            "CNNLAB_DATA names %s, where nothing is: looking elsewhere, %s first.%s",
            named.folder.absolute(),
            places[1].label,
            " The quotation marks belong to the value: set it without them." * quoted,
        )
    return places


def home_place(kind: str) -> Place:
    """Choose where to keep a download: `$CNNLAB_DATA`, else the first place that is writable.

    Args:
        kind: Which of Keras's folders, where no place of ours will do: "datasets" or "models".
    """
    ours = _our_places()
    if _named():
        return ours[0]  # asked for by name: used or complained about, never replaced in silence
    for place in ours:
        existing = place.folder if place.folder.exists() else place.folder.parent
        if os.access(existing, os.W_OK):
            return place
    return _keras_cache(kind)


def shipped(name: str) -> Path:
    """Find a file that ships with the library.

    A clone keeps it in the repository's `data/`, an installed wheel inside the package.

    Args:
        name: Its path there, such as "pictures/lake.jpg".

    Returns:
        The file's path on this disk.

    Raises:
        ValueError: The name leads elsewhere.
        FileNotFoundError: No such file; the message says where it should be.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"Expected a path inside what ships. Received: name={name!r}")
    folders = [*_repository_data(), Place(PACKAGE / "shipped", f"{PACKAGE.name}/shipped/")]
    for place in folders:
        if (path := place.folder / name).is_file():
            return path
    raise FileNotFoundError(
        f"Expected {name} in {' or '.join(place.label for place in folders)}, with what ships. "
        "Received: nothing of that name. If the repository's data/ has it, install the library "
        f"again or put the file into {folders[0].label}"
    )


def _named() -> str:
    return os.environ.get("CNNLAB_DATA", "").strip()


def _our_places() -> list[Place]:
    if not (named := _named()):
        return _repository_data()
    folder = Path(os.path.expanduser(named))
    folder = folder.parent if folder.is_file() else folder  # it names the file itself
    return [Place(folder, "$CNNLAB_DATA/", ours=True), *_repository_data()]


def _repository_data() -> list[Place]:
    """Return the repository's `data/`, or nothing where the package stands on its own."""
    if not (PACKAGE.parent / "pyproject.toml").is_file():
        return []
    return [Place(PACKAGE.parent / "data", "data/", ours=True)]


def _keras_cache(kind: str) -> Place:
    if folder := os.environ.get("KERAS_HOME"):
        return Place(Path(os.path.expanduser(folder)) / kind, f"$KERAS_HOME/{kind}/")
    home = os.path.expanduser("~")  # stays "~" where nobody knows it; Keras then does the same
    home = tempfile.gettempdir() if home == "~" else home
    return Place(Path(home) / ".keras" / kind, f"~/.keras/{kind}/")
