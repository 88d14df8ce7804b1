"""What long trainings have in common: a clock that is their budget, and arguments."""

import argparse
import time
from pathlib import Path


class Clock:
    """Count seconds of training, this process's and its predecessors', but not of compiling."""

    def __init__(self, spent: float = 0.0):
        self.born, self.before, self.started = time.perf_counter(), spent, None

    def start(self) -> None:
        self.started = self.started or time.perf_counter()

    @property
    def spent(self) -> float:
        return self.before + (time.perf_counter() - self.started if self.started else 0.0)

    @property
    def age(self) -> float:
        """Return the seconds of this process, all counted."""
        return time.perf_counter() - self.born


def add_common(
    parser: argparse.ArgumentParser, *, out: Path, minutes: float, save_every: float
) -> None:
    """Add the arguments that every training takes, with these defaults."""
    add = parser.add_argument
    add("--photographs", type=Path, nargs="+", required=True, help="folders, or tables (.npy)")
    add("--about", default="", help="which photographs these are, for the file's notes")
    add("--out", type=Path, default=out)
    add("--checkpoint", type=Path, help="default: beside --out")
    add("--resume", action="store_true", help="go on from the checkpoint, if there is one")
    add("--minutes", type=float, default=minutes, help="of training, without compiling")
    add("--stop-after", type=float, help="end this process after seconds; run again to go on")
    add("--seed", type=int, default=0)
    add("--log-every", type=int, default=100, help="steps")
    add("--save-every", type=float, default=save_every, help="seconds")
    add("--jit", action="store_true", help="XLA where it isn't the device's choice too")
