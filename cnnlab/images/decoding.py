"""Files of pictures: which ones Pillow reads, and how to have their pixels, upright and RGB."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from cnnlab._notebook import ShortTraceback
from cnnlab.images.arrays import from_array

FITS = ("crop", "pad", "stretch")
EXIF_ORIENTATION = 0x0112
BITS_PER_SAMPLE = 258  # of TIFF
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow opens these too, but they are drawings, which other programs would have to run for, films,
# or tables of measurements: stubs without pixels.
NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MCIDAS", "MPEG", "PDF", "WMF", "XVTHUMB"}
# The formats that a file's first bytes tell beyond doubt, also where its ending doesn't.
SIGNED = {"AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PSD", "QOI", "TIFF", "WEBP"}
DEFLATE = 1032  # the most that it packs into a byte; it can't have told of more pixels
PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # what decoding a still picture needs
LONGEST = 200  # characters of a path or an address in a message
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
HEIC_REMEDY = (
    "HEIC, which Pillow doesn't read: convert it to JPEG, or install pillow-heif and call "
    "pillow_heif.register_heif_opener()"
)


class PictureError(ShortTraceback, ValueError):
    """A file is no picture that can be read, or too large a one; the message says why."""


def formats() -> list[str]:
    """List the formats that Pillow reads pixels from, those of registered plugins included."""
    Image.init()
    return [name for name in Image.OPEN if name not in NO_PIXELS]


def endings() -> frozenset[str]:
    """List the endings of pictures that Pillow reads here, in lower case, with their dots."""
    known = set(formats())
    return frozenset(
        ending for ending, name in Image.registered_extensions().items() if name in known
    ) | {".mpo"}


def is_picture(path: Path) -> bool:
    """Tell from a file's first bytes, whatever its ending, whether Pillow reads it."""
    if not path.is_file():  # nor opened: a pipe would wait for ever
        return False
    try:
        Image.open(path, formats=[name for name in formats() if name in SIGNED]).close()
    except Exception:  # decoders meet files of other kinds with errors of many types
        return False
    return True


def is_heic(head: bytes) -> bool:
    """Tell from a file's first 12 bytes whether it is a photograph as iPhones keep it."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIC


def shortened(source: str | Path) -> str:
    """Quote a path or an address for a message, cut where it is longer than two lines."""
    text = str(source)
    return repr(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def decode(
    file: IO[bytes], source: str | Path, shape: tuple[int, int] | None, fit: str
) -> np.ndarray:
    """Decode an open file; every failure becomes a ValueError that names the source."""
    try:
        try:
            return _decode(file, shape, fit)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise
        except Exception:
            # Pillow gives a picture up for what is broken or large beside its pixels.
            file.seek(0)
            if file.read(len(PNG)) != PNG:
                raise
            return _decode(io.BytesIO(PNG + _png_pixels(file)), shape, fit)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            f"Expected a picture of at most {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down "
            f"first, or raise PIL.Image.MAX_IMAGE_PIXELS. Received: source={shortened(source)}"
        ) from error
    except Exception as error:  # decoders meet broken files with errors of many types
        file.seek(0)
        raise PictureError(
            "Expected a whole picture that Pillow can read (JPEG, PNG, WebP, GIF, BMP, TIFF …). "
            f"Received: source={shortened(source)}, which is {_problem(file.read(1024), error)}"
        ) from error


def _decode(file: IO[bytes], shape: tuple[int, int] | None, fit: str) -> np.ndarray:
    image = Image.open(file, formats=formats())
    # Pillow refuses bombs of over 179 million pixels itself and only warns from 89 million on.
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Image.DecompressionBombError(f"{image.width} × {image.height} pixels")
    if image.format == "PNG" and _least_bytes(image) > DEFLATE * _size(file):
        raise OSError(f"{image.width} × {image.height} pixels in {_size(file)} bytes")
    if shape is not None:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. Twice the size wanted is enough
        # for a clean resize; the longer side twice, as the picture may be lying on its side.
        image.draft(None, (2 * max(shape), 2 * max(shape)))
    return pixels(image, shape, fit)


def _least_bytes(image: Image.Image) -> float:
    """Return how many bytes the pixels of a PNG have at least, before they are packed."""
    bands = len(image.getbands())
    return image.width * image.height * (1 / 8 if bands == 1 else bands)


def _size(file: IO[bytes]) -> int:
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size


def _problem(head: bytes, error: Exception) -> str:
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "a web page or an SVG drawing; find the address of the picture itself"
    return HEIC_REMEDY if is_heic(head) else f"no picture, or a damaged one ({error})"


def _png_pixels(file: IO[bytes]) -> bytes:
    """Copy the chunks of a PNG that hold its pixels; texts, profiles and EXIF stay behind."""
    kept = []
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in PNG_PIXELS:
            kept.append(head + file.read(length + 4))
        else:
            file.seek(length + 4, io.SEEK_CUR)
    return b"".join(kept)


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF orientation says; it stays as it is where that can't be read."""
    image.load()  # turns a TIFF and forgets its orientation; asked before, it would turn twice
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        method = UPRIGHT.get(orientation)
    except Exception:  # of broken EXIF, in many types; a picture's pixels don't depend on it
        method = None
    return image if method is None else image.transpose(method)


def pixels(image: Image.Image, shape: tuple[int, int] | None, fit: str) -> np.ndarray:
    """Return a picture upright as uint8 (h, w, 3), fitted to a shape if given: a new array."""
    image = to_rgb(_eight_bits(image, upright(image)))
    if shape is not None and shape != (image.height, image.width):
        image = _resize(image, shape, fit)
    return np.array(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode of 8 bits, transparent parts laid on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _eight_bits(source: Image.Image, image: Image.Image) -> Image.Image:
    """Convert grey numbers of more bits, or floats, to 0…255; a picture of 8 bits stays itself.

    0…65535 is scaled, rounding. Pillow's own conversion clips: all above 255 is white.

    Args:
        source: As Pillow opened it, which knows its file.
        image: The same upright, which may not.
    """
    if image.mode == "F":
        return from_array(np.asarray(image))
    if image.mode.startswith("I"):
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if low < 0 or high > 65_535:
            raise ValueError(
                f"Expected whole numbers of 8 or 16 bits. Received: values from {low} to {high}"
            )
        if _has_16_bits(source) or high > 255:
            values = (values.astype(np.uint32) + 128) // 257
        return Image.fromarray(values.astype(np.uint8))
    return image


def _has_16_bits(image: Image.Image) -> bool:
    """Tell from the mode or the file that values are in 0…65535, also where all are small.

    Numbers of 32 bits (mode I) have no range of their own: Pillow holds 16 bits in them too.
    """
    if image.mode != "I" or image.format in ("PNG", "PPM"):  # Pillow scales those of a PPM
        return True
    return image.format == "TIFF" and 16 in np.ravel(image.tag_v2.get(BITS_PER_SAMPLE))  # pyright: ignore


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
