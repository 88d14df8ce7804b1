"""Memory while a large folder is streamed: it must not grow with the pictures that were read.

    python tests/benchmarks/stream_memory.py [--pictures 200000] [--epochs 1]

The folder is made of hard links to a few pictures, beside the system's temporary files, and deleted
afterwards. Printed: seconds and resident memory at each tenth of what was read, and by how much it
grew between the second tenth, when all is warm, and the last.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

import cnnlab

SIDE, DISTINCT = 32, 1_000  # pixels; pictures of their own: a file bears only so many links


def make(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / "set" / name).mkdir(parents=True)
    for number in range(DISTINCT):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    for number in range(count):
        name = "ab"[number % 2]
        os.link(folder / f"{number % DISTINCT}.jpg", folder / "set" / name / f"{number}.jpg")


def megabytes() -> float:
    return psutil.Process().memory_info().rss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    cnnlab.start_tensorflow()
    from cnnlab import data

    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary), arguments.pictures)
        print(f"before: {megabytes():,.0f} MB")
        start = time.perf_counter()
        sets = data.stream(Path(temporary, "set"), image_size=SIDE, batch_size=100)
        print(f"listed and checked: {time.perf_counter() - start:.0f} s, {megabytes():,.0f} MB")
        seen, curve = 0, []
        total = arguments.epochs * 7 * arguments.pictures // 10  # train is seven tenths
        for _ in range(arguments.epochs):
            for pictures, _ in sets.train:
                seen += len(pictures)
                if seen * 10 // total > len(curve):
                    curve.append(megabytes())
                    print(
                        f"{seen:,} read: {time.perf_counter() - start:.0f} s, {curve[-1]:,.0f} MB"
                    )
        print(f"growth from the second tenth to the last: {curve[-1] - curve[1]:+.0f} MB")


if __name__ == "__main__":
    main()
