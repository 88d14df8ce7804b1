from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|\b(?:src|href)=[\"']([^\"']+)[\"']"
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def prose(path: Path) -> str:
    """The text that a reader sees with links in it: fenced code is left out."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        pages = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join(pages)
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What `#name` may point to: a heading, as Jupyter or a code host names it, or an id."""
    titles = [re.sub(r"[`*]", "", title) for title in HEADING.findall(text)]
    jupyter = {title.replace(" ", "-") for title in titles}
    host = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return jupyter | host | set(re.findall(r"\b(?:id|name)=[\"']([^\"']+)[\"']", text))


def broken_links(path: Path) -> list[str]:
    text = prose(path)
    broken = []
    for link in (a or b for a, b in LINK.findall(text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):  # https:, mailto:, attachment:, data:
            continue
        file, _, anchor = unquote(link).partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (not file and anchor not in anchors(text)):
            broken.append(link)
    return broken


@pytest.mark.parametrize(("number", "last"), [(0, "notebooks/run.py"), (1, "-m pytest")])
def test_the_first_two_bash_blocks_are_one_command_each(number: int, last: str) -> None:
    command = FENCE.findall(README)[number].strip()
    assert "\n" not in command
    steps = command.split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1].endswith("pip install -r requirements.txt")
    assert steps[2] == f".venv/bin/python {last}"


def test_the_map_names_every_room() -> None:
    rooms = re.findall(r"^\| \[(\w+)\]\(cnnlab/([\w.]+)\) \|", README, re.MULTILINE)
    assert sorted(room for room, _ in rooms) == sorted(cnnlab._ROOMS)
    assert all(path in (room, f"{room}.py") for room, path in rooms)


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("notebooks/*.ipynb"))],
    ids=lambda path: path.name,
)
def test_every_link_to_a_file_or_heading_works(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Two words\n[a](#two-words) [b](page.md) [c](gone.md) ![d](#three)\n")
    assert broken_links(page) == ["gone.md", "#three"]


def test_every_test_in_the_table_of_faults_is_there():
    table = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[3] for line in table.splitlines() if line.startswith("| ")]
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    written = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    assert len(names) > 40
    assert {name for name in names if f"def test_{name}(" not in written} == set()
