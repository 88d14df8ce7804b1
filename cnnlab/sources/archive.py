"""Is this file the right one, and unpack it so that nothing lands outside or half-written."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

CHUNK = 1 << 18


class BrokenFileError(ValueError):
    """A file on this disk is not what its name promises; the message says which, and how."""


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file in hexadecimal, by an algorithm of hashlib's."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(
    path: Path, *, size: int, digest: str, algorithm: str = "sha256", label: str | None = None
) -> None:
    """Raise BrokenFileError unless a file has the size and the digest that it should have.

    Args:
        path: The file.
        size: Its size in bytes. Where it differs, the file need not be read.
        digest: Its digest, in hexadecimal.
        algorithm: Which digest, by hashlib's name.
        label: The file's name in the message.
    """
    found = path.stat().st_size
    found_digest = hash_file(path, algorithm) if found == size else "not computed"
    if found_digest != digest:
        raise BrokenFileError(
            f"{label or path} is not the official file, or not all of it. "
            f"Expected {size:,} bytes with {algorithm} {digest}. "
            f"Received: {found:,} bytes with {algorithm} {found_digest}. "
            "Delete it, then run this again to download it, or put the right file there."
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz so that what it holds appears in a folder whole or not at all.

    Args:
        archive: The file. Members that are links or devices, or would land outside the folder,
            are refused, and nothing is unpacked then.
        folder: An existing folder. What it already holds under the same name is left as it is.

    Raises:
        BrokenFileError: The archive is damaged, or has a member that is refused.
        OSError: The folder can't be written to.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary:
        root = Path(temporary).resolve()
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    _check_member(archive, member, root)
                    _unpack_member(tar, member, root)
                while stream.read(CHUNK):  # to the very end, where gzip keeps its checksum
                    pass
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise BrokenFileError(
                f"{archive.name} can't be unpacked: {error}. Delete it and download it again."
            ) from error
        for path in root.iterdir():
            try:
                os.replace(path, folder / path.name)
            except OSError:
                if not (folder / path.name).exists():  # else another process was faster
                    raise


def _check_member(archive: Path, member: tarfile.TarInfo, root: Path) -> None:
    target = (root / member.name).resolve()  # an absolute name replaces root
    inside = target == root or root in target.parents
    if not inside or not (member.isreg() or member.isdir()):
        raise BrokenFileError(
            f"{archive.name} holds {member.name!r}, which is a link or would land outside the "
            "folder. Nothing was unpacked. Delete the archive: it is not the official one."
        )


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    target = root / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
