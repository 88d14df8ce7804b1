"""Published files: where each can be had, and what proves that a copy is the right one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cnnlab._notebook import ShortTraceback

CHUNK = 1 << 18


class BrokenFileError(ShortTraceback, ValueError):
    """A file on this disk is not what its name promises; the message says which, and how."""


@dataclass(frozen=True)
class Remote:
    """A file that can be had from several places, and what proves that it is the right one.

    Attributes:
        name: The file's name on this disk.
        digest: Its digest, in hexadecimal. It makes every origin as trustworthy as the first.
        size: Its size in bytes.
        origins: Addresses, best first.
        algorithm: Which digest, by hashlib's name. "md5" only where a file's makers publish no
            other: it finds any damage, but somebody determined could forge it, so name only
            origins that are trusted.
    """

    name: str
    digest: str
    size: int
    origins: tuple[str, ...]
    algorithm: str = "sha256"

    @property
    def description(self) -> str:
        """Return name, size and digest, by which a reader can tell a copy."""
        return f"{self.name} ({self.size:,} bytes, {self.algorithm} {self.digest})"

    def hash(self, path: Path) -> str:
        """Compute a file's digest by the same algorithm, in hexadecimal."""
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def verify(self, path: Path, label: str | None = None) -> None:
        """Make sure that a file on this disk is this one, whole.

        Args:
            path: The file. Where its size is wrong already, it is not read.
            label: Its name in the message.

        Raises:
            BrokenFileError: Size or digest differ.
            OSError: The file can't be read.
        """
        size = path.stat().st_size
        digest = self.hash(path) if size == self.size else "not computed"
        if digest != self.digest:
            raise BrokenFileError(
                f"{label or path} is not the official file, or not all of it. "
                f"Expected {self.size:,} bytes with {self.algorithm} {self.digest}. "
                f"Received: {size:,} bytes with {self.algorithm} {digest}. "
                "Delete it, then run this again to download it, or put the right file there."
            )
