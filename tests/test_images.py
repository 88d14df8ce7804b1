"""cnnlab.images: every kind of picture, whole and broken, from disk, memory and a local server."""

import io
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from cnnlab import images
from cnnlab.images import decoding, files

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(height=6, width=8) -> np.ndarray:
    """A picture in which every pixel differs from every other."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


# --- sources -----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_source", [str, lambda path: path], ids=["str", "Path"])
def test_reads_a_file_exactly(tmp_path, as_source):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    result = images.read(as_source(tmp_path / "a.png"))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, picture())


def test_reads_pillow_images_and_array_likes_without_changing_them():
    pillow = Image.fromarray(picture())
    np.testing.assert_array_equal(images.read(pillow, 3), images.read(picture(), 3))
    np.testing.assert_array_equal(np.asarray(pillow), picture())

    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return picture()

    np.testing.assert_array_equal(images.read(Tensor()), picture())


def test_the_result_is_a_writable_copy():
    source = picture()
    result = images.read(source)
    result[:] = 0
    np.testing.assert_array_equal(source, picture())


@pytest.mark.parametrize(
    ("array", "pixel"),
    [
        (np.full((2, 3), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 3, 1), 7, np.uint8), (7, 7, 7)),
        (np.tile(np.uint8([10, 20, 30, 255]), (2, 3, 1)), (10, 20, 30)),
        (np.tile(np.uint8([10, 20, 30, 0]), (2, 3, 1)), WHITE),
        (np.tile(np.float32([254.7, 256.7, -3.2]), (2, 3, 1)), (255, 255, 0)),
        (np.tile(np.float64([0.4, 0.6, 3.6]), (2, 3, 1)), (0, 1, 4)),
        (np.zeros((2, 3), np.float32), (0, 0, 0)),
        (np.tile(np.int64([0, 20, 255]), (2, 3, 1)), (0, 20, 255)),
    ],
    ids=["grey", "grey1", "rgba", "clear", "clipped", "rounded", "black", "whole"],
)
def test_arrays_of_each_kind(array, pixel):
    before = array.copy()
    result = images.read(array)
    assert result.shape == (2, 3, 3)
    assert (result == pixel).all()
    np.testing.assert_array_equal(array, before)


def test_numbers_are_rounded_and_clipped_not_wrapped():
    given = np.array([[-3.0, 0.4, 0.6], [254.7, 255.4, 300.0]], np.float32)
    rounded = images.to_uint8(given)
    assert rounded.dtype == np.uint8
    assert rounded.tolist() == [[0, 0, 1], [255, 255, 255]]


def test_uint8_survives_the_way_through_float():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(images.read(values.astype(np.float32))[:, :, 1], values)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (
            np.full((2, 2), np.nan),
            ValueError,
            "finite values. Received: image with values from nan",
        ),
        (
            np.full((2, 2), np.inf),
            ValueError,
            "finite values. Received: image with values from inf",
        ),
        (np.full((2, 2), 0.5), ValueError, r"from 0.5 to 0.5: scaled already.*255 \* image"),
        (
            np.linspace(-1, 1, 12).reshape(2, 2, 3),
            ValueError,
            "values from -1 to 1: scaled already",
        ),
        (np.zeros((1, 2, 2, 3), np.uint8), ValueError, r"Received: shape=\(1, 2, 2, 3\)"),
        (np.zeros((2, 2, 2), np.uint8), ValueError, r"Received: shape=\(2, 2, 2\)"),
        (np.zeros((0, 2, 3), np.uint8), ValueError, r"Received: shape=\(0, 2, 3\)"),
        (np.zeros((3, 5, 6), np.uint8), ValueError, r"np\.moveaxis\(x, 0, -1\)"),
        (np.full((2, 2), 256), ValueError, "whole numbers in 0…255.*from 256 to 256"),
        (np.full((2, 2), -1), ValueError, "whole numbers in 0…255.*from -1 to -1"),
        (np.ones((2, 2), bool), TypeError, "Received: dtype=bool"),
        (None, TypeError, "Received: source of type NoneType"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array, error, message):
    with pytest.raises(error, match=message):
        images.read(array)


BRIGHT = picture(16, 16).astype(np.float32) // 2 + 128
IMAGENET_BGR = (103.939, 116.779, 123.68)  # what preprocessing for VGG takes off


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x / 255 * 1.3,  # a bicubic overshoot
        lambda x: x / 127.5 - 1,
        lambda x: x / 127.5 - 1.1,
        lambda x: (x - x.mean()) / x.std() * 3,  # each picture by itself
        lambda x: (x / 255 - 0.45) / 0.225,  # divided by the channels' spread
        lambda x: (BRIGHT / 255 - 0.45) / 0.225,  # the same, most above 0
        lambda x: x[..., ::-1] - np.float32(IMAGENET_BGR),
        lambda x: x * 257.0,  # 16 bits
    ],
)
def test_scaled_and_preprocessed_floats_are_refused_wherever_they_are_read(made, tmp_path):
    array = made(picture(16, 16).astype(np.float32))
    for use in (images.read, images.require_pixels, lambda x: images.save(x, tmp_path / "a.png")):
        with pytest.raises(ValueError, match=r"Expected pixels in 0…255.*already"):
            use(array)


def test_pixels_pass_resized_dark_or_black():
    edge = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((4, 4))) * 255.0
    from_pillow = Image.fromarray(edge.astype(np.float32))
    for resample in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        sharp = np.asarray(from_pillow.resize((100, 100), resample))
        assert sharp.min() < -10
        images.require_pixels(sharp)
    for array in (np.ones((4, 4), np.uint8), np.zeros((4, 4)), np.full((4, 4), 4.0)):
        images.require_pixels(array)
    images.require_pixels(np.arange(256))


def test_what_is_no_number_is_no_pixel():
    with pytest.raises(ValueError, match=r"Received: mask.dtype=bool"):
        images.require_pixels(np.ones((2, 2), bool), "mask")


# --- kinds of picture --------------------------------------------------------------------------


def test_grey_palette_and_bilevel(tmp_path):
    Image.new("L", (3, 2), 90).save(tmp_path / "grey.png")
    Image.new("RGB", (3, 2), BLUE).quantize(4).save(tmp_path / "palette.png")
    Image.new("1", (3, 2), 1).save(tmp_path / "bilevel.png")
    assert (images.read(tmp_path / "grey.png") == 90).all()
    assert (images.read(tmp_path / "palette.png") == BLUE).all()
    assert (images.read(tmp_path / "bilevel.png") == 255).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),
        ("LA", (0, 51), (204, 204, 204)),
    ],
)
def test_transparency_is_laid_on_white(tmp_path, mode, colour, expected):
    Image.new(mode, (2, 2), colour).save(tmp_path / "a.png")
    assert (images.read(tmp_path / "a.png") == expected).all()


def test_a_transparent_palette_entry_is_white(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), [[WHITE, GREEN]])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled(tmp_path, suffix):
    values = np.uint16([[0, 256, 257, 385, 386, 32_768, 65_535]])
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    # Wrapping would give 0 for 256, clipping 255 for 385; 385/257 is just below 1.5.
    expected = [0, 1, 1, 1, 2, 128, 255]
    assert images.read(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == expected
    assert images.read(Image.fromarray(values.astype(np.int32)))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("top", [200, 65_535])
def test_whole_numbers_of_32_bits_are_of_8_where_they_fit(tmp_path, top):
    values = np.int32([[0, 100, top]])
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down; what is turned no longer knows its file
    Image.fromarray(values).save(tmp_path / "a.tif", exif=exif)
    expected = [0, 100, 200] if top < 256 else [0, 0, 255]
    assert images.read(Image.fromarray(values))[0, :, 0].tolist() == expected
    assert images.read(tmp_path / "a.tif")[0, ::-1, 0].tolist() == expected


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_a_dark_file_of_16_bits_is_dark(tmp_path, suffix):
    Image.fromarray(np.uint16([[0, 100, 200]])).save(tmp_path / f"a.{suffix}")
    assert images.read(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 0, 1]
    with Image.open(tmp_path / f"a.{suffix}") as opened:
        assert images.read(opened)[0, :, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_16_bits_in_colour(tmp_path, colour_type, channels):
    """A PNG by hand, as Pillow can't write one: RGB, RGBA, grey with alpha."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixel = np.uint16([32_768, 32_768, 32_768, 65_535] if channels > 2 else [32_768, 65_535])
    row = b"\0" + pixel[:channels].astype(">u2").tobytes()
    header = struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    assert images.read(tmp_path / "a.png").tolist() == [[[128, 128, 128]]]


