"""What the library never does, whatever it is given: run what a file says, or lift a limit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [*sorted((ROOT / "cnnlab").rglob("*.py")), ROOT / "notebooks" / "run.py"]
CALLS = {"eval", "exec", "Lambda", "load", "loads", "system", "Popen", "urlopen"}
KEYWORDS = {"safe_mode": True, "allow_pickle": False, "shell": False}


def unsafe(tree):
    """List calls that run what they are given, and settings that let others do so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.split(".")[-1]
            if last in CALLS and (name in CALLS - {"load"} or name.startswith(("pickle.", "os."))):
                yield node.lineno, name
            if last == "Lambda" or name == "enable_unsafe_deserialization":
                yield node.lineno, name
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if KEYWORDS.get(keyword.arg, value) != value:
                    yield node.lineno, f"{keyword.arg}={value}"
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in map(ast.unparse, targets):
                if target.endswith(("MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES")):
                    yield node.lineno, target


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_runs_what_a_file_says_or_lifts_a_limit(path):
    assert list(unsafe(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(file)",
        "eval(text)",
        "keras.layers.Lambda(f)",
        "keras.saving.load_model(path, safe_mode=False)",
        "np.load(path, allow_pickle=True)",
        "Image.MAX_IMAGE_PIXELS = None",
        "subprocess.run(text, shell=True)",
        "urlopen(address)",
    ],
)
def test_it_would_be_found(line):
    assert list(unsafe(ast.parse(line)))
