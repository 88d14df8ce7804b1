"""Damage files in thousands of ways, feed them to the library, and count how each attempt ends.

    python tests/fuzz/mutants.py KIND COUNT [FIRST]

A process of its own, so that a crash, a hang or a flood of memory is seen from outside: a watchdog
ends it where one input takes longer than PATIENCE. It prints a line of JSON for each KIND (several
with commas between): inputs, how they ended, what wasn't documented, the slowest one's seconds, the
longest message, and the peak of resident memory.
"""

from __future__ import annotations

import collections
import faulthandler
import gzip
import io
import json
import logging
import os
import pickle
import resource
import shutil
import struct
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
SECONDS, PATIENCE = 2.0, 30.0  # what an input may take; when to end a hang
EXTREMES = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\x80")

Chance = np.random.Generator
Attempt = Callable[[Chance, Path], object]


# --- damage ---------------------------------------------------------------------------------------


def damaged(body: bytes, chance: Chance, *, times: int | None = None) -> bytes:
    """Change a few places: bits, runs of bytes, numbers at their limits; cut, repeat, insert."""
    result = bytearray(body)
    for _ in range(times or int(chance.integers(1, 6))):
        place = int(chance.integers(len(result) + 1))
        # Headers decide more than what follows them.
        place = min(place, int(chance.integers(64))) if chance.random() < 0.4 else place
        size = int(chance.integers(1, 17))
        how = chance.integers(7)
        if how == 0 and place < len(result):
            result[place] ^= 1 << int(chance.integers(8))
        elif how == 1:
            result[place : place + size] = chance.bytes(size)
        elif how == 2:
            extreme = EXTREMES[chance.integers(len(EXTREMES))]
            result[place : place + len(extreme)] = extreme
        elif how == 3:
            del result[place : place + size]
        elif how == 4:
            result[place:place] = chance.bytes(size)
        elif how == 5:
            result[place:place] = result[place : place + 4 * size]
        elif chance.random() < 0.3:
            del result[place:]
    return bytes(result)


def with_png_sums(body: bytes) -> bytes:
    """Put the right checksum behind each chunk of a PNG, so that its content is looked at."""
    result, place = bytearray(body), 8
    while place + 12 <= len(result):
        (length,) = struct.unpack_from(">I", result, place)
        end = place + 8 + length
        if end + 4 > len(result):
            break
        struct.pack_into(">I", result, end, zlib.crc32(result[place + 4 : end]))
        place = end + 4
    return bytes(result)