def test_cmyk(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(images.read(tmp_path / "a.jpg").astype(int) - RED).max() <= 3  # JPEG rounds


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = Image.fromarray(picture(40, 64))
    # How the sensor stored it: the inverse of what the tag tells the viewer to do.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), picture(40, 64))
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(images.read(opened), picture(40, 64))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation(tmp_path, format):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(
        tmp_path / "a", format, save_all=True, append_images=frames[1:], duration=50, **options
    )
    assert (images.read(tmp_path / "a") == RED).all()


# --- size --------------------------------------------------------------------------------------


def disc(height, width, radius) -> np.ndarray:
    """A white disc in the middle of a black picture."""
    y, x = np.ogrid[:height, :width]
    inside = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < radius**2
    return np.repeat(np.uint8(255 * inside)[:, :, None], 3, axis=2)


def extent(image) -> tuple[int, int]:
    """Height and width of the bright part."""
    bright = image[:, :, 0] > 127
    return int(bright.any(axis=1).sum()), int(bright.any(axis=0).sum())


def test_size_is_height_then_width():
    assert images.read(picture(), (5, 9)).shape == (5, 9, 3)
    assert images.read(picture(), 5).shape == (5, 5, 3)
    assert images.read(picture(), np.int64(5)).shape == (5, 5, 3)
    np.testing.assert_array_equal(images.read(picture(6, 8), (6, 8)), picture(6, 8))


def test_crop_keeps_the_proportions_and_the_centre():
    result = images.read(disc(60, 100, 20), 30)
    assert extent(result) == (20, 20)
    np.testing.assert_array_equal(result, result[:, ::-1])


def test_crop_of_any_proportions():
    """In floating point, 3 / 41 * 41 > 3 and the like: no box may leave the picture."""
    for width in range(1, 60):
        for wanted in range(1, 60):
            assert images.read(np.zeros((2, width), np.uint8), (3, wanted)).shape[1] == wanted


def test_pad_keeps_the_whole_picture():
    result = images.read(np.full((50, 100, 3), 255, np.uint8), 40, fit="pad")
    assert extent(result) == (20, 40)
    assert (result[10:30] == 255).all()
    assert extent(images.read(disc(50, 100, 20), 40, fit="pad")) == (16, 16)
    assert images.read(np.full((1, 1000), 255, np.uint8), 40, fit="pad").max() == 255


def test_stretch_uses_every_pixel():
    assert extent(images.read(disc(60, 120, 20), 60, fit="stretch")) == (40, 20)


def test_fine_stripes_shrink_to_their_mean():
    """Without antialiasing, period 3 read at every third pixel is one flat, wrong colour."""
    stripes = np.tile(np.uint8([255, 0, 0]), (60, 20))
    assert np.abs(images.read(stripes, 20)[4:-4, 4:-4].astype(int) - 85).max() <= 2
    wide = np.tile(np.uint8([255, 0, 0]), (3000, 1000))
    assert np.abs(images.read(wide, 20)[4:-4, 4:-4].astype(int) - 85).max() <= 2


@pytest.mark.parametrize("fit", decoding.FITS)
def test_one_pixel_fills_any_size(fit):
    result = images.read(np.uint8([[[10, 20, 30]]]), (32, 64), fit=fit)
    middle = result[:, 16:48]
    assert result.shape == (32, 64, 3)
    assert (middle == (10, 20, 30)).all()


@pytest.mark.parametrize("size", [0, -3, 2.5, (4,), (4, 0), (4, 4, 3), "32", (4, None)], ids=repr)
def test_a_senseless_size_is_refused(size):
    with pytest.raises(ValueError, match="Received: size="):
        images.read(picture(), size)


def test_a_size_beyond_pillows_limit_is_refused_before_memory_is_taken():
    with pytest.raises(ValueError, match=r"at most 89,478,485 pixels.*size=10000000"):
        images.read(picture(), 10**7)


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match=r"'crop', 'pad', 'stretch'.*Received: fit='squash'"):
        images.read(picture(), 4, fit="squash")


