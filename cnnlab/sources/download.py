"""Download: one verified file from several origins in turn, resumed after a break, never a hang."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from cnnlab._notebook import ShortTraceback
from cnnlab.sources.origins import (
    DEFAULT_LIMITS,
    Limits,
    OriginError,
    complete,
    probe,
    size_of,
    wait_for,
)
from cnnlab.sources.published import BrokenFileError, Remote

logger = logging.getLogger(__name__)


class DownloadError(ShortTraceback, OSError):
    """A file could not be had, from any origin; the message says why and what to do by hand."""


def fetch(
    remotes: Sequence[Remote],
    folder: Path,
    *,
    label: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Have one of several equally good files in a folder, downloading it if need be.

    A download is written to `<name>.part` and gets its name only when size and digest are right.
    A part is kept when the network fails, and continued by the next call, from any origin.
    Two processes may call this at the same time: one downloads, the other waits.

    Args:
        remotes: Files of which any will do, best first.
        folder: Where the file is kept; made if missing.
        label: The folder's name in messages.
        limits: Time limits.

    Returns:
        The path of the first of the files that is there or could be had.

    Raises:
        DownloadError: No origin had it, or the folder can't be written to.
    """
    label = label or str(folder)
    try:
        if found := _present(remotes, folder):
            return found
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(remotes, folder, limits):
            return _present(remotes, folder) or _download(remotes, folder, label, limits)
    except DownloadError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            for remote in remotes:
                _part(folder, remote).unlink(missing_ok=True)
        raise DownloadError(
            f"{remotes[0].name} ({remotes[0].size / 1e6:.0f} MB) can't be written to {label}: "
            f"{error.strerror or error}. Make room or give write access there, or name another "
            "folder in the environment variable CNNLAB_DATA, then run this again."
        ) from error


def _present(remotes: Sequence[Remote], folder: Path) -> Path | None:
    for remote in remotes:
        path = folder / remote.name
        if path.is_file():
            try:
                remote.verify(path)
            except BrokenFileError:
                continue
            return path
    return None


def _part(folder: Path, remote: Remote) -> Path:
    return folder / f"{remote.name}.part"


@contextmanager
def _locked(remotes: Sequence[Remote], folder: Path, limits: Limits) -> Iterator[None]:
    """Hold the folder's lock. Another holder is waited for as long as its part grows."""
    lock = filelock.FileLock(folder / f".{remotes[0].name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logger.warning("Another process is downloading %s; waiting for it.", remotes[0].name)
        while not lock.is_locked:
            before = [size_of(_part(folder, remote)) for remote in remotes]
            try:
                lock.acquire(timeout=limits.lock)
            except filelock.Timeout:
                if before == [size_of(_part(folder, remote)) for remote in remotes]:
                    raise DownloadError(
                        f"Another process is downloading {remotes[0].name}, but nothing has "
                        f"arrived for {limits.lock:g} s. End it, then run this again."
                    ) from None
    try:
        yield
    finally:
        lock.release()


def _download(remotes: Sequence[Remote], folder: Path, label: str, limits: Limits) -> Path:
    """Try every origin in order; then those that were too slow, the fastest first."""
    origins = [(remote, url) for remote in remotes for url in remote.origins]
    probes = {url: probe(url, limits.connect) for _, url in origins}
    deadline = time.monotonic() + limits.connect
    errors: dict[str, OriginError] = {}

    def first_good(origins: Sequence[tuple[Remote, str]], patience: float) -> Path | None:
        for remote, url in origins:
            part = _part(folder, remote)
            try:
                wait_for(probes[url], deadline)
                complete(remote, url, part, patience, limits)
            except OriginError as error:
                errors[url] = error
            else:
                os.replace(part, folder / remote.name)
                return folder / remote.name
        return None

    if path := first_good(origins, limits.slow):
        return path
    slow = [(remote, url) for remote, url in origins if errors[url].speed]
    slow.sort(key=lambda origin: -errors[origin[1]].speed)
    if path := first_good(slow, limits.total):
        return path
    raise DownloadError(_how_to_by_hand(remotes, folder, label, errors))


def _how_to_by_hand(
    remotes: Sequence[Remote], folder: Path, label: str, errors: dict[str, OriginError]
) -> str:
    """Say why each origin failed, and which file to put where."""
    name = " or ".join(remote.name for remote in remotes)
    reached = any(error.reached for error in errors.values())
    why = f"none of {len(errors)} origins gave it" if reached else "is there a network?"
    lines = [f"{name} could not be downloaded ({why})."]
    lines += [f"- {url}: {error}" for url, error in errors.items()]
    lines += [f"By hand: download one of these files elsewhere and put it, as it is, into {label}:"]
    lines += [f"- {remote.description}" for remote in remotes]
    parts = [_part(folder, remote) for remote in remotes]
    if kept := [f"{part.name} ({size_of(part) / 1e6:.1f} MB)" for part in parts if size_of(part)]:
        lines += [f"What has arrived is kept and will be continued: {', '.join(kept)}."]
    return "\n".join(lines)
