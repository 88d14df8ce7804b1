"""Fetch one verified file: several origins in turn, resumed after a break, and never a hang."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import filelock
from tqdm import tqdm

from cnnlab import __version__
from cnnlab.sources import archive

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
ATTEMPTS = 20  # at one origin that keeps breaking off; each goes on from where the last one stopped


class DownloadError(OSError):
    """A file could not be had, from any origin; the message says why and what to do by hand."""


@dataclass(frozen=True)
class Remote:
    """A file that can be had from several places, and what proves that it is the right one.

    Attributes:
        name: The file's name on this disk.
        sha256: Its SHA-256, in hexadecimal. It makes every origin as trustworthy as the first.
        size: Its size in bytes.
        origins: Addresses, best first.
        md5: Its MD5, where its makers publish no other digest. It finds any damage, but somebody
            determined could forge it: name only origins that are trusted.
    """

    name: str
    sha256: str | None
    size: int
    origins: tuple[str, ...]
    md5: str | None = None

    @property
    def algorithm(self) -> str:
        """Which digest is known, by hashlib's name."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """The digest that is known, in hexadecimal."""
        return self.sha256 or self.md5

    def verify(self, path: Path, label: str | None = None) -> None:
        """Raise BrokenFileError unless this is the file, whole."""
        archive.verify(
            path, size=self.size, digest=self.digest, algorithm=self.algorithm, label=label
        )


@dataclass(frozen=True)
class Limits:
    """How long to wait for what, in seconds.

    Attributes:
        connect: For an origin to answer at all. All are asked at once, so that a machine without
            a network finds out in this time, however many origins there are.
        stall: For the next byte.
        window: The speed is measured over this time.
        slow: An origin that would need more time than this for the rest is left while another
            might be faster.
        total: When all are slow, the fastest goes on, unless the rest would take it longer still.
        lock: For another process that holds the lock and makes no progress.
    """

    connect: float = 5.0
    stall: float = 10.0
    window: float = 8.0
    slow: float = 300.0
    total: float = 3 * 3600.0
    lock: float = 120.0


DEFAULT_LIMITS = Limits()


class _OriginError(Exception):
    """This origin failed; another may not. `again`: it broke off, so asking once more may help."""

    def __init__(self, reason: str, *, again: bool = False):
        super().__init__(reason)
        self.again = again


class _TooSlowError(_OriginError):
    def __init__(self, speed: float, left: float):
        super().__init__(f"too slow: {speed / 1000:.3g} kB/s, {_duration(left)} left")
        self.speed = speed


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
        with _only_process(remotes, folder, limits):
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
            except archive.BrokenFileError:
                continue
            return path
    return None


