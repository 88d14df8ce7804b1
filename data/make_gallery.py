"""Make the README's pictures: the hero, the gallery, and the figures that notebooks have drawn.

python data/make_gallery.py                   all of them, into notebooks/pictures
python data/make_gallery.py --only figures    some: seen, hero (best on a GPU), gallery, figures
python data/make_gallery.py --size 240 --steps 40    small and in a hurry, to try it

Beside them `gallery.json` says how long `stylize` and `paint` took, on what, and when.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import functools
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import cnnlab

DATA = Path(__file__).resolve().parent
NOTEBOOKS = DATA.parent / "notebooks"
FOLDER = NOTEBOOKS / "pictures"
PANEL = 425  # pixels across a painting of the gallery, its margin included
HERO = ("cat", "wind")
LAST_CONVOLUTIONS = tuple(f"block{i}_conv{n}" for i, n in enumerate((2, 2, 3, 3, 3), start=1))
GALLERY = ("coffee", "astronaut")
MIXTURE = ("wind", "woodcut")
# By file: a notebook, and a text that only the cell which draws the figure contains.
FIGURES = {
    "ladder.png": ("01_cifar10_cnn_from_scratch", "plots.ladder("),
    "channels.jpg": ("02_vgg16_transfer_learning", "channels of each block respond to most"),
    "textures.jpg": ("03_neural_style_transfer", "Style without content"),
}


def seen(folder: Path) -> dict[str, object]:
    """Show what VGG-16 makes of the hero's photograph, block by block, and where it looked.

    Of each block, the channel of its last convolution that varies most over the picture.
    """
    photograph = cnnlab.images.read(DATA / "photographs" / f"{HERO[0]}.jpg", 224)
    network = cnnlab.models.vgg16("shipped", include_top=True)
    chances = cnnlab.evaluation.probabilities(network, photograph[None])[0]
    answer = int(chances.argmax())
    word = cnnlab.models.class_names(network.pretrained)[answer]
    colors = colormaps["inferno"]
    panels = {"a photograph": photograph}
    maps = cnnlab.interpret.activations(network, photograph, LAST_CONVOLUTIONS)
    for block, answers in enumerate(maps.values(), start=1):
        chosen = answers[..., answers.std(axis=(0, 1)).argmax()]
        panels[f"block {block}"] = 255 * colors(np.sqrt(chosen / chosen.max()))[..., :3]
    heat = colors(cnnlab.interpret.grad_cam(network, photograph, class_index=answer))[..., :3]
    panels[f"→ {word}"] = 0.35 * photograph + 0.65 * 255 * heat
    sheet = cnnlab.plots.board({"": list(panels.values())}, list(panels))
    save(folder / "seen.jpg", sheet, dots=150)
    return {"content": HERO[0], "answer": word, "probability": round(float(chances[answer]), 2)}


def hero(folder: Path, size: int, steps: int | None) -> dict[str, object]:
    """Stylise one photograph, and show it beside what it was made of."""
    name, look = HERO
    photograph = cnnlab.images.read(DATA / "photographs" / f"{name}.jpg")
    artwork = DATA / "pictures" / f"{look}.jpg"
    made = cnnlab.style.stylize(photograph, artwork, size=size, steps=steps)
    seconds = made.seconds - made.compile_seconds
    caption = (
        f"= style.stylize(photograph, style)\n{seconds:.1f} s on {cnnlab.training.device().name}, "
        f"and {made.compile_seconds:.1f} s to compile"
    )
    beside = {
        "a photograph": photograph,
        "+ a style": cnnlab.images.read(artwork, made.image.shape[:2]),
    }
    sheet = cnnlab.plots.contact_sheet(made.image, beside, caption=caption)
    save(folder / "hero.jpg", sheet, dots=150)
    return {
        "content": name,
        "style": look,
        "shape": made.image.shape[:2],
        "steps": sum(level.steps for level in made.levels),
        "seconds": round(seconds, 1),
        "compile_seconds": round(made.compile_seconds, 1),
    }


def gallery(folder: Path, size: int) -> dict[str, object]:
    """Paint photographs in every style, and in a mixture of two."""
    looks: dict[str, str | Mapping[str, float]]
    looks = {name: name for name in cnnlab.style.painter_styles()}
    looks[" and ".join(MIXTURE)] = dict.fromkeys(MIXTURE, 1.0)
    times = []
    for name in GALLERY:
        photograph = cnnlab.images.read(DATA / "photographs" / f"{name}.jpg")
        cnnlab.style.paint(photograph, MIXTURE[0], size=size)  # prepares for this shape
        paintings = {}
        for look, mixture in looks.items():
            started = time.perf_counter()
            paintings[look] = cnnlab.style.paint(photograph, mixture, size=size)
            times.append(time.perf_counter() - started)
        sheet = cnnlab.plots.contact_sheet(photograph, paintings)
        save(folder / f"gallery_{name}.jpg", sheet, dots=PANEL / (sheet.get_figwidth() / 3))
    return {"contents": GALLERY, "size": size, "seconds": round(statistics.median(times), 3)}


def figures(folder: Path) -> None:
    """Take figures out of the notebooks' committed outputs, byte for byte."""
    for file, (notebook, text) in FIGURES.items():
        (folder / file).write_bytes(drawn(NOTEBOOKS / f"{notebook}.ipynb", text))


def drawn(notebook: Path, text: str) -> bytes:
    """Return the one picture that the one code cell with this text has in its outputs.

    Raises:
        ValueError: There is no such cell or picture, or several.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = [c for c in cells if c["cell_type"] == "code" and text in "".join(c["source"])]
    shown = [output.get("data", {}) for cell in found for output in cell["outputs"]]
    pictures = [data[kind] for data in shown for kind in data if kind.startswith("image/")]
    if len(found) != 1 or len(pictures) != 1:
        raise ValueError(
            f"Expected one code cell with {text!r} and one picture. Received: {notebook.name} with "
            f"{len(found)} such cells and {len(pictures)} pictures"
        )
    return base64.b64decode("".join(pictures[0]))


def save(file: Path, figure: Figure, *, dots: float) -> None:
    """Write a figure at so many dots an inch."""
    figure.savefig(file, dpi=dots, pil_kwargs={"quality": 82, "optimize": True})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("seen", "hero", "gallery", "figures")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--size", type=int, default=640, help="longer side of what is painted")
    parser.add_argument("--steps", type=int, help="of the hero; else those of `stylize` itself")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    cnnlab.start_tensorflow()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    notes = arguments.folder / "gallery.json"
    record = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
    where = {"device": cnnlab.training.device().name, "date": str(datetime.date.today())}
    makers = {
        "seen": seen,
        "hero": functools.partial(hero, size=arguments.size, steps=arguments.steps),
        "gallery": functools.partial(gallery, size=arguments.size),
    }
    for part in arguments.only:
        if part == "figures":
            figures(arguments.folder)
        else:
            record[part] = makers[part](arguments.folder) | where
            notes.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
