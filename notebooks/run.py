"""Run notebooks from top to bottom without a browser; results go to outputs/, .ipynb and HTML."""

import argparse
import ast
import difflib
import os
import re
from pathlib import Path

# The kernel of this interpreter, before one of the same name that the user registered elsewhere.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
import nbformat
import papermill
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from tqdm import tqdm
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
# Not the docstring, which `python -OO` leaves out.
USAGE = """
python notebooks/run.py                             every notebook, with its own parameters
python notebooks/run.py NOTEBOOK... -p NAME VALUE   those named, with other parameters
python notebooks/run.py -o FOLDER                   results go there instead of outputs/

-p as often as you like, with the names and kinds of the notebook's second code cell:
-p SEED 3   -p PRESET quick   -p WIDTHS 16,32,64   -p PICTURE ~/me.jpg   -p MIRROR false
"""


def main() -> None:
    cli = argparse.ArgumentParser(usage=USAGE)
    cli.add_argument("notebooks", nargs="*", type=lambda path: Path(path).resolve())
    cli.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    cli.add_argument("-o", type=lambda path: Path(path).resolve(), default=None, metavar="FOLDER")
    args = cli.parse_args()
    here = Path.cwd()
    if (named := os.environ.get("CNNLAB_DATA", "").strip()) and not named.startswith("~"):
        os.environ["CNNLAB_DATA"] = str(here / named)  # kernels start elsewhere
    os.chdir(ROOT)  # paths that papermill notes down stay relative
    outputs = args.o or Path("outputs")
    require_writable(outputs)
    for path in args.notebooks or sorted(Path("notebooks").glob("*.ipynb")):
        run(path, outputs, dict(args.p), here)


def require_writable(folder: Path) -> None:
    """Make a folder; end with a sentence where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise SystemExit(
            f"FAILED: expected to write results to {folder.absolute()}. Received: {e.strerror}. "
            "Choose another folder: -o FOLDER"
        ) from e


def run(path: Path, outputs: Path, given: dict[str, str], here: Path) -> None:
    """Run one notebook with parameters as given on the command line."""
    source, target = os.path.relpath(path), outputs / path.name
    kernel = dict(
        kernel_name="python3", config=Config(KernelManager={"transport_encryption": "auto"})
    )
    bar = "{desc} {percentage:3.0f}%|{bar}| cell {n_fmt} of {total_fmt}, {elapsed}"
    place = dict(
        cwd=os.path.dirname(source),
        progress_bar=dict(desc=path.name, mininterval=0, bar_format=bar),
        on_cell_start=tell_section,
        on_cell_executed=tell_stand_ins,
        coalesce_streams=True,
    )
    try:
        known = papermill.inspect_notebook(source)
        if unknown := [name for name in given if name not in known]:
            near = [
                match for name in unknown for match in difflib.get_close_matches(name, known, 1)
            ]
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise SystemExit(
                f"{source}: no parameter {', '.join(unknown)} in {', '.join(known)}{hint}"
            )
        try:
            parameters = {name: value(text, known[name], here) for name, text in given.items()}
        except ValueError as e:
            raise SystemExit(f"{source}: {e}") from e
        target.with_suffix(".html").unlink(missing_ok=True)  # an earlier page is not this run's
        book = papermill.execute_notebook(source, str(target), parameters, **kernel, **place)
    except papermill.PapermillExecutionError as e:
        raise SystemExit(f"{e}\nFAILED {source}, In [{e.exec_count}]: {e.ename}: {e.evalue}") from e
    except (OSError, RuntimeError) as e:  # no such file; the kernel died: often, out of memory
        raise SystemExit(f"FAILED {source}: {e}") from e
    target.with_suffix(".html").write_text(page(book, path.stem), encoding="utf-8")
    print(f"{source}: {book.metadata.papermill.duration:.0f} s, results in {target} and .html")


def tell_section(cell: NotebookNode, cell_index: int) -> None:
    """Write to the terminal which section of a notebook begins."""
    if cell.cell_type == "markdown":
        for marks, heading in re.findall(r"^(##?) +(.+)$", cell.source, re.MULTILINE):
            tqdm.write("  " * len(marks) + heading.replace("`", ""))


def tell_stand_ins(cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
    """Write to the terminal what a cell's output says of pictures or weights that stand in."""
    for output in cell.outputs:
        shown = output.get("data", {}).get("text/plain", "")
        for line in re.findall(r"^ *STAND-IN +(.+)$", shown, re.MULTILINE):
            tqdm.write(f"    STAND-IN: {line}")


def page(book: NotebookNode, name: str) -> str:
    """Make a page of a notebook: one file, with a table of its sections, that needs no network."""
    headings = [
        re.sub(r"[`*]", "", heading)
        for cell in book.cells
        if cell.cell_type == "markdown"
        for heading in re.findall(r"^# +(.+)$", cell.source, re.MULTILINE)
    ]
    links = "\n".join(f"- [{text}](<#{text.replace(' ', '-')}>)" for text in headings[1:])
    contents = nbformat.v4.new_markdown_cell(
        f'<nav aria-label="Contents">\n\n{links}\n\n</nav>', metadata={"tags": ["contents"]}
    )
    book = nbformat.from_dict({**book, "cells": [*book.cells[:1], contents, *book.cells[1:]]})
    exporter = HTMLExporter(template_name="page", extra_template_basedirs=[str(ROOT / "notebooks")])
    return exporter.from_notebook_node(book, {"metadata": {"name": name}})[0]


def value(text: str, parameter: dict[str, str], here: Path) -> object:
    """Read a parameter's value: text beside a text, such as `2024` beside `"auto"`, else a literal.

    Whether it is of the right kind and in its range, the notebook's own third cell says.

    Args:
        text: As given on the command line.
        parameter: The notebook's own, as papermill describes it: name, default and comment.
        here: Where relative paths start.

    Raises:
        ValueError: A path that isn't there; the message says where was looked.
    """
    name, comment = parameter["name"], parameter["help"]
    default = ast.literal_eval(parameter["default"])
    if is_path(default, comment):
        return None if text == "None" and default is None else resolved(name, text, comment, here)
    return text if isinstance(default, str) else literal(text)


def literal(text: str) -> object:
    """Return `5`, `1e-3`, `None`, `false`, `[32, 64]` as values, anything else as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
        return list(value) if isinstance(value, tuple) else value  # papermill knows no tuples
    except (ValueError, SyntaxError):
        return text


def is_path(default: object, comment: str) -> bool:
    """Tell from a parameter's comment, or its default, whether it may name a file or a folder."""
    return (default is None or isinstance(default, str)) and bool(
        re.search(r"\b(path|folder|file)\b", comment) or "/" in str(default)
    )


def resolved(name: str, text: str, comment: str, here: Path) -> str:
    """Return an absolute path where there is one; addresses and the comment's words as they are."""
    if text in re.findall(r'"([^"]*)"', comment) or re.match(r"[a-z]+://", text):
        return text
    places = [here, ROOT / "notebooks"]  # the caller's, and that of the defaults
    for place in places:
        if (path := place / Path(text).expanduser()).exists():
            return str(path.resolve())
    raise ValueError(
        f"Expected {name} to be a path: {comment}. Received: {name}={text!r}, looked for in "
        f"{' and '.join(map(str, places))}"
    )


if __name__ == "__main__":
    main()
