"""Style transfer: how fast a step is, and pictures for a blind vote between methods.

python tests/benchmarks/style.py --size 512 --steps 700      one JSON line of times and losses
python tests/benchmarks/style.py --pictures OUT --pairs FOLDER --methods stylize,neighbours,plain

Times: one size, `stylize`'s own layers and losses, Adam. A step's milliseconds are of the
second run in the process, whose expected seconds come from the first.

Pictures: FOLDER has PAIR.content.jpg and PAIR.style.jpg; OUT gets PAIR.METHOD.jpg for every method
named, those of `style_methods.METHODS`, and a JSON line for each. A run that was stopped goes on
where it was. The voters see no names and no numbers: losses can't tell which picture is better.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # data.distilling isn't installed

import keras
import numpy as np
import psutil
import style_methods
import tensorflow as tf
from PIL import Image

from cnnlab import images, style, training

PICTURES = Path(__file__).parents[2] / "data" / "pictures"


def picture(name: str) -> np.ndarray:
    """A picture by its name in data/, or by its path."""
    return images.read(name if Path(name).is_file() else PICTURES / f"{name}.jpg")


def speed(model: keras.Model, args: argparse.Namespace) -> dict:
    """One size, two runs in one process, of which the second has nothing left to compile."""
    content, look = picture(args.content), picture(args.style)
    options = {"size": (args.size, args.size), "steps": args.steps, "pyramid": args.pyramid}
    options |= {"model": model, "precision": args.precision, "jit_compile": args.jit_compile}
    runs = []
    for _ in range(2):
        clock = []

        def note(progress: style.Progress, clock: list = clock) -> None:
            clock.append((progress.step, progress.seconds))

        every = max(1, args.steps // 5)  # seldom: a GPU waits at each report
        result = style.stylize(content, look, callback=note, callback_every=every, **options)
        runs.append((result, clock))
        if len(runs) == 1 and training.device().is_gpu:  # without what autotuning tried out
            tf.config.experimental.reset_memory_stats("GPU:0")
    (first, _), (second, clock) = runs
    (start, began), (end, ended) = clock[0], clock[-1]
    return {
        "size": args.size,
        "steps": args.steps,
        "sizes": [max(level.height, level.width) for level in second.levels],
        "ms_a_step": round(1e3 * (ended - began) / (end - start), 3),
        "total_s": round(second.seconds, 2),
        "first_run_s": round(first.seconds, 2),
        "compile_s": round(first.compile_seconds, 2),
        "expected_s": round(second.expected_seconds, 2),
        "peak_memory_gb": round(peak_memory() / 1e9, 2),
        "first_expected_s": round(first.expected_seconds, 2),
        "distances": {name: round(value, 5) for name, value in second.distances.items()},
        "same_again": bool((first.image == second.image).all()),
    }


def peak_memory() -> int:
    """Bytes: of the GPU, else of this process as it is now."""
    if training.device().is_gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return psutil.Process().memory_info().rss


def make_pictures(model: keras.Model, args: argparse.Namespace) -> None:
    """Make every pair's picture by every method, and print a line for each; not what is there."""
    args.pictures.mkdir(parents=True, exist_ok=True)
    pairs = sorted(p.name.removesuffix(".content.jpg") for p in args.pairs.glob("*.content.jpg"))
    for method in args.methods.split(","):
        for pair in pairs:
            path = args.pictures / f"{pair}.{method}{args.suffix}.jpg"
            if path.exists():
                continue
            content, look = (
                images.read(args.pairs / f"{pair}.{w}.jpg") for w in ("content", "style")
            )
            try:
                result, facts = style_methods.picture(
                    method, model, content, look, args.size, args.share
                )
            except (FloatingPointError, MemoryError, tf.errors.OpError) as error:
                facts = {"failed": f"{type(error).__name__}: {error}"[:300]}
            else:
                Image.fromarray(result).save(path, quality=95)
            print(json.dumps({"pair": pair, "method": method} | facts), flush=True)


def main() -> None:
    """Print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--pyramid", type=int, default=1)
    parser.add_argument("--weights", default="auto", help="see style_methods.network")
    parser.add_argument("--precision")
    parser.add_argument("--content", default="harbour", help="a name in data/pictures, or a path")
    parser.add_argument("--style", default="marbling")
    parser.add_argument("--no-xla", dest="jit_compile", action="store_false")
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures of a vote")
    parser.add_argument("--pairs", type=Path, help="a folder of contents and styles")
    parser.add_argument("--methods", default=",".join(style_methods.METHODS))
    parser.add_argument("--suffix", default="", help="after the method in the pictures' names")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, to try things out")
    args = parser.parse_args()
    args.jit_compile &= training.device().jit_compile
    model = style_methods.network(args.weights)
    if args.pictures:
        make_pictures(model, args)
        return
    line = {"device": training.device().name, "weights": str(args.weights)}
    print(json.dumps(line | speed(model, args)))


if __name__ == "__main__":
    main()
