"""Run notebooks from top to bottom without a browser; results go to outputs/, as .ipynb and HTML.

python notebooks/run.py                             every notebook, with its own parameters
python notebooks/run.py NOTEBOOK... -p NAME VALUE   those named, with other parameters
"""

import argparse
import ast
import os
from pathlib import Path

# The kernel of this interpreter, before one of the same name that the user registered elsewhere.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
import papermill
from nbconvert import HTMLExporter
from traitlets.config import Config


def literal(text: str) -> object:
    """Return `5`, `1e-3`, `None`, `[32, 64]` as Python reads them, anything else as text."""
    try:
        value = ast.literal_eval(text)
        return list(value) if isinstance(value, tuple) else value  # papermill knows no tuples
    except (ValueError, SyntaxError):
        return text


cli = argparse.ArgumentParser(usage=__doc__.rstrip())
cli.add_argument("notebooks", nargs="*", type=lambda path: Path(path).resolve())
cli.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
args = cli.parse_args()
os.chdir(Path(__file__).resolve().parents[1])  # paths that papermill notes down stay relative
Path("outputs").mkdir(exist_ok=True)
parameters = {name: literal(value) for name, value in args.p}
kernel = dict(kernel_name="python3", config=Config(KernelManager={"transport_encryption": "auto"}))
for path in args.notebooks or sorted(Path("notebooks").glob("*.ipynb")):
    source, target = os.path.relpath(path), Path("outputs", path.name)
    target.with_suffix(".html").unlink(missing_ok=True)  # an earlier run's page is not this one's
    place = dict(cwd=os.path.dirname(source), progress_bar=dict(desc=path.name, mininterval=0))
    try:
        if unknown := parameters.keys() - (known := papermill.inspect_notebook(source)):
            raise SystemExit(f"{source}: no parameter {', '.join(unknown)} in {', '.join(known)}")
        book = papermill.execute_notebook(source, str(target), parameters, **kernel, **place)
    except papermill.PapermillExecutionError as e:
        raise SystemExit(f"{e}\nFAILED {source}, In [{e.exec_count}]: {e.ename}: {e.evalue}") from e
    except (OSError, RuntimeError) as e:  # no such file; the kernel died: often, out of memory
        raise SystemExit(f"FAILED {source}: {e}") from e
    page, _ = HTMLExporter().from_notebook_node(book, {"metadata": {"name": path.stem}})
    target.with_suffix(".html").write_text(page, encoding="utf-8")
    print(f"{source}: {book.metadata.papermill.duration:.0f} s, results in {target} and .html")
