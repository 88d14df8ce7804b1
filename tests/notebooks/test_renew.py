"""notebooks/renew.py: outputs know the code that they come from."""

import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER))

import renew  # noqa: E402

PATHS = sorted(FOLDER.glob("*.ipynb"))


def book(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in sources])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_committed_outputs_come_from_the_code_that_is_there(path):
    """Where this fails, `python notebooks/renew.py NOTEBOOK` on a GPU makes outputs anew."""
    committed = nbformat.read(path, as_version=4)
    assert committed.metadata.get("cnnlab", {}).get("sources") == renew.digest(committed)


@pytest.mark.parametrize(
    "sources",
    [("x = 2", "x"), ("x = 1", "x", "x"), ("x", "x = 1"), ("x = 1", "x.y"), ("x = 1.0", "x")],
)
def test_other_code_has_another_digest(sources):
    assert renew.digest(book(*sources)) != renew.digest(book("x = 1", "x"))


def test_comments_layout_and_text_do_not_matter():
    same = book("x = (\n    1  # one\n)", "x", "!ls")
    same.cells.insert(1, nbformat.v4.new_markdown_cell("# A heading"))
    assert renew.digest(same) == renew.digest(book("x = 1", "x", "!ls"))


def test_a_renewed_notebook_has_outputs_and_a_digest_and_no_trace_of_the_run(tmp_path, monkeypatch):
    path = tmp_path / "small.ipynb"
    nbformat.write(book("x = 1", "print(x + 1)"), path)
    monkeypatch.setattr(sys, "argv", ["renew.py", str(path)])
    renew.main()
    renewed = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in renewed.cells] == [1, 2]
    assert renewed.cells[1].outputs[0].text == "2\n"
    assert renewed.metadata.cnnlab == {"sources": renew.digest(renewed)}
    assert [cell.metadata for cell in renewed.cells] == [{}, {}]
