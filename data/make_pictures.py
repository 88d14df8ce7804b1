"""Draw the pictures that ship with the repository: styles, and scenes to lend them to.

python data/make_pictures.py                     all of them, into data/pictures
python data/make_pictures.py --only glass lake   some of them
python data/make_pictures.py --sheet FILE.png    also all in miniature, on one sheet

The same seed gives the same pictures: to the byte on one machine and with the same NumPy and
Pillow; elsewhere a pixel may be rounded differently. All together take about a minute on one core.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from drawing.brushes import to_image
from drawing.crafts import glass, gold
from drawing.harbour import harbour
from drawing.lake import lake
from drawing.paintings import cubism, pointillism, wind
from drawing.prints import marbling, woodcut
from PIL import Image

FOLDER = Path(__file__).parent / "pictures"
SIZE = 768  # pixels on the longer side
BYTES = 190_000  # of one file, at most
# What draws each, and its height and width in pixels at full size.
STYLES: dict[str, tuple[Callable, int, int]] = {
    "wind": (wind, 608, 768),
    "woodcut": (woodcut, 560, 768),
    "pointillism": (pointillism, 576, 768),
    "marbling": (marbling, 576, 768),
    "glass": (glass, 768, 608),
    "gold": (gold, 768, 640),
    "cubism": (cubism, 768, 640),
}
SCENES: dict[str, tuple[Callable, int, int]] = {
    "lake": (lake, 512, 768),
    "harbour": (harbour, 512, 768),
}
PICTURES = STYLES | SCENES


def draw(name: str, *, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Draw one picture, at twice its size, and reduce it: that smooths every edge.

    Args:
        name: One of PICTURES.
        size: Length of the longer side in pixels. Chance falls on each pixel, so another size is
            another picture in the same manner.
        seed: Of its own random stream, which the other pictures don't share.

    Returns:
        uint8 (h, w, 3), RGB.
    """
    paint, h, w = PICTURES[name]
    h, w = round(h * size / SIZE), round(w * size / SIZE)
    picture = to_image(paint(np.random.default_rng([seed, *name.encode()]), 2 * h, 2 * w))
    return np.asarray(picture.resize((w, h), Image.Resampling.LANCZOS))


def encode(picture: np.ndarray, *, limit: int = BYTES) -> bytes:
    """A JPEG file in the best quality up to 88 that fits into so many bytes."""
    for quality in range(88, 40, -2):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= limit:
            return file.getvalue()
    raise ValueError(f"Expected limit to leave room for a picture. Received: limit={limit}")


def sheet(pictures: Sequence[np.ndarray], *, rows: int = 2, width: int = 900) -> Image.Image:
    """Pictures in rows, each row as wide as the sheet, in a palette of 256 colours."""
    gap, strips = 6, []
    for row in np.array_split(np.arange(len(pictures)), rows):
        shapes = [pictures[i].shape for i in row]
        height = (width - gap * (len(row) - 1)) / sum(w / h for h, w, _ in shapes)
        edges = np.rint(np.cumsum([0, *(height * w / h + gap for h, w, _ in shapes)])).astype(int)
        strip = Image.new("RGB", (width, round(height)), "white")
        for i, left, right in zip(row, edges[:-1], edges[1:] - gap, strict=True):
            size = (right - left, strip.height)
            strip.paste(Image.fromarray(pictures[i]).resize(size), (left, 0))
        strips.append(np.asarray(strip))
        strips.append(np.full((gap, width, 3), 255, np.uint8))
    return Image.fromarray(np.concatenate(strips[:-1])).quantize(256)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        file = arguments.folder / f"{name}.jpg"
        file.write_bytes(encode(draw(name, seed=arguments.seed)))
        print(f"{file} {file.stat().st_size / 1000:.0f} kB", flush=True)
    if arguments.sheet:
        files = [arguments.folder / f"{name}.jpg" for name in PICTURES]
        sheet([np.asarray(Image.open(file)) for file in files]).save(arguments.sheet, optimize=True)


if __name__ == "__main__":
    main()
