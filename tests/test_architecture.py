"""The house: which room may import which, where a name is found, how long a file may be.

Every rule reads source code, notebooks' cells included, and imports nothing. A break of a rule is
reported as file:line, for a notebook as file:cell:line.
"""

import ast
import functools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]

# A room and the rooms that it may import, under `if TYPE_CHECKING` and in functions too.
ARROWS = {
    "data": {"images", "sources"},
    "evaluation": {"images", "layers"},
    "exercises": set(),
    "images": set(),
    "interpret": {"evaluation", "images", "layers"},
    "layers": set(),
    "models": {"sources"},
    "parameters": {"data", "images"},
    "plots": set(),
    "runs": set(),
    "sources": set(),
    "style": {"images", "layers", "models", "training"},
    "training": {"layers"},
    "transfer": {"images", "layers", "models", "training"},
}
WITHOUT_KERAS = (
    "data",
    "images",
    "parameters",
    "sources",
    "plots",
)  # until a function that needs it is called
KERAS = ("keras", "tensorflow")
MODULE_LINES, FUNCTION_LINES = 320, 60
CLEAR_ROOMS = ("style",)  # few types, and calls that say what they hand over


class Source(NamedTuple):
    """A file, or a notebook's cell, and the room that it belongs to: None for a notebook."""

    name: str
    room: str | None
    is_entry: bool
    text: str
    tree: ast.Module


class Import(NamedTuple):
    """A module's full name and the name that is taken from it, None for `import module`."""

    line: int
    module: str
    name: str | None
    alias: str


@functools.cache
def parse(text: str) -> ast.Module:
    return ast.parse(text)


def library(root: Path) -> list[Source]:
    """Parse every file of every room."""
    sources = []
    for path in sorted((root / "cnnlab").rglob("*.py")):
        parts = path.relative_to(root / "cnnlab").with_suffix("").parts
        if len(parts) == 1 and parts[0].startswith("_"):
            continue  # the package itself
        is_entry = len(parts) == 1 or parts[1:] == ("__init__",)
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        sources.append(Source(name, parts[0], is_entry, text, parse(text)))
    return sources


def notebooks(root: Path) -> list[Source]:
    """Parse every code cell of every notebook, without its magic commands."""
    sources = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                lines = "".join(cell["source"]).split("\n")
                python = (re.sub(r"^\s*[%!].*", "", line) for line in lines)
                text = "\n".join(python)
                name = f"{path.relative_to(root).as_posix()}:{number}"
                sources.append(Source(name, None, False, text, parse(text)))
    return sources


def entries(sources: list[Source]) -> dict[str, Source]:
    return {source.room: source for source in sources if source.is_entry}


