"""What code hosts, Colab and editors read of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_everywhere(path):
    """Code hosts refuse a notebook that isn't valid, or has widgets whose state they don't know."""
    book = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(book)
    assert "widgets" not in book["metadata"]
    kinds = {k for c in book["cells"] for o in c.get("outputs", []) for k in o.get("data", {})}
    assert not any("widget" in kind for kind in kinds)


def test_the_citation_names_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == cnnlab.__version__


def test_a_container_is_made_by_the_readme_s_command():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\n{container['postCreateCommand']} && " in readme


def first_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def opening(path):
    """What a notebook does before it has the library."""
    return first_cell(path).partition("import cnnlab\n")[0]


def test_notebooks_alone_look_for_the_rest_where_the_project_says_that_it_is():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    home = re.search(r'^repository = "(.+)"$', project, re.MULTILINE | re.IGNORECASE)
    addresses = [re.findall(r'^ADDRESS = "(.*?)"', opening(p), re.M) for p in NOTEBOOKS]
    assert addresses == [[home[1] if home else ""]] * 3


@pytest.mark.skipif(shutil.which("git") is None, reason="git isn't installed")
def test_a_notebook_alone_fetches_the_rest_and_installs_nothing(tmp_path):
    origin, place = tmp_path / "origin", tmp_path / "place"
    (origin / "cnnlab").mkdir(parents=True)
    (origin / "notebooks").mkdir()
    (origin / "notebooks" / "kept").touch()
    (origin / "cnnlab" / "__init__.py").write_text("here = 'fetched'")
    me = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
    for command in (["init", "-q"], ["add", "."], [*me, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    place.mkdir()
    source = opening(NOTEBOOKS[0]) + "import cnnlab\nprint(cnnlab.here)"
    known = source.replace('ADDRESS = ""', f'ADDRESS = "{origin.as_uri()}"')
    code = "from IPython.core.interactiveshell import InteractiveShell\n"
    code += "run = InteractiveShell.instance().run_cell\n"
    code += f"print(run({source!r}).error_in_exec)\nrun({known!r}).raise_error()"
    environment = os.environ | {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    for _ in range(2):  # a second time after the kernel was started again
        # Without `site` no cnnlab is found that is installed in place, by a .pth file.
        command = [sys.executable, "-S", "-c", code]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        *_, said, found = done.stdout.splitlines()
        assert said.startswith("Write the address of this notebook's repository")
        assert found == "fetched"