def _part(folder: Path, remote: Remote) -> Path:
    return folder / f"{remote.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _only_process(remotes: Sequence[Remote], folder: Path, limits: Limits) -> Iterator[None]:
    """Hold the folder's lock. Another holder is waited for as long as its part grows."""
    lock = filelock.FileLock(folder / f".{remotes[0].name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logger.warning("Another process is downloading %s; waiting for it.", remotes[0].name)
        while not lock.is_locked:
            before = [_size(_part(folder, remote)) for remote in remotes]
            try:
                lock.acquire(timeout=limits.lock)
            except filelock.Timeout:
                if before == [_size(_part(folder, remote)) for remote in remotes]:
                    raise DownloadError(
                        f"Another process is downloading {remotes[0].name}, but nothing has "
                        f"arrived for {limits.lock:g} s. End it, then run this again."
                    ) from None
    try:
        yield
    finally:
        lock.release()


def _download(remotes: Sequence[Remote], folder: Path, label: str, limits: Limits) -> Path:
    """Try every origin of every file; those that are too slow once more when nothing is left."""
    queue = deque((remote, url, limits.slow) for remote in remotes for url in remote.origins)
    answers = _knock([url for _, url, _ in queue], limits.connect)
    deadline = time.monotonic() + limits.connect
    failures: dict[str, str] = {}
    attempts: Counter[str] = Counter()
    laggards = []
    while queue:
        remote, url, patience = queue.popleft()
        attempts[url] += 1
        part = _part(folder, remote)
        try:
            _await(answers[url], deadline)
            _transfer(remote, url, part, patience, limits)
            os.replace(part, folder / remote.name)
            return folder / remote.name
        except _TooSlowError as error:
            failures[url] = str(error)
            if patience < limits.total:
                laggards.append((error.speed, remote, url))
        except _OriginError as error:
            failures[url] = str(error)
            if error.again and attempts[url] < ATTEMPTS:
                queue.appendleft((remote, url, patience))
        if not queue:
            laggards.sort(key=lambda laggard: -laggard[0])
            queue.extend((remote, url, limits.total) for _, remote, url in laggards)
            laggards = []
    raise DownloadError(_how_to_by_hand(remotes, folder, label, failures))


def _how_to_by_hand(
    remotes: Sequence[Remote], folder: Path, label: str, failures: dict[str, str]
) -> str:
    name = " or ".join(remote.name for remote in remotes)
    reached = any(not reason.startswith("no ") for reason in failures.values())
    why = f"none of {len(failures)} origins gave it" if reached else "is there a network?"
    lines = [f"{name} could not be downloaded ({why})."]
    lines += [f"- {url}: {reason}" for url, reason in failures.items()]
    lines += [f"By hand: download one of these files elsewhere and put it, as it is, into {label}:"]
    lines += [f"- {r.name} ({r.size:,} bytes, {r.algorithm} {r.digest})" for r in remotes]
    parts = [_part(folder, remote) for remote in remotes]
    if kept := [f"{part.name} ({_size(part) / 1e6:.1f} MB)" for part in parts if _size(part)]:
        lines += [f"What has arrived is kept and will be continued: {', '.join(kept)}."]
    return "\n".join(lines)


def _knock(urls: Sequence[str], seconds: float) -> dict[str, Future]:
    """Ask all origins at once whether they are there; any answer, a 404 too, is an answer.

    Each is asked in a thread of its own, since a name look-up can't be given a time limit.
    """

    def knock(url: str, answer: Future) -> None:
        try:
            with _open(url, seconds, method="HEAD"):
                pass
        except HTTPError as error:
            error.close()
        except (OSError, HTTPException) as error:
            answer.set_exception(_OriginError(f"no connection: {_reason(error)}"))
            return
        answer.set_result(None)

    answers = {url: Future() for url in urls}
    for url, answer in answers.items():
        threading.Thread(target=knock, args=(url, answer), daemon=True).start()
    return answers


def _await(answer: Future, deadline: float) -> None:
    try:
        answer.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeoutError:
        raise _OriginError("no answer in time") from None


def _open(url: str, timeout: float, *, start: int = 0, method: str = "GET") -> HTTPResponse:
    headers = {"User-Agent": f"cnnlab/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urlopen(Request(url, headers=headers, method=method), timeout=timeout)


def _transfer(remote: Remote, url: str, part: Path, patience: float, limits: Limits) -> None:
    """Complete a part from one origin and check it; a part that can't be right is removed."""
    have = _size(part)
    if have > remote.size:
        part.unlink()
        have = 0
    if have < remote.size:
        with _response(remote, url, have, limits.stall) as response:
            if response.status != 206:
                have = 0  # the origin sends all of it again
            _write(remote, response, part, have, patience, limits)
    digest = archive.hash_file(part, remote.algorithm)
    if digest != remote.digest:
        part.unlink()
        raise _OriginError(
            f"wrong content: {remote.algorithm} {digest}, expected {remote.digest}",
            again=have > 0,  # the bytes that were there before may be the wrong ones
        )


@contextmanager
def _response(remote: Remote, url: str, start: int, stall: float) -> Iterator[HTTPResponse]:
    """Open an address at a byte, and make sure from the headers that the file will follow."""
    try:
        response = _open(url, stall, start=start)
    except HTTPError as error:
        error.close()
        raise _OriginError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _OriginError(f"no connection: {_reason(error)}") from error
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            moved = f", after a redirect to {response.url}" if response.url != url else ""
            raise _OriginError(f"sent an HTML page instead of the file{moved}")
        expected = remote.size - start if response.status == 206 else remote.size
        if response.length not in (None, expected):
            raise _OriginError(f"offers {response.length:,} bytes, expected {expected:,}")
        sent = response.headers.get("Content-Range", "")
        if response.status == 206 and not sent.startswith(f"bytes {start}-"):
            raise _OriginError(f"sent the range {sent!r} when asked for the rest from {start}")
        yield response


def _write(
    remote: Remote, response: HTTPResponse, part: Path, have: int, patience: float, limits: Limits
) -> None:
    with (
        part.open("ab" if have else "wb") as file,
        tqdm(desc=remote.name, total=remote.size, initial=have, unit="B", unit_scale=True) as bar,
    ):
        since, before = time.monotonic(), have
        for chunk in _chunks(response, limits.stall):
            chunk = chunk[: remote.size - have]
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
            elapsed = time.monotonic() - since
            if have == remote.size:
                return
            if elapsed >= limits.window:
                speed = (have - before) / elapsed
                if (left := (remote.size - have) / speed) > patience:
                    raise _TooSlowError(speed, left)
                since, before = time.monotonic(), have
    raise _OriginError(f"the connection ended at byte {have:,} of {remote.size:,}", again=True)


def _chunks(response: HTTPResponse, stall: float) -> Iterator[bytes]:
    """The body as it arrives. Only network errors are caught here, not those of the disk."""
    while True:
        try:
            chunk = response.read1(CHUNK)  # read() would wait for a whole chunk of a trickle
        except TimeoutError:
            raise _OriginError(f"stalled: nothing for {stall:g} s") from None
        except (OSError, HTTPException) as error:
            raise _OriginError(f"the connection broke: {_reason(error)}", again=True) from error
        if not chunk:
            return
        yield chunk


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