@pytest.mark.parametrize("turned", [False, True], ids=["flat", "turned"])
def test_a_20000_pixel_wide_jpeg_is_decoded_small(tmp_path, turned, monkeypatch):
    panorama = Image.new("RGB", (20_000, 1_000), BLUE)
    panorama.paste(RED, (0, 0, 10_000, 1_000))
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 8
    panorama.save(tmp_path / "a.jpg", exif=exif)

    decoded = []
    resize = Image.Image.resize

    def noted(image, *arguments, **options):
        decoded.append(image.size)
        return resize(image, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", noted)
    result = images.read(tmp_path / "a.jpg", 200).astype(int)
    assert sorted(decoded[0]) == [500, 10_000]  # a half; a quarter would be under twice 200
    first, last = (result[-1], result[0]) if turned else (result[:, 0], result[:, -1])
    assert np.abs(first - RED).max() <= 3
    assert np.abs(last - BLUE).max() <= 3


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (300, 200)).save(tmp_path / "bomb.png")
    for limit in (50_000, 20_000):  # Pillow warns above the limit, refuses above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=rf"at most {limit:,} pixels.*bomb\.png"):
            images.read(tmp_path / "bomb.png")


# --- what can't be read ------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, format, kept):
    whole = encoded(Image.fromarray(picture(64, 64)), format)
    (tmp_path / "part.img").write_bytes(whole[: int(kept * len(whole))])
    for size in (None, 16):
        with pytest.raises(ValueError, match=r"part\.img', which is no picture, or a damaged one"):
            images.read(tmp_path / "part.img", size)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_file_that_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "notes.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.png', which is no picture"):
        images.read(tmp_path / "notes.png")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of that name.*absent\.png"):
        images.read(tmp_path / "absent.png")
    with pytest.raises(FileNotFoundError, match="a folder of that name"):
        images.read(tmp_path)