def imports(source: Source, within: ast.AST | None = None) -> Iterator[Import]:
    """List the imports of a file, wherever they stand; relative ones by their full name."""
    package = Path(source.name).with_suffix("").parts[:-1]
    for node in ast.walk(within or source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None, alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            for alias in node.names:
                yield Import(node.lineno, module, alias.name, alias.asname or alias.name)


def rooms_used(source: Source) -> Iterator[tuple[Import, str, tuple[str, ...]]]:
    """List the imports from rooms: with the room, and the path of modules and name inside it."""
    for found in imports(source):
        path = tuple(found.module.split("."))
        if path[0] == "cnnlab":
            path = (*path[1:], *filter(None, [found.name]))
            if path and not path[0].startswith("_") and path[0] != "start_tensorflow":
                yield found, path[0], path[1:]


def exports(entry: Source) -> dict[str, int]:
    """Read `__all__`, the last one: each name and its line."""
    listed = {}
    for node in entry.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = {item.value: item.lineno for item in node.value.elts}
    return listed


def definitions(source: Source) -> set[str]:
    """List what a module defines itself, at its top."""
    names = set()
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


# ---- The rules ---------------------------------------------------------------------------------


def wrong_arrows(root: Path) -> list[str]:
    """No room imports one that the table doesn't give it; none imports the whole package."""
    wrong = []
    for source in library(root):
        for found, room, _ in rooms_used(source):
            if room != source.room and room not in ARROWS.get(source.room, ()):
                wrong.append(f"{source.name}:{found.line}: {source.room} -> {room}")
        for found in imports(source):
            if found.module == "cnnlab" and found.name is None:
                wrong.append(f"{source.name}:{found.line}: import of the whole package")
    return wrong


def side_doors(root: Path) -> list[str]:
    """Rooms and notebooks import from other rooms, not from modules of theirs.

    Inside a room its modules import each other by module, not through the room.
    """
    sources = library(root)
    doors = entries(sources)
    modules = {room: set() for room in doors}
    for source in sources:
        if not source.is_entry:
            modules[source.room].add(Path(source.name).stem)

    def is_open(room: str, path: tuple[str, ...]) -> bool:
        if room not in doors or len(path) > 1:
            return False
        names = exports(doors[room]) or definitions(doors[room])
        return not path or (path[0] in names and not path[0].startswith("_"))

    wrong = []
    for source in [*sources, *notebooks(root)]:
        aliases = {}
        for found, room, path in rooms_used(source):
            address = ".".join(("cnnlab", room, *path))
            if room != source.room:
                if not is_open(room, path):
                    wrong.append(f"{source.name}:{found.line}: {address}")
                elif not path:
                    aliases[found.alias.split(".")[-1]] = room
            elif not source.is_entry and not (path and path[0] in modules[room]):
                wrong.append(f"{source.name}:{found.line}: {address}, through its own room")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                room = aliases.get(node.value.id)
                if room and node.attr in modules[room] and node.attr not in exports(doors[room]):
                    wrong.append(f"{source.name}:{node.lineno}: cnnlab.{room}.{node.attr}")
    return wrong


def second_addresses(root: Path) -> list[str]:
    """A room exports what its own modules define, each thing under one name."""
    sources = library(root)
    modules = {s.name.removesuffix(".py").replace("/", "."): s for s in sources}
    wrong = []
    for room, entry in entries(sources).items():
        listed, taken = exports(entry), {}
        if not entry.name.endswith("__init__.py"):
            strangers = set(listed) - definitions(entry)
            wrong += [f"{entry.name}:{listed[name]}: {name}, not its own" for name in strangers]
            continue
        for found in imports(entry):
            if found.module == "cnnlab" and found.name and found.name.startswith("_"):
                continue
            home = modules.get(found.module)
            if home is None or home.room != room or found.name not in definitions(home):
                wrong.append(f"{entry.name}:{found.line}: {found.alias}, defined elsewhere")
            if found.alias not in listed:
                wrong.append(f"{entry.name}:{found.line}: {found.alias}, not in __all__")
            if taken.setdefault((found.module, found.name), found.alias) != found.alias:
                wrong.append(f"{entry.name}:{found.line}: {found.alias}, a second name")
    return wrong


def undescribed_rooms(root: Path) -> list[str]:
    """A room begins with a docstring, and a package with `__all__` as well."""
    wrong = []
    for entry in entries(library(root)).values():
        if not ast.get_docstring(entry.tree):
            wrong.append(f"{entry.name}:1: no docstring")
        if entry.name.endswith("__init__.py") and not exports(entry):
            wrong.append(f"{entry.name}:1: no __all__")
    return wrong


def heavy_imports(root: Path) -> list[str]:
    """Rooms that work without TensorFlow and Keras don't load them on import.

    Every other room sees first that Keras is set up as it needs it.
    """
    wrong, on_keras, guarded = [], {}, set()
    for source in library(root):
        for node in source.tree.body:
            for found in imports(source, node):
                checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
                inside = isinstance(node, ast.FunctionDef | ast.ClassDef)
                if found.module.split(".")[0] in KERAS and not checking and not inside:
                    if source.room in WITHOUT_KERAS:
                        wrong.append(f"{source.name}:{found.line}: {found.module}")
                    on_keras.setdefault(source.room, f"{source.name}:{found.line}")
                if source.is_entry and (found.module, found.name) == ("cnnlab", "_keras"):
                    guarded.add(source.room) if source.room not in on_keras else None
    unguarded = set(on_keras) - guarded - set(WITHOUT_KERAS)
    return wrong + [f"{on_keras[room]}: before cnnlab._keras" for room in sorted(unguarded)]


def long_modules(root: Path) -> list[str]:
    """No module is longer than MODULE_LINES."""
    lengths = {source.name: len(source.text.splitlines()) for source in library(root)}
    return [f"{name}:{n}: {n} lines" for name, n in lengths.items() if n > MODULE_LINES]


def long_functions(root: Path) -> list[str]:
    """No function is longer than FUNCTION_LINES, its docstring not counted."""
    wrong = []
    for source in library(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    lines -= node.body[0].end_lineno - node.body[0].lineno + 1
                if lines > FUNCTION_LINES:
                    wrong.append(f"{source.name}:{node.lineno}: {node.name}, {lines} lines")
    return wrong


def named_after_functions(root: Path) -> list[str]:
    """No module of a room is named after a function in it."""
    wrong = []
    for source in library(root):
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == Path(source.name).stem:
                wrong.append(f"{source.name}:{node.lineno}: {node.name}")
    return wrong


def riddles(root: Path) -> list[str]:
    """No call in a room of CLEAR_ROOMS has more than four arguments without a name."""
    wrong = []
    for source in library(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and source.room in CLEAR_ROOMS and len(node.args) > 4:
                name = ast.unparse(node.func)
                wrong.append(f"{source.name}:{node.lineno}: {name}, {len(node.args)} arguments")
    return wrong


def many_records(root: Path) -> list[str]:
    """A room of CLEAR_ROOMS has at most eight types that only hold values together."""
    records = {room: [] for room in CLEAR_ROOMS}
    for source in library(root):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and source.room in CLEAR_ROOMS:
                made = [ast.unparse(part) for part in (*node.decorator_list, *node.bases)]
                if any(re.match(r"(\w+\.)?(dataclass|NamedTuple|TypedDict)\b", m) for m in made):
                    records[source.room].append(f"{source.name}:{node.lineno}: {node.name}")
    return [f"{found}, one of {len(r)}" for r in records.values() if len(r) > 8 for found in r]


RULES = (
    wrong_arrows,
    side_doors,
    second_addresses,
    undescribed_rooms,
    heavy_imports,
    long_modules,
    long_functions,
    named_after_functions,
    riddles,
    many_records,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_library_keeps_the_rule(rule):
    broken = rule(ROOT)
    assert not broken, f"{rule.__doc__.splitlines()[0]}\n" + "\n".join(broken)


def test_the_table_names_every_room():
    found = {source.room for source in library(ROOT)}
    assert found == set(ARROWS) == set(cnnlab._ROOMS)


# ---- The rules can fail ------------------------------------------------------------------------

# A rule, the file to break it in, the lines to add at its end, and what is reported.
BREAKS = [
    (wrong_arrows, "plots/canvas.py", "from cnnlab import images", "plots -> images"),
    (wrong_arrows, "runs/log.py", "def f():\n    import cnnlab.layers", "runs -> layers"),
    (
        wrong_arrows,
        "layers.py",
        "if TYPE_CHECKING:\n    from cnnlab.data import x",
        "layers -> data",
    ),
    (wrong_arrows, "sources/places.py", "from ..models import vgg16", "sources -> models"),
    (wrong_arrows, "training/hardware.py", "import cnnlab", "import of the whole package"),
    (side_doors, "data/cifar10.py", "from cnnlab.sources.places import Place", "places.Place"),
    (side_doors, "data/cifar10.py", "from cnnlab.sources import places", "cnnlab.sources.places"),
    (side_doors, "data/cifar10.py", "from cnnlab.images import _flat", "cnnlab.images._flat"),
    (
        side_doors,
        "transfer/features.py",
        "from cnnlab import models as m\nm.pretrained.vgg16()",
        "cnnlab.models.pretrained",
    ),
    (side_doors, "data/folders.py", "from cnnlab.data import load", "through its own room"),
    (
        second_addresses,
        "training/__init__.py",
        "from cnnlab.layers import find",
        "find, defined elsewhere",
    ),
    (
        second_addresses,
        "training/__init__.py",
        "from cnnlab.training.pictures import dataclass",
        "dataclass, defined elsewhere",
    ),
    (
        second_addresses,
        "training/__init__.py",
        "from cnnlab.training.hardware import device as on_device",
        "on_device, a second name",
    ),
    (second_addresses, "layers.py", "from numpy import array\n__all__ = ['array']", "not its own"),
    (undescribed_rooms, "layers.py", None, "no docstring"),
    (undescribed_rooms, "training/__init__.py", None, "no __all__"),
    (heavy_imports, "sources/places.py", "import keras", "keras"),
    (
        heavy_imports,
        "data/cifar10.py",
        "try:\n    import tensorflow.data\nfinally: 0",
        "tensorflow",
    ),
    (heavy_imports, "runs/__init__.py", None, "before cnnlab._keras"),
    (long_modules, "layers.py", "\n" * MODULE_LINES, "lines"),
    (long_functions, "layers.py", "class A:\n    def long(self):" + "\n        0" * 60, "61 lines"),
    (named_after_functions, "training/hardware.py", "def hardware(): 0", "hardware"),
    (riddles, "style/vgg.py", "print(1, 2, 3, 4, *x)", "print, 5 arguments"),
    (many_records, "style/vgg.py", "class Ninth(NamedTuple): 0", "Ninth, one of 9"),
]


@pytest.mark.parametrize(
    ("rule", "file", "lines", "report"), BREAKS, ids=lambda value: getattr(value, "__name__", " ")
)
def test_a_broken_rule_is_found(rule, file, lines, report, tmp_path):
    shutil.copytree(ROOT / "cnnlab", tmp_path / "cnnlab", ignore=shutil.ignore_patterns("*.pyc"))
    path = tmp_path / "cnnlab" / file
    text = path.read_text(encoding="utf-8")
    path.write_text("import keras\n" if lines is None else f"{text}\n{lines}\n", encoding="utf-8")
    found = [line.partition(": ") for line in set(rule(tmp_path)) - set(rule(ROOT))]
    places = [place for place, _, reported in found if report in reported]
    assert len(places) == 1
    assert re.fullmatch(rf"cnnlab/{file}:\d+", places[0])
