"""One picture at a time: read it from anywhere as uint8 RGB, fit it to a size, save it.

The notebooks read your own pictures with it: notebook 1 in section 6, notebook 2 in section 8,
notebook 3 throughout.
"""

from __future__ import annotations

import io
import math
import operator
import os
import time
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps

__all__ = ["read", "save", "to_uint8"]

FITS = ("crop", "pad", "stretch")
DOWNLOAD_BYTES = 50_000_000
DOWNLOAD_SECONDS = 30.0
# Without chroma subsampling: small red details survive, which Pillow's default (75, 4:2:0) blurs.
SAVE_OPTIONS = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}


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
            (h, w, 3) or (h, w, 4), uint8 or float, in 0…255. Floats are rounded and clipped.
            Floats that are all at most 1 are refused, unless all are 0: they are more likely
            in 0…1 than a nearly black picture in 0…255, and no guess is right for both.
        size: Height and width of the result; one number for a square; None keeps the picture's own.
        fit: What to do when the proportions differ. "crop" cuts the edges off and keeps the centre,
            "pad" adds black bars, "stretch" distorts.

    Returns:
        uint8 (h, w, 3) in 0…255, RGB: a new array.

    Raises:
        OSError: There is nothing to read: no such file, a 404, a time limit.
        ValueError: What was read is not a picture or is too large, or an argument makes no sense.
        TypeError: The source is of none of the types above.
    """
    if fit not in FITS:
        raise ValueError(f"Expected fit to be one of {FITS}. Received: fit={fit!r}")
    shape = None if size is None else _height_and_width(size)
    if isinstance(source, Image.Image):
        return _pixels(ImageOps.exif_transpose(source), shape, fit)
    if hasattr(source, "__array__"):  # NumPy arrays, and tensors too
        return _pixels(_from_array(np.asarray(source)), shape, fit)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "Expected a path, an http(s) address, a uint8 or float array, or a Pillow image. "
            f"Received: source of type {type(source).__name__}"
        )
    if str(source).lower().startswith(("http://", "https://")):
        return _decode(io.BytesIO(_download(str(source))), source, shape, fit)
    path = Path(source).expanduser()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise FileNotFoundError(
            f"Expected the path of a picture, but there is {what} of that name. "
            f"Received: source={str(source)!r}, looked for in {path.absolute().parent}"
        )
    with path.open("rb") as file:
        return _decode(file, source, shape, fit)


def save(image: np.ndarray, path: str | Path) -> Path:
    """Save a picture with exactly the values it has: the contrast is never stretched.

    Missing folders are made. The file appears whole or not at all: it is written under a temporary
    name beside its place and then renamed.

    Args:
        image: An array as `read` takes it: (h, w, 3) uint8 or float in 0…255, RGB; or grey or RGBA.
        path: Ends in .png (lossless), .jpg or .jpeg (quality 95, colour at full resolution).

    Returns:
        The path.
    """
    path = Path(path).expanduser()
    options = SAVE_OPTIONS.get(path.suffix.lower())
    if options is None:
        raise ValueError(
            f"Expected a name ending in {', '.join(SAVE_OPTIONS)}. Received: {path=!s}"
        )
    picture = _from_array(np.asarray(image))
    if options["format"] == "JPEG":
        picture = _to_rgb(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        picture.save(temporary, **options)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def to_uint8(array: np.ndarray) -> np.ndarray:
    """Round finite numbers to the nearest whole one and clip them to 0…255.

    Args:
        array: Of any shape.

    Returns:
        uint8, of the same shape.
    """
    return np.clip(np.rint(array), 0, 255).astype(np.uint8)


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        shape = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        shape = (0, 0)
    if min(shape) < 1:
        raise ValueError(
            "Expected size to be a positive whole number or (height, width) of two of them. "
            f"Received: size={size!r}"
        )
    return shape


def _from_array(array: np.ndarray) -> Image.Image:
    """Check an array and wrap a copy of it: mode L, RGB or RGBA."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "Expected one picture of shape (height, width), or (height, width, channels) with "
            f"1, 3 or 4 channels. Received: shape={array.shape}"
        )
    if 0 in array.shape:
        raise ValueError(f"Expected at least one pixel. Received: shape={array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        _check_range(array)
        array = to_uint8(array)
    elif array.dtype != np.uint8:
        raise TypeError(
            "Expected uint8 or float values in 0…255; scale and convert the array first. "
            f"Received: dtype={array.dtype}"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.array(array, order="C"))


def _check_range(array: np.ndarray) -> None:
    low, high = float(array.min()), float(array.max())  # NaN if there is one anywhere
    if not np.isfinite([low, high]).all():
        raise ValueError(f"Expected finite values. Received: values from {low} to {high}")
    if high <= 1 and (low, high) != (0, 0):
        raise ValueError(
            "Expected floats in 0…255, but all are at most 1. If they are in 0…1, pass "
            "255 * image; if the picture really is that dark, pass np.rint(image).astype('uint8'). "
            f"Received: values from {low:g} to {high:g}"
        )


def _decode(
    file: IO[bytes], source: str | Path, shape: tuple[int, int] | None, fit: str
) -> np.ndarray:
    """Decode an open file; every failure becomes a ValueError that names the source."""
    try:
        image = Image.open(file)
        # Pillow refuses bombs of over 179 million pixels itself and only warns from 89 million on.
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError(f"{image.width} × {image.height} pixels")
        if shape is not None:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. Twice the size wanted is enough
            # for a clean resize; the longer side twice, as the picture may be lying on its side.
            image.draft(None, (2 * max(shape), 2 * max(shape)))
        ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image, shape, fit)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"Expected a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down "
            f"first, or raise PIL.Image.MAX_IMAGE_PIXELS. Received: source={str(source)!r}"
        ) from error
    except Exception as error:  # decoders meet broken files with errors of many types
        file.seek(0)
        markup = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        problem = (
            "a web page or an SVG drawing; find the address of the picture itself"
            if markup
            else f"no picture, or a damaged one ({error})"
        )
        raise ValueError(
            "Expected a whole picture that Pillow can read (JPEG, PNG, WebP, GIF, BMP, TIFF …). "
            f"Received: source={str(source)!r}, which is {problem}"
        ) from error


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
        with urlopen(request, timeout=DOWNLOAD_SECONDS) as response:
            # read1 returns what has arrived, so that a trickle can't outlast the deadline.
            while chunk := response.read1(65_536):
                body += chunk
                if len(body) > DOWNLOAD_BYTES:
                    raise ValueError(
                        f"Expected a picture of at most {DOWNLOAD_BYTES / 1e6:g} MB. "
                        f"Received: source={url!r}"
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not complete after {DOWNLOAD_SECONDS:g} s")
    except HTTPError as error:
        raise OSError(
            f"The server has no picture for us there ({error.code} {error.reason}); open the "
            f"address in a browser to check it. Received: source={url!r}"
        ) from error
    except (OSError, HTTPException) as error:
        raise OSError(
            f"The picture can't be downloaded ({error}); check the address and the network, or "
            f"save it by hand and pass its path. Received: source={url!r}"
        ) from error
    return bytes(body)


def _pixels(image: Image.Image, shape: tuple[int, int] | None, fit: str) -> np.ndarray:
    image = _to_rgb(image)
    if shape is not None and shape != (image.height, image.width):
        image = _resize(image, shape, fit)
    return np.array(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        image = _from_array(np.asarray(image))
    elif image.mode.startswith("I"):
        image = Image.fromarray(_high_byte(np.asarray(image)))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _high_byte(values: np.ndarray) -> np.ndarray:
    """Scale 0…65535 to 0…255, rounding. Pillow's own conversion clips: all above 255 is white."""
    low, high = values.min(), values.max()
    if low < 0 or high > 65_535:
        raise ValueError(f"expected 16-bit values, received values from {low} to {high}")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _resize(image: Image.Image, shape: tuple[int, int], fit: str) -> Image.Image:
    """Resize with antialiasing (Lanczos), after the crop, so that a circle stays a circle."""
    height, width = shape
    box = None
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        left = max(0.0, (image.width - scale * width) / 2)  # rounding may leave -1e-15
        top = max(0.0, (image.height - scale * height) / 2)
        box = (left, top, image.width - left, image.height - top)
    elif fit == "pad":
        scale = min(width / image.width, height / image.height)
        inner = max(1, round(scale * image.width)), max(1, round(scale * image.height))
        canvas = Image.new("RGB", (width, height))
        picture = image.resize(inner, Image.Resampling.LANCZOS, reducing_gap=3.0)
        canvas.paste(picture, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    # reducing_gap: averages whole blocks first where the picture is much larger than wanted.
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