def with_a_damaged_member(body: bytes, chance: Chance) -> bytes:
    """Damage one member of a zip and put it back under a right checksum."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(result, "w") as new:
        members = old.namelist()
        chosen = members[chance.integers(len(members))]
        for name in members:
            content = old.read(name)
            new.writestr(name, damaged(content, chance) if name == chosen else content)
    return result.getvalue()


# --- what is attempted ----------------------------------------------------------------------------


def picture(form: str) -> Attempt:
    from cnnlab import images

    # Damage also makes sound pictures of enormous sizes. Up to Pillow's own limit of 89 million
    # pixels those are read, in seconds; here is looked for what takes long for no good reason.
    Image.MAX_IMAGE_PIXELS = 20_000_000
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (5, 6, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = []
    for mode in ("RGB", "L", "P", "RGBA"):
        buffer, options = io.BytesIO(), {"exif": exif} if form not in ("GIF", "BMP") else {}
        own = "RGB" if form == "JPEG" and mode in ("P", "RGBA") else mode
        more = {"save_all": True, "append_images": [Image.fromarray(smooth[::-1])]}
        options |= more if form in ("GIF", "WEBP", "TIFF") and mode == "RGB" else {}
        Image.fromarray(smooth).convert(own).save(buffer, form, **options)
        seeds.append(buffer.getvalue())

    def attempt(chance: Chance, folder: Path) -> object:
        body = damaged(seeds[chance.integers(len(seeds))], chance)
        if form == "PNG" and chance.random() < 0.7:
            body = with_png_sums(body)
        (folder / "picture").write_bytes(body)
        size = (None, 16, (9, 33))[chance.integers(3)]
        result = images.read(folder / "picture", size)
        if result.dtype != np.uint8 or result.ndim != 3 or result.shape[2] != 3:
            raise AssertionError(f"no picture: {result.dtype} {result.shape}")
        return "read"

    return attempt


def archive() -> Attempt:
    from cnnlab.sources import unpack

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("batches/one", "batches/two", "batches/deep/three", "four"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
        link = tarfile.TarInfo("five")  # made a link by some of the damage
        link.linkname = "../../x"
        tar.addfile(link)
    body = buffer.getvalue()
    names = (b"../../../outside", b"/tmp/outside-of-fuzz", b"batches/../../out", b"a/\xff\xfe")

    def attempt(chance: Chance, folder: Path) -> object:
        tar = bytearray(damaged(body, chance))
        header = 512 * int(chance.integers(len(tar) // 512 or 1))
        if chance.random() < 0.5 and len(tar) >= header + 512:  # a name, a kind, the right checksum
            name = names[chance.integers(len(names))]
            tar[header : header + len(name) + 1] = name + b"\0"
            tar[header + 156] = b"0123456789gxLK"[chance.integers(14)]
            tar[header + 148 : header + 156] = b" " * 8
            total = sum(tar[header : header + 512])
            tar[header + 148 : header + 156] = f"{total:06o}\0 ".encode()
        packed = gzip.compress(bytes(tar), 1)
        packed = damaged(packed, chance) if chance.random() < 0.3 else packed
        (folder / "archive.tar.gz").write_bytes(packed)
        inside = folder / "inside"
        inside.mkdir()
        try:
            unpack(folder / "archive.tar.gz", inside)
        finally:
            strays = {path.name for path in folder.iterdir()} - {"archive.tar.gz", "inside"}
            links = [path for path in inside.rglob("*") if path.is_symlink()]
            if strays or links or Path("/tmp/outside-of-fuzz").exists():
                raise AssertionError(f"unpacked outside of its folder, or links: {strays} {links}")
        return "unpacked"

    return attempt


def batch(python: bool) -> Attempt:
    from cnnlab.data import cifar10

    count, rng = 20, np.random.default_rng(0)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    labels, planes = np.arange(count) % 10, rng.integers(0, 256, (count, 3072), np.uint8)
    content = {b"labels": labels.tolist(), b"data": planes, b"filenames": [b"a.png"] * count}
    whole = [pickle.dumps(content, protocol) for protocol in (0, 2, 4, 5)]
    if not python:
        whole = [np.column_stack([labels.astype(np.uint8), planes]).tobytes()]

    def attempt(chance: Chance, folder: Path) -> object:
        place = folder / ("cifar-10-batches-py" if python else "cifar-10-batches-bin")
        place.mkdir()
        chosen = names[chance.integers(len(names))]
        for name in names:
            body = whole[chance.integers(len(whole))]
            if name == chosen:  # most of the program stands at both ends of a pickle
                edge = int(chance.integers(1, 400))
                parts = [body[:edge], body[edge:-edge], body[-edge:]]
                part = int(chance.integers(3))
                parts[part] = damaged(parts[part], chance)
                body = b"".join(parts)
            (place / (name if python else f"{name}.bin")).write_bytes(body)
        arrays = cifar10.read(place, per_batch=count)
        if arrays["x_train"].shape != (5 * count, 32, 32, 3):
            raise AssertionError("a set of another shape")
        return "read"

    return attempt


def weights(form: str) -> Attempt:
    import h5py
    import keras

    from cnnlab.models import weight_files

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((8, 8, 3))
    for name in ("block1_conv1", "block1_conv2"):
        x = keras.layers.Conv2D(4, 3, name=name)(x)
    model = keras.Model(inputs, x, name="small")
    own = [layer for layer in model.layers if layer.weights]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"w.{form}")
        if form == "npz":
            arrays = {f"{layer.name}/{w.name}": w.numpy() for layer in own for w in layer.weights}
            np.savez_compressed(path, **weight_files.quantize(arrays), classes=np.array(["a"]))
        elif form == "h5":
            with h5py.File(path, "w") as file:
                file.attrs["layer_names"] = [layer.name.encode() for layer in own]
                for layer in own:
                    group = file.create_group(layer.name)
                    group.attrs["weight_names"] = [w.name.encode() for w in layer.weights]
                    for w in layer.weights:
                        group[w.name] = w.numpy()
        else:
            model.save_weights(path)
        body = path.read_bytes()

    def attempt(chance: Chance, folder: Path) -> object:
        if form == "npz" and chance.random() < 0.7:
            spoiled = with_a_damaged_member(body, chance)
        else:
            spoiled = damaged(body, chance)
        (folder / f"w.{form}").write_bytes(spoiled)
        weight_files.load(model, folder / f"w.{form}")
        if not all(np.isfinite(array).all() for array in model.get_weights()):
            raise AssertionError("weights that aren't finite")
        return "loaded"

    return attempt


def folder_tree() -> Attempt:
    from cnnlab import data

    words = [
        "cat",
        "dog",
        "train",
        "Test",
        "val",
        "pred",
        "猫",
        "a b",
        "..c",
        ".hidden",
        "__MACOSX",
    ]
    words += ["training", "x" * 200, "null\n", "\udcff", "images", "-p", "CON"]
    endings = [
        "jpg",
        "PNG",
        "webp",
        "gif",
        "heic",
        "txt",
        "tif",
        "avif",
        "",
        "jpg.exe",
        "mpo",
        "im",
    ]
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(buffer, "PNG")
    bodies = [buffer.getvalue()] * 6 + [b"", b"text", b"\xff\xd8\xff", bytes(300)]

    def fill(place: Path, chance: Chance, depth: int, top: Path) -> None:
        place.mkdir(exist_ok=True)
        for number in range(int(chance.integers(0, 7))):
            name = f"{number}{words[chance.integers(len(words))][:9]}"
            path = place / f"{name}.{endings[chance.integers(len(endings))]}"
            kind = chance.random()
            if kind < 0.9:
                path.write_bytes(bodies[chance.integers(len(bodies))])
            elif kind < 0.97:
                path.symlink_to((top, top / "cat", path, "/nowhere")[chance.integers(4)])
            else:
                os.mkfifo(path)
        for _ in range(int(chance.integers(0, 5)) if depth else 0):
            fill(place / words[chance.integers(len(words))], chance, depth - 1, top)

    def attempt(chance: Chance, folder: Path) -> object:
        top = folder / "top"
        fill(top, chance, 3, top)
        if chance.random() < 0.5:  # a sound set to begin with
            for name in ("cat", "dog"):
                (top / name).mkdir(exist_ok=True)
                for number in range(4):
                    (top / name / f"sound{number}.png").write_bytes(bodies[0])
        size = (8, (3, 5))[chance.integers(2)]
        found = data.load(top, image_size=size)
        if len(found.x_train) != len(found.y_train) or found.y_train.max() >= len(found.classes):
            raise AssertionError("labels that don't fit")
        return "loaded"

    return attempt


def attempts(kind: str) -> tuple[Attempt, tuple[type[Exception], ...]]:
    """Return what to try with a kind of input, and the errors that its documentation names."""
    from cnnlab.sources import BrokenFileError

    if kind in PICTURES:
        return picture(kind), (ValueError, OSError)
    if kind == "archive":
        return archive(), (BrokenFileError, OSError)
    if kind.endswith("batch"):
        return batch(kind.startswith("python")), (BrokenFileError,)
    if kind == "folder":
        return folder_tree(), (ValueError, MemoryError)
    return weights(kind), (BrokenFileError,)


# --- counting -------------------------------------------------------------------------------------


@contextmanager
def place_for(index: int) -> Iterator[Path]:
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz{index}-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(kind: str, count: int, first: int = 0) -> dict:
    """Feed `count` damaged inputs of a kind to the library; each is made from its number alone."""
    attempt, documented = attempts(kind)
    ends, problems, slowest, longest = collections.Counter(), [], 0.0, 0
    for index in range(first, first + count):
        # Ends a hang, with the place where it hung and the input's number on stderr.
        sys.stderr.write(f"{kind} {index}\r")
        for _ in range(2):  # a slow one again: the machine may have been busy
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            with place_for(index) as folder:
                start = time.perf_counter()
                try:
                    end = attempt(np.random.default_rng((hash_of(kind), index)), folder)
                except documented as error:
                    end = type(error).__name__
                    longest = max(longest, len(str(error)))
                except Exception as error:
                    end = "undocumented"
                    problems.append(f"{index}: {type(error).__name__}: {str(error)[:200]}")
                seconds = time.perf_counter() - start
            faulthandler.cancel_dump_traceback_later()
            if seconds < SECONDS:
                break
        else:
            problems.append(f"{index}: {seconds:.1f} s")
        ends[end] += 1
        slowest = max(slowest, seconds)
    peak = peak_kilobytes() / 1024
    return {
        "kind": kind, "inputs": count, "ends": dict(ends), "problems": problems[:20],
        "slowest_s": round(slowest, 3), "peak_mb": round(peak), "longest_message": longest,
    }  # fmt: skip


def peak_kilobytes() -> int:
    """Peak of resident memory. `ru_maxrss` won't do on Linux: it begins with the parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def hash_of(kind: str) -> int:
    return zlib.crc32(kind.encode())


if __name__ == "__main__":
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    kind, count, *first = sys.argv[1:]
    for one in kind.split(","):
        sys.stdout.write(json.dumps(run(one, int(count), *map(int, first))) + "\n")