def png_chunk(kind, data, *, checksum=None):
    crc = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


TEXT = b"Comment\0\0" + zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"eXIf", b"no EXIF at all"),
        png_chunk(b"eXIf", b"II*\0" + b"\xff" * 40),
        png_chunk(b"zTXt", TEXT),
        png_chunk(b"iCCP", TEXT),
        png_chunk(b"iCCP", b"sRGB"),
        png_chunk(b"tEXt", b"a\0b", checksum=0),
        png_chunk(b"acTL", b""),
        png_chunk(b"pHYs", b"1"),
        png_chunk(b"gAMA", b""),
        png_chunk(b"cHRM", b"123"),
    ],
    ids=lambda chunk: chunk[4:8].decode(),
)
@pytest.mark.parametrize("place", [33, -12], ids=["before", "after"])
def test_pixels_do_not_depend_on_what_stands_beside_them(tmp_path, chunk, place):
    whole = encoded(Image.fromarray(picture()), "PNG")
    (tmp_path / "a.png").write_bytes(whole[:place] + chunk + whole[place:])
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), picture())


def test_a_png_that_claims_more_pixels_than_its_bytes_can_hold_is_refused_unread(tmp_path):
    whole = encoded(Image.new("RGBA", (24, 20)), "PNG")
    header = png_chunk(b"IHDR", struct.pack(">II", 2_000_000, 20) + whole[24:29])
    (tmp_path / "a.png").write_bytes(whole[:8] + header + whole[33:])
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"a\.png'.*2000000 × 20 pixels in \d+ bytes"):
        images.read(tmp_path / "a.png")
    assert time.perf_counter() - start < 0.2
    flat = Image.new("RGB", (2000, 2000))  # as well packed as can be
    flat.save(tmp_path / "b.png")
    assert images.read(tmp_path / "b.png").shape == (2000, 2000, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's own
@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF"])
def test_broken_exif_costs_no_picture(tmp_path, format):
    options = {"exif": b"Exif\0\0II*\0" + b"\xff" * 40} if format != "TIFF" else {}
    body = encoded(Image.new("RGB", (16, 16), BLUE), format, **options)
    (tmp_path / "a").write_bytes(body)
    assert np.abs(images.read(tmp_path / "a").astype(int) - BLUE).max() <= 4


def test_heic_is_named_with_what_to_do(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(900))
    with pytest.raises(
        ValueError, match=r"IMG_1\.HEIC', which is HEIC, .*JPEG, or install pillow-h"
    ):
        images.read(tmp_path / "IMG_1.HEIC")


def test_drawings_that_other_programs_would_run_for_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    with pytest.raises(ValueError, match=r"a\.eps', which is no picture"):
        images.read(tmp_path / "a.eps")


@pytest.mark.parametrize("address", ["data:image/png;base64,", "file:///", "FTP://x/", "s3://b/"])
def test_other_addresses_are_refused_in_a_few_words(address):
    with pytest.raises(ValueError, match=r"Expected a path or an http\(s\) address") as caught:
        images.read(address + "A" * 120_000)
    assert len(str(caught.value)) < 500


def test_a_path_too_long_for_any_file_is_named_in_short():
    with pytest.raises(FileNotFoundError, match="there is no file of that name") as caught:
        images.read("a" * 100_000)
    assert len(str(caught.value)) < 800


# --- addresses ---------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """A small picture host with everything that goes wrong on real ones."""

    def do_GET(self):
        png = encoded(Image.fromarray(picture()), "PNG")
        if self.path == "/missing.png":
            return self.send_error(404)
        if self.path == "/moved.png":
            self.send_response(302)
            self.send_header("Location", "/page.png")
            return self.end_headers()
        if self.path in ("/to-file", "/to-ftp"):
            self.send_response(302)
            where = {"/to-file": "file:///etc/hostname", "/to-ftp": "ftp://127.0.0.1:9/a.png"}
            self.send_header("Location", where[self.path])
            return self.end_headers()
        body = {
            "/a.png": png,
            "/caf%C3%A9%20au%20lait.png?v=1&w=2": png,
            "/page.png": b"\n <!DOCTYPE html><title>Log in</title>",
            "/large.png": png + bytes(10_000),
            "/cut.png": png[:-30],
            "/slow.png": png,
        }[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(png) if self.path == "/cut.png" else len(body)))
        self.end_headers()
        if self.path == "/slow.png":
            for byte in body:  # never silent for long, never done
                time.sleep(0.05)
                self.wfile.write(bytes([byte]))
            return None
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # the reader hangs up on the slow picture
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize(
    "name", ["a.png", "café au lait.png?v=1&w=2", "caf%C3%A9%20au%20lait.png?v=1&w=2#top"]
)
def test_reads_an_address(host, name):
    np.testing.assert_array_equal(images.read(f"{host}/{name}"), picture())
    assert images.read(f"{host}/{name}", 4).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.png", OSError, r"404 Not Found.*missing\.png"),
        ("page.png", ValueError, r"page\.png', which is a web page"),
        ("to-file", OSError, r"302 .*'file:///etc/hostname' is not allowed"),
        ("to-ftp", OSError, r"302 .*sent on to 'ftp://127.*, which is not on the web"),
        ("moved.png", ValueError, r"moved\.png', which is a web page"),
        ("cut.png", ValueError, r"cut\.png', which is no picture, or a damaged one"),
    ],
)
def test_addresses_that_fail(host, name, error, message):
    with pytest.raises(error, match=message):
        images.read(f"{host}/{name}")


