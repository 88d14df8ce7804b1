"""Archives: unpack one so that nothing lands outside its folder, or half-written in it."""

from __future__ import annotations

import gzip
import os
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from cnnlab.sources.published import CHUNK, BrokenFileError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz so that what it holds appears in a folder whole or not at all.

    Args:
        archive: The file. Members that are links or devices, or would land outside the folder,
            are refused, and nothing is unpacked then.
        folder: An existing folder. What it already holds under the same name is left as it is.

    Raises:
        BrokenFileError: The archive is damaged, or has a member that is refused.
        OSError: The folder can't be written to, or this Python can't filter members.
    """
    if not hasattr(tarfile, "data_filter"):
        raise OSError(
            "archives are unpacked by Python 3.10.12, 3.11.4, 3.12 or later, whose tarfile filters "
            f"members. Received: Python {sys.version.split()[0]}. Update it, or unpack "
            f"{archive.name} by hand"
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as temporary:
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                tar.extractall(temporary, filter=_files_and_folders)
                while stream.read(CHUNK):  # to the very end, where gzip keeps its checksum
                    pass
        except tarfile.FilterError as error:
            raise BrokenFileError(
                f"{archive.name} holds {error.tarinfo.name!r}, which is a link or would land "
                "outside the folder. Nothing was unpacked. Delete the archive: it is not the "
                "official one."
            ) from error
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise BrokenFileError(
                f"{archive.name} can't be unpacked: {error}. Delete it and download it again."
            ) from error
        for path in Path(temporary).iterdir():
            try:
                os.replace(path, folder / path.name)
            except OSError:
                if not (folder / path.name).exists():  # else another process was faster
                    raise


def _files_and_folders(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Let plain files and folders pass that stay inside; `filter="data"` alone lets links pass.

    Chains of links have led that filter outside (CVE-2025-4517), and no archive here has any.
    """
    if not (member.isreg() or member.isdir()):
        raise tarfile.SpecialFileError(member)
    if PurePosixPath(member.name).is_absolute():  # which the filter would take as relative
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)
