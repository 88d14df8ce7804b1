"""What code hosts, Colab and editors read of the repository."""

import json
import re
from pathlib import Path

import nbformat
import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
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