def test_the_download_has_a_byte_limit(host, monkeypatch):
    monkeypatch.setattr(files, "DOWNLOAD_BYTES", 5_000)
    with pytest.raises(ValueError, match=r"at most 0\.005 MB.*large\.png"):
        images.read(f"{host}/large.png")


def test_the_download_has_a_time_limit_that_a_trickle_cannot_outlast(host, monkeypatch):
    monkeypatch.setattr(files, "DOWNLOAD_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(OSError, match=r"not complete after 0\.3 s.*slow\.png"):
        images.read(f"{host}/slow.png")
    assert time.monotonic() - start < 3


def test_no_server_at_all():
    with pytest.raises(OSError, match=r"can't be downloaded.*nowhere\.png"):
        images.read("http://127.0.0.1:9/nowhere.png")


# --- save --------------------------------------------------------------------------------------


def test_save_never_stretches_the_contrast(tmp_path):
    dull = np.full((8, 8, 3), 100, np.uint8)
    dull[:, 4:] = 120
    path = images.save(dull, tmp_path / "new" / "folder" / "a.png")
    np.testing.assert_array_equal(images.read(path), dull)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


def test_save_rounds_floats_and_keeps_the_array(tmp_path):
    values = np.tile(np.float32([254.7, 256.7, -3.2]), (2, 3, 1))
    before = values.copy()
    assert (images.read(images.save(values, tmp_path / "a.png")) == (255, 255, 0)).all()
    np.testing.assert_array_equal(values, before)


def test_jpeg_keeps_fine_colour(tmp_path):
    """One-pixel stripes of red and blue turn purple where the colour is subsampled."""
    stripes = np.tile(np.uint8([RED, BLUE]), (16, 8, 1))
    result = images.read(images.save(stripes, tmp_path / "a.JPG")).astype(int)
    assert np.abs(result - stripes).mean() < 6
    rgba = np.dstack([stripes, np.full((16, 16), 255, np.uint8)])
    np.testing.assert_array_equal(images.read(images.save(rgba, tmp_path / "b.jpeg")), result)


def test_save_is_all_or_nothing(tmp_path, monkeypatch):
    path = images.save(picture(), tmp_path / "a.png")

    def break_off(self, file, **options):
        with open(file, "wb") as stream:
            stream.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", break_off)
    with pytest.raises(OSError, match="No space left"):
        images.save(np.zeros((4, 4, 3), np.uint8), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(images.read(path), picture())


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt"])
def test_save_refuses_other_formats(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.jpg, \.jpeg.*Received: path="):
        images.save(picture(), tmp_path / name)


def test_save_says_that_a_folder_has_the_name(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a folder has it.*Received: path=\S*a\.png$"):
        images.save(picture(), tmp_path / "a.png")


@pytest.mark.parametrize("value", [True, np.True_, 2.0, 0, 9, "2", None, (2, 2)])
def test_what_is_no_whole_number_of_a_range_is_refused(value):
    with pytest.raises(ValueError, match=r"n to be a whole number in 1…8, or so\. Received: n="):
        images.whole_number(value, "n", 1, 8, note=", or so")
    assert type(images.whole_number(np.int64(8), "n", 1, 8)) is int


def test_a_picture_is_saved_under_no_name_that_is_none(tmp_path):
    picture = np.zeros((2, 2, 3), np.uint8)
    (tmp_path / "file").touch()
    for path in (tmp_path / "a\0b.png", tmp_path / "file" / "x.png"):
        with pytest.raises(ValueError, match="Expected a name without NUL, in a folder"):
            images.save(picture, path)


def test_nobody_s_home_and_a_working_folder_that_is_gone_are_named(tmp_path, monkeypatch):
    with pytest.raises(images.NothingToReadError, match=r"source='~nosuchuser/x\.png'"):
        images.read("~nosuchuser/x.png")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(images.NothingToReadError, match="working folder that was deleted"):
        images.read("x.png")
