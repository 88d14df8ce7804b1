"""notebooks/run.py: what it makes of its command line, and where it writes."""

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "notebooks" / "run.py"


@pytest.fixture(scope="module")
def script():
    before = os.environ.get("JUPYTER_PREFER_ENV_PATH")
    yield runpy.run_path(str(SCRIPT))
    if before is None:
        os.environ.pop("JUPYTER_PREFER_ENV_PATH", None)


def parameter(default, comment=""):
    return {"name": "NAME", "default": default, "help": comment, "inferred_type_name": "None"}


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        ("false", "True", False),
        ("FALSE", "True", False),
        ("True", "False", True),
        ("5", "0", 5),
        ("-3", "0", -3),
        ("6000", "1.0", 6000),
        ("maybe", "True", "maybe"),  # which the notebook refuses
        ("1e-3", "0.1", 1e-3),
        ("2024", '"gram"', "2024"),
        ("None", '"gram"', "None"),
        ("[32, 64]", "(16, 32)", [32, 64]),
        ("32,64", "(16, 32)", [32, 64]),
        ("16", "None", 16),
        ("relu", "None", "relu"),
        ("{'head': 0.1}", "{'head': 0.2}", {"head": 0.1}),
    ],
)
def test_a_value_is_read_as_text_beside_text_else_as_a_literal(script, text, default, expected):
    found = script["value"](text, parameter(default), Path("/"))
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("default", ['"auto"', "None"])
def test_a_relative_path_starts_where_the_caller_stands(script, tmp_path, default):
    comment = '"auto", "cifar10", or a folder'
    for name in ("2024", "auto"):
        (tmp_path / name).mkdir()
    read = script["value"]
    for text in ("2024", "./2024", "2024/"):
        assert read(text, parameter(default, comment), tmp_path) == str(tmp_path / "2024")
    assert read("auto", parameter(default, comment), tmp_path) == "auto"
    address = "https://example.org/a.jpg"
    assert read(address, parameter(default, comment), tmp_path) == address
    with pytest.raises(ValueError, match=rf"'absent', looked for in {tmp_path} and .*notebooks"):
        read("absent", parameter(default, comment), tmp_path)
    pictures = parameter('"../data/pictures/lake.jpg"')
    assert Path(read("../data/pictures/wind.jpg", pictures, tmp_path)).is_file()


def test_every_parameter_of_every_notebook_takes_its_own_default(script):
    for path in SCRIPT.parent.glob("*.ipynb"):
        for own in script["papermill"].inspect_notebook(str(path)).values():
            text = own["default"]
            text = ast.literal_eval(text) if text.startswith(('"', "'")) else text
            script["value"](text, own, SCRIPT.parent)


def run(*arguments, options=(), **environment):
    return subprocess.run(
        [sys.executable, *options, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=100,
    )


def test_a_name_that_is_nearly_one_is_answered_with_it():
    first = SCRIPT.parent / "01_cifar10_cnn_from_scratch.ipynb"
    done = run(first, "-p", "BATCHSIZE", "20")
    assert done.returncode == 1
    assert "did you mean BATCH_SIZE?" in done.stderr


def test_it_starts_without_docstrings():
    done = run("-h", options=["-OO"])
    assert done.returncode == 0
    assert "-p NAME VALUE" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_that_can_t_be_made_is_named_with_the_option_that_helps(tmp_path):
    (tmp_path / "file").touch()
    done = run("-o", tmp_path / "file" / "new")
    assert done.returncode == 1
    assert "FAILED: expected to write results to" in done.stderr
    assert "-o FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


THING = """class Thing:
    def __repr__(self):
        return "Thing\\n  STAND-IN  these pictures are drawn"
Thing()"""


@pytest.mark.notebook
def test_results_go_to_the_folder_asked_for_and_the_terminal_says_what_goes_on(tmp_path):
    cell = nbformat.v4.new_code_cell
    source = "MIRROR = True  # whether\nDATASET = 'auto'  # 'auto' or a folder"
    book = nbformat.v4.new_notebook(
        cells=[
            cell(source, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_markdown_cell("# Title\n\n## Its `part`"),
            cell(THING),
            cell("print('1 of 2', end='\\r'); print(MIRROR, DATASET)"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}},
    )
    book.metadata["language_info"] = {"name": "python"}
    nbformat.write(book, tmp_path / "small.ipynb")
    done = run(tmp_path / "small.ipynb", "-p", "MIRROR", "false", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (result,) = nbformat.read(tmp_path / "out" / "small.ipynb", 4).cells[-1].outputs
    assert result.text == "False auto\n"
    said = [line.strip() for line in done.stdout.splitlines()]
    assert said[:3] == ["Title", "Its part", "STAND-IN: these pictures are drawn"]
    assert (tmp_path / "out" / "small.html").is_file()
