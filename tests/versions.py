"""Run the tests with every set of versions that the library says it works with; print a table.

python tests/versions.py                 all sets, one after the other
python tests/versions.py oldest colab    those named
python tests/versions.py colab --only tests/plots tests/models    a part of the tests, no notebook

A set has a virtual environment of its own in outputs/versions/, where its log lies too. It runs the
tests that run no notebook and are not slow, then the first notebook, small. The Pythons are those
of the PATH or of pyenv. Each row says what was installed, not what was asked for.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "outputs" / "versions"
SHOWN = ("tensorflow", "keras", "numpy", "matplotlib", "pillow", "scipy", "ipython")
TOOLS = ("ipykernel", "nbclient", "nbconvert", "papermill", "hatchling", "pytest", "pytest-xdist")
RUNS = {
    "tests": ["-m", "not notebook and not slow"],
    "notebook 1": ["tests/notebooks", "-k", "runs_without_an_error and 01_cifar10"],
}


class Set(NamedTuple):
    """Versions that are installed together: of Python, and of what pip is told."""

    python: str
    requirements: list[str]


def pinned() -> list[str]:
    """List the lines of requirements.txt that are packages."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition("  #")[0] for line in lines if re.match(r"\w", line)]


def oldest() -> list[str]:
    """List the lower ends of the ranges in pyproject.toml, with the tests' tools as pinned."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lower = re.findall(r'^    "([\w-]+)>=([\d.]+)', project, re.MULTILINE)
    names = {name for name, _ in lower}
    tools = [line for line in pinned() if re.split("[=;]", line)[0] not in names]
    return [*(f"{name}=={version}.*" for name, version in lower), *tools]


SETS = {
    "oldest": Set("3.10", oldest()),
    "pinned-3.10": Set("3.10", pinned()),
    "pinned-3.11": Set("3.11", pinned()),
    "pinned-3.12": Set("3.12", pinned()),
    "pinned-3.13": Set("3.13", pinned()),
    # What Colab installs: github.com/googlecolab/backend-info, pip-freeze.txt, 2026-08-19.
    "colab": Set(
        "3.13",
        [
            "tensorflow==2.20.0",
            "keras==3.13.2",
            "numpy==2.1.3",
            "matplotlib==3.10.0",
            "pillow==11.3.0",
            "scipy==1.16.3",
            "ipython==7.34.0",
            *TOOLS,
        ],
    ),
}


def main() -> None:
    cli = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    cli.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    cli.add_argument("-n", default="2", metavar="PROCESSES", help="as pytest-xdist's")
    cli.add_argument("--only", nargs="+", metavar="PATH", help="of these tests, and no notebook")
    args = cli.parse_args()
    runs = {"tests": [*RUNS["tests"], *args.only]} if args.only else RUNS
    if unknown := set(args.sets) - SETS.keys():
        cli.error(f"Expected sets of {list(SETS)}. Received: {sorted(unknown)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    columns = ["set", "Python", *SHOWN, *runs, "date"]
    print(f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", sep="\n", flush=True)
    results = [write_row(name, runs, args.n) for name in args.sets or SETS]
    raise SystemExit(not all(results))


def write_row(name: str, runs: dict[str, list[str]], processes: str) -> bool:
    """Install a set, run its tests, print its row; return whether everything passed."""
    with (FOLDER / f"{name}.txt").open("w", encoding="utf-8") as log:
        python = environment(name, log)
        done = {run: tests(python, [*what, "-n", processes], log) for run, what in runs.items()}
    versions = [installed(python, package) for package in SHOWN]
    cells = [name, SETS[name].python, *versions, *(summary for _, summary in done.values())]
    print(f"| {' | '.join(cells)} | {datetime.date.today()} |", flush=True)
    return all(passed for passed, _ in done.values())


def environment(name: str, log: TextIO) -> Path:
    """Make a set's virtual environment anew; return its Python."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    call([base(SETS[name].python), "-m", "venv", folder], log).check_returncode()
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-e", ROOT]
    call([*install, *SETS[name].requirements], log).check_returncode()
    return python


def base(version: str) -> str:
    """Find a Python on the PATH or among pyenv's."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [*pyenv.glob(f"versions/{version}.*/bin/{name}"), *filter(None, [shutil.which(name)])]
    if not found:
        raise SystemExit(f"Expected {name} on the PATH or under pyenv. Received: none.")
    return str(found[0])


def tests(python: Path, what: list[str], log: TextIO) -> tuple[bool, str]:
    """Run tests; return whether all passed, and pytest's last line, without its rulers."""
    done = call([python, "-m", "pytest", "-q", *what], log)
    last = Path(log.name).read_text(encoding="utf-8").strip().splitlines()[-1]
    return done.returncode == 0, last.strip("= ")


def call(command: list[object], log: TextIO) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), cwd=ROOT, stdout=log, stderr=log, check=False)


def installed(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.check_output([python, "-c", code], text=True).strip()


if __name__ == "__main__":
    main()
