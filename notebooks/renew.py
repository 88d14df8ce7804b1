"""Execute notebooks where they stand, and note which code their outputs come from.

python notebooks/renew.py                       every notebook, in full where there is a GPU
python notebooks/renew.py NOTEBOOK...           those named
python notebooks/renew.py --only-note           executes nothing: for outputs made elsewhere

`metadata.cnnlab.sources` of a notebook is a digest of its code, without comments and layout. A test
compares it with the code that is there: where they differ, the outputs are another program's.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
from pathlib import Path

# The kernel of this interpreter, before one of the same name that the user registered elsewhere.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent


def digest(book: NotebookNode) -> str:
    """Return what stands for the code of a notebook, the same with every Python."""
    cells = [cell.source for cell in book.cells if cell.cell_type == "code"]
    trees = [ast.parse(TransformerManager().transform_cell(source)) for source in cells]
    return hashlib.sha256(json.dumps(list(map(plain, trees))).encode()).hexdigest()[:16]


def plain(node: object) -> object:
    """Turn a syntax tree into lists and texts, without fields that are empty or missing."""
    if isinstance(node, ast.AST):
        fields = {name: plain(value) for name, value in ast.iter_fields(node)}
        return [type(node).__name__, {k: v for k, v in fields.items() if v not in ("None", [])}]
    return list(map(plain, node)) if isinstance(node, list) else repr(node)


def execute(book: NotebookNode, folder: Path) -> None:
    """Run every cell anew, in a kernel of its own, and keep nothing of the run but the outputs."""
    settings = {"kernel_name": "python3", "timeout": None, "coalesce_streams": True}
    NotebookClient(book, resources={"metadata": {"path": str(folder)}}, **settings).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    book.metadata.language_info = {"name": "python"}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("notebooks", nargs="*", type=Path)
    cli.add_argument("--only-note", action="store_true", help="execute nothing")
    arguments = cli.parse_args()
    for path in arguments.notebooks or sorted(FOLDER.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        if not arguments.only_note:
            execute(book, path.resolve().parent)
        book.metadata.cnnlab = {"sources": digest(book)}
        nbformat.write(book, path)
        print(f"{path}: {book.metadata.cnnlab.sources}", flush=True)


if __name__ == "__main__":
    main()
