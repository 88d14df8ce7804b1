"""What the VGG-16 that ships has learnt from its teacher, on pictures that it hasn't seen.

python tests/benchmarks/vgg16_weights.py [WEIGHTS] --teacher VGG19 --judge FOLDER …    one JSON line

FOLDERs hold pictures whose names begin with their class, as `n01440764_….JPEG`. Of each: top-1 and
top-5 of the teacher, of the student's convolutions under the teacher's dense layers, and of the
student's own top, all by the same code: a square of 224 px, the middle of each picture.
`--photographs TABLE …` measures what is left of the maps' squared errors (`--held-out` pictures at
a table's end); `--probe` a linear probe on CIFAR-10, as the second notebook has it.
"""

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np

from cnnlab import data, models, training, transfer
from cnnlab.models import weight_files
from cnnlab.models.networks import IMAGENET_CLASSES
from cnnlab.models.weights import find_published

DATA = Path(__file__).parents[2] / "data"
sys.path.insert(0, str(DATA))
from distilling import distillation  # noqa: E402
from distilling.photographs import ENDINGS, read, square  # noqa: E402

SHIPPED = DATA / "vgg16_shipped.npz"
SIDES = (64, 96)
POOLS = ("block3_pool", "block4_pool", "block5_pool")


def judged(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (n, 224, 224, 3) and their classes' numbers."""
    path, _ = find_published([IMAGENET_CLASSES])
    numbers = {synset: int(i) for i, (synset, _) in json.loads(path.read_text()).items()}
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS)
    labels = [numbers[file.name.split("_")[0]] for file in files]
    return np.stack([square(file, 224) for file in files]), np.array(labels)


def right(model: keras.Model, pictures: np.ndarray, labels: np.ndarray) -> list[float]:
    """Top-1 and top-5, 0…1."""
    logits = np.concatenate([model(pictures[i : i + 50]) for i in range(0, len(pictures), 50)])
    best = np.argsort(-logits, axis=1)[:, :5] == labels[:, None]
    return [round(float(found), 4) for found in (best[:, 0].mean(), best.any(axis=1).mean())]


def answers(student: keras.Model, teacher: keras.Model, known: dict, args) -> dict:
    """How many pictures of each folder are named right, by whom."""
    dense = distillation.dense_layers(known, np.ones(512))
    own = models.vgg16(args.weights, include_top=True)
    small = keras.Sequential([keras.layers.Resizing(128, 128, antialias=True), own])
    look = {
        "teacher": lambda x: dense(teacher(x)),
        "convolutions": lambda x: dense(student(x)),
        "own_top": own,
        "own_top_128": small,
    }
    found = {}
    for folder in args.judge:
        pictures, labels = judged(folder)
        found[folder.name] = {"pictures": len(labels)}
        for name, model in look.items():
            found[folder.name][name] = right(model, pictures.astype("float32"), labels)
    return found


def probe(network: keras.Model, limit: int | None) -> dict:
    """Linear probes on CIFAR-10, on averages over quarters: the best on validation, and its test.

    Split, epochs and rates are those of the second notebook's `full` preset.
    """
    pictures = data.load("cifar10", val_size=0.04, seed=0)
    if limit:
        pictures = pictures.at_most(train=limit, val=limit, test=limit)
    y, batch, epochs = pictures.y_train, 1920, 8
    steps, scores = epochs * -(-len(y) // batch), {}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for side in SIDES:
        sets = {"train": pictures.x_train, "val": pictures.x_val, "test": pictures.x_test}
        x = {
            k: transfer.extract_features(network, v, POOLS, size=side, grid=2)
            for k, v in sets.items()
        }
        keras.utils.set_random_seed(0)
        heads = transfer.probes(x["train"], 10)
        optimizer = keras.optimizers.AdamW(training.OneCycle(2e-3, steps), weight_decay=1e-2)
        heads.compile(optimizer, dict.fromkeys(POOLS, loss), jit_compile=False)
        heads.fit(x["train"], dict.fromkeys(POOLS, y), batch, epochs, verbose=0)
        for name in POOLS:
            found = [
                float(np.mean(np.argmax(heads(x[k])[name], axis=1) == truth))
                for k, truth in (("val", pictures.y_val), ("test", pictures.y_test))
            ]
            scores[f"{name}_{side}"] = [round(value, 4) for value in found]
    best = max(scores, key=lambda name: scores[name][0])
    return {"best": best, "test": scores[best][1], "val_and_test": scores}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--judge", type=Path, nargs="*", default=[])
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--limit", type=int, help="pictures for the probe, for a rehearsal")
    args = parser.parse_args()
    device = training.device()
    with np.load(args.weights) as file:
        sizes = {name: np.array(v) for name, v in json.loads(str(file["sizes"])).items()}
        convolutions = distillation.rescale(
            weight_files.dequantize(file), sizes
        )  # the teacher's units
    known = distillation.read_teacher(args.teacher)
    teacher = distillation.put(known, models.backbone("vgg19", None))
    student = distillation.put(convolutions, models.vgg16(None))
    line = {"weights": args.weights.name, "file_mb": round(args.weights.stat().st_size / 1e6, 2)}
    if args.judge:
        line["top1_top5"] = answers(student, teacher, known, args)
    if args.photographs:
        ones = {name: np.ones(len(b)) for name, b in known.items() if name.endswith("/bias")}
        ones = {name.removesuffix("/bias"): value for name, value in ones.items()}
        lesson = distillation.Lesson(teacher, student, ones, ones)
        tables = [read(source, 160)[-args.held_out :] for source in args.photographs]
        line["left_over"] = lesson.left_over(tables, 128)
    if args.probe:
        line["probe"] = probe(models.vgg16(args.weights), args.limit)
    print(json.dumps({**line, "device": device.name}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
