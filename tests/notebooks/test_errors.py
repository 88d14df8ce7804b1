"""What a notebook shows of an error that says in one sentence what is wrong."""

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
from pathlib import Path
from cnnlab import images, sources
def mine(source):
    return images.read(source)
"""
CELLS = {
    "an address where nobody answers": 'x = 1\nmine("http://127.0.0.1:9/nowhere.png")',
    "no such file": 'mine("nowhere.png")',
    "no picture": 'mine("page.png")',
    "a damaged file": 'sources.Remote("page.png", "00", 3, ()).verify(Path("page.png"))',
    "no download": 'raise sources.DownloadError("Make room.")',
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    (folder / "page.png").write_bytes(b"<html>")
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *CELLS.values(), "1 / 0")]
    book = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(book, allow_errors=True, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell.outputs for cell in book.cells]


@pytest.mark.notebook
@pytest.mark.parametrize("number", range(1, 1 + len(CELLS)), ids=list(CELLS))
def test_a_documented_error_shows_its_sentence_and_the_reader_s_own_lines(outputs, number):
    (error,) = outputs[number]
    *code, sentence = error.traceback
    assert sentence == f"{error.ename}: {error.evalue}"
    lines = list(CELLS.values())[number - 1].splitlines()
    assert code[0] == f"----> {len(lines)} {lines[-1]}"
    assert code[1:] in ([], ["----> 4 return images.read(source)"])


@pytest.mark.notebook
def test_any_other_error_keeps_its_whole_traceback(outputs):
    (error,) = outputs[-1]
    assert error.ename == "ZeroDivisionError"
    assert "Traceback" in "".join(error.traceback)
