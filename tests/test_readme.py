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


MEASURES = re.compile(r"\d(?:[\d,.]*\d)?(?=(?: ± [\d.]+)? %| s\b| seconds\b)|(?<=± )[\d.]+")


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d(?:[\d,.]*\d)?", text))


def printed(notebook: Path) -> str:
    """What a notebook's committed outputs say, pictures not counted."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [output.get("text", output.get("data", {}).get("text/plain", [])) for output in outputs]
    return "\n".join("".join(text) for text in texts)


def unsupported(lesson: str, outputs: str) -> set[str]:
    """Shares, seconds and deviations of a text that no output has printed."""
    return set(MEASURES.findall(lesson.replace("\n", " "))) - numbers(outputs)


def test_what_a_lesson_is_said_to_reach_was_printed_by_its_notebook() -> None:
    lessons = re.findall(r"^### \d \[.+?\]\((.+?\.ipynb)\)\n(.*?)(?=^##)", README, re.M | re.S)
    assert [notebook for notebook, _ in lessons] == sorted(
        str(path.relative_to(ROOT)) for path in ROOT.glob("notebooks/*.ipynb")
    )
    missing = {path: unsupported(text, printed(ROOT / path)) for path, text in lessons}
    assert missing == {path: set() for path, _ in lessons}


def test_a_figure_that_nothing_has_printed_is_found() -> None:
    lesson = "it names 95.77 ±\n0.08 % of them within 53.9 s, 3 seeds; all took 1,304 seconds, 75 %"
    assert unsupported(lesson, "95.77%, ± 0.08%, 53.9 s, 75") == {"1,304"}
    assert unsupported(lesson, "95.7%, ± 0.08%, 1,304 seconds") == {"95.77", "53.9", "75"}


def test_every_row_of_the_measurements_is_in_one_row_of_the_benchmarks() -> None:
    page = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")
    sources = [numbers(line) for line in page.splitlines() if line.startswith("| ")]
    table = README.partition("\n## Measured\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 5
    known = {"2", "224"}  # cores, and sides of pictures, which the page says elsewhere
    assert [row for row in rows if not any(numbers(row) - known <= s for s in sources)] == []


def test_every_picture_has_a_text_for_those_who_can_t_see_it_and_is_used() -> None:
    pictures = re.findall(r"!\[(.*?)\]\((.+?)\)", README, re.S)
    pictures += re.findall(r'<img alt="(.+?)" src="(.+?)"', README, re.S)
    assert min(len(text) for text, _ in pictures) > 20
    files = {path.name for path in ROOT.glob("notebooks/pictures/*") if path.suffix != ".json"}
    assert {Path(path).name for _, path in pictures} == files


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
