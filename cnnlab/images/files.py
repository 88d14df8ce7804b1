"""A picture from a path, an address, an array or Pillow, and back into a file."""

from __future__ import annotations

import io
import math
import os
import re
import time
import uuid
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request

import numpy as np
from PIL import Image

from cnnlab._notebook import ShortTraceback
from cnnlab._web import open_address
from cnnlab.images.arrays import from_array, height_and_width
from cnnlab.images.decoding import FITS, decode, pixels, shortened, to_rgb

DOWNLOAD_BYTES = 50_000_000
DOWNLOAD_SECONDS = 30.0
# Without chroma subsampling: small red details survive, which Pillow's default (75, 4:2:0) blurs.
SAVE_OPTIONS = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}


class NothingToReadError(ShortTraceback, FileNotFoundError):
    """There is no picture at a path or an address; the message says why and what to do."""


def read(
    source: str | Path | np.ndarray | Image.Image,
    size: int | tuple[int, int] | None = None,
    *,
    fit: str = "crop",
) -> np.ndarray:
    """Read one picture as RGB pixels, upright, whatever its format.

    The EXIF orientation is applied, transparent parts are laid on white, 16-bit values are scaled
    to 8 bits, and of an animation the first frame is taken.

    Args:
        source: A path, an http(s) address, a Pillow image, or an array of shape (h, w), (h, w, 1),
            (h, w, 3) or (h, w, 4), of whole numbers or floats in 0…255. Floats are rounded and
            clipped, and refused where `require_pixels` tells that they were scaled or preprocessed.
        size: Height and width of the result; one number for a square; None keeps the picture's own.
        fit: What to do when the proportions differ. "crop" cuts the edges off and keeps the centre,
            "pad" adds black bars, "stretch" distorts.

    Returns:
        uint8 (h, w, 3) in 0…255, RGB: a new array.

    Raises:
        NothingToReadError: No such file, a 404, no connection, a time limit; an `OSError`.
        PictureError: What was read is not a picture or is too large; a `ValueError`.
        ValueError: An argument makes no sense.
        TypeError: The source is of none of the types above.
    """
    if fit not in FITS:
        raise ValueError(f"Expected fit to be one of {FITS}. Received: fit={fit!r}")
    shape = None if size is None else height_and_width(size)
    if shape and math.prod(shape) > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(
            f"Expected a size of at most {Image.MAX_IMAGE_PIXELS:,} pixels. Received: {size=}"
        )
    if isinstance(source, Image.Image):
        return pixels(source, shape, fit)
    if hasattr(source, "__array__"):  # NumPy arrays, and tensors too
        return pixels(from_array(np.asarray(source)), shape, fit)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "Expected a path, an http(s) address, a uint8 or float array, or a Pillow image. "
            f"Received: source of type {type(source).__name__}"
        )
    if not str(source).strip():
        raise ValueError(
            f"Expected a path or an http(s) address of a picture. "
            f"Received: {source=}, an empty text"
        )
    if str(source).lower().startswith(("http://", "https://")):
        return decode(io.BytesIO(_download(str(source))), source, shape, fit)
    if scheme := re.match(r"(?i)(data|file|ftp|s3|gs|blob):", str(source)):
        raise ValueError(
            "Expected a path or an http(s) address; save the picture of another address as a file "
            f"and pass its path. Received: source={shortened(source)}, of the kind {scheme[0]}"
        )
    path = Path(os.path.expanduser(source))
    if not _is_file(path):
        what = "a folder" if os.path.isdir(path) else "no file"
        raise NothingToReadError(
            f"Expected the path of a picture, but there is {what} of that name. "
            f"Received: source={shortened(source)}, looked for in "
            f"{shortened(folder_of(path))}"
        )
    with path.open("rb") as file:
        return decode(file, source, shape, fit)


def save(image: np.ndarray, path: str | Path) -> Path:
    """Save a picture with exactly the values it has: the contrast is never stretched.

    Missing folders are made. The file appears whole or not at all: it is written under a temporary
    name beside its place and then renamed.

    Args:
        image: An array as `read` takes it: (h, w, 3) uint8 or float in 0…255, RGB; or grey or RGBA.
        path: Ends in .png (lossless), .jpg or .jpeg (quality 95, colour at full resolution).

    Returns:
        The path.

    Raises:
        ValueError: Another ending, no name for a file, or an array that is no picture.
        IsADirectoryError: A folder has this name.
    """
    path = Path(os.path.expanduser(path))
    options = SAVE_OPTIONS.get(path.suffix.lower())
    if options is None:
        raise ValueError(
            f"Expected a name ending in {', '.join(SAVE_OPTIONS)}. Received: {path=!s}"
        )
    if path.is_dir():
        raise IsADirectoryError(
            f"Expected the name of a file, but a folder has it; choose another. Received: {path=!s}"
        )
    if "\0" in str(path) or any(parent.is_file() for parent in path.parents):
        raise ValueError(
            "Expected a name without NUL, in a folder and not in a file. "
            f"Received: path={shortened(path)}"
        )
    picture = from_array(np.asarray(image))
    if options["format"] == "JPEG":
        picture = to_rgb(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        picture.save(temporary, **options)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def folder_of(path: Path) -> str:
    """Say which folder a path leads to, as far as it can be said."""
    try:
        return str(path.absolute().parent)
    except FileNotFoundError:
        return "a working folder that was deleted: os.chdir to another"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name too long for any file
        return False


def _download(url: str) -> bytes:
    """Return the body behind an address, within DOWNLOAD_BYTES and DOWNLOAD_SECONDS."""
    # Spaces and accents, as copied from a browser, are escaped; what is escaped already stays.
    request = Request(
        quote(url, safe="%/:=&?~#+!$,;'@()*[]"),
        # Some picture hosts answer 403 to urllib's own name.
        headers={"User-Agent": "Mozilla/5.0 (compatible; cnnlab)"},
    )
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    body = bytearray()
    try:
        with open_address(request, DOWNLOAD_SECONDS) as response:
            # read1 returns what has arrived, so that a trickle can't outlast the deadline.
            while chunk := response.read1(65_536):
                body += chunk
                if len(body) > DOWNLOAD_BYTES:
                    raise ValueError(
                        f"Expected a picture of at most {DOWNLOAD_BYTES / 1e6:g} MB. "
                        f"Received: source={shortened(url)}"
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not complete after {DOWNLOAD_SECONDS:g} s")
    except HTTPError as error:
        raise NothingToReadError(
            f"The server has no picture for us there ({error.code} {error.reason}); open the "
            f"address in a browser to check it. Received: source={shortened(url)}"
        ) from error
    except (OSError, HTTPException) as error:
        raise NothingToReadError(
            f"The picture can't be downloaded ({error}); check the address and the network, or "
            f"save it by hand and pass its path. Received: source={shortened(url)}"
        ) from error
    return bytes(body)
