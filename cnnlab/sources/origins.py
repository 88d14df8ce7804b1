"""Origins: have an address answer, and complete a part of a file from it, within time limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request

from tqdm import tqdm

from cnnlab import __version__
from cnnlab._web import open_address
from cnnlab.sources.published import CHUNK, Remote

ATTEMPTS = 20  # at one origin that keeps breaking off; each goes on from where the last one stopped


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


class OriginError(Exception):
    """One origin failed; another may not.

    Attributes:
        reached: Whether it answered at all.
        again: Whether it broke off, so that asking once more may help.
        speed: Its bytes per second, where it was left for being too slow.
    """

    def __init__(
        self, reason: str, *, reached: bool = True, again: bool = False, speed: float = 0.0
    ):
        super().__init__(reason)
        self.reached = reached
        self.again = again
        self.speed = speed


def probe(url: str, seconds: float) -> Future[None]:
    """Ask an origin, in the background, whether it is there; a 404 is an answer, too.

    All are asked at once, in threads, since a name look-up can't be given a time limit; the
    threads are daemons, so that none keeps the process alive.
    """
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            _open(url, seconds, method="HEAD").close()
        except HTTPError as error:
            error.close()
        except (OSError, HTTPException) as error:
            answer.set_exception(_no_connection(error))
            return
        answer.set_result(None)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def wait_for(answer: Future[None], deadline: float) -> None:
    """Return once an origin has answered; raise OriginError if it doesn't until a deadline."""
    try:
        answer.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeoutError:
        raise OriginError("no answer in time", reached=False) from None


def size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _open(url: str, timeout: float, *, start: int = 0, method: str = "GET") -> HTTPResponse:
    headers = {"User-Agent": f"cnnlab/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return open_address(Request(url, headers=headers, method=method), timeout)


def complete(remote: Remote, url: str, part: Path, patience: float, limits: Limits) -> None:
    """Complete a part from one origin and check it, going on where the connection breaks off.

    Args:
        remote: The file.
        url: One of its origins.
        part: Where it is written; what is there already is not asked for again.
        patience: The most that the rest may take, in seconds, at the speed measured.
        limits: The other time limits.

    Raises:
        OriginError: This origin failed. The part stays where it can be continued.
        OSError: The part can't be written.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(remote, url, part, patience, limits)
        except OriginError as error:
            if not error.again or attempt == ATTEMPTS:
                raise


def _transfer(remote: Remote, url: str, part: Path, patience: float, limits: Limits) -> None:
    """Complete a part from one origin and check it; a part that can't be right is removed."""
    have = size_of(part)
    if have > remote.size:
        part.unlink()
        have = 0
    if have < remote.size:
        with _response(remote, url, have, limits.stall) as response:
            if response.status != 206:
                have = 0  # the origin sends all of it again
            _write(remote, response, part, have, patience, limits)
    digest = remote.hash(part)
    if digest != remote.digest:
        part.unlink()
        raise OriginError(
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
        raise OriginError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _no_connection(error) from error
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            moved = f", after a redirect to {response.url}" if response.url != url else ""
            raise OriginError(f"sent an HTML page instead of the file{moved}")
        expected = remote.size - start if response.status == 206 else remote.size
        if response.length not in (None, expected):
            raise OriginError(f"offers {response.length:,} bytes, expected {expected:,}")
        sent = response.headers.get("Content-Range", "")
        if response.status == 206 and not sent.startswith(f"bytes {start}-"):
            raise OriginError(f"sent the range {sent!r} when asked for the rest from {start}")
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
                    reason = f"too slow: {speed / 1000:.3g} kB/s, {_duration(left)} left"
                    raise OriginError(reason, speed=speed)
                since, before = time.monotonic(), have
    raise OriginError(f"the connection ended at byte {have:,} of {remote.size:,}", again=True)


def _chunks(response: HTTPResponse, stall: float) -> Iterator[bytes]:
    """Yield the body as it arrives; only network errors are caught here, not those of the disk."""
    while True:
        try:
            chunk = response.read1(CHUNK)  # read() would wait for a whole chunk of a trickle
        except TimeoutError:
            raise OriginError(f"stalled: nothing for {stall:g} s") from None
        except (OSError, HTTPException) as error:
            raise OriginError(f"the connection broke: {_reason(error)}", again=True) from error
        if not chunk:
            return
        yield chunk


def _no_connection(error: Exception) -> OriginError:
    return OriginError(f"no connection: {_reason(error)}", reached=False)


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
