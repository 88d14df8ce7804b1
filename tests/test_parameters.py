"""The table of parameters: what it refuses, what it makes plain, and whether it is complete."""

import ast
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnlab.parameters import KINDS, Kind, ParameterError, settle

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
RATES = ("head", "blocks 4 and 5", "all")
OTHERS = {"SEED": 0, "DATASET": "cifar10", "STEM_STRIDE": 2}  # on which some kinds depend
PRESETS = {"quick": {"DEPTH": 1, "SEEDS": 1}, "full": {"DEPTH": 2, "SEEDS": 3}}


def settled(**parameters):
    namespace = {"PRESET": "quick", "SEED": 0} | parameters
    settle(namespace, PRESETS, auto="quick")
    return namespace


def cells(path):
    """Return the sources of a notebook's second and third code cell: parameters, and presets."""
    book = json.loads(path.read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    return code[1], code[2]


def defaults(path):
    statements = ast.parse(cells(path)[0]).body
    return {s.targets[0].id: ast.literal_eval(s.value) for s in statements}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRESET", "fulll"),
        ("PRESET", None),
        ("SEED", "a"),
        ("SEED", -1),
        ("SEED", 2**32),
        ("SEED", 1.0),
        ("SEED", True),
        ("SEED", None),
        ("SEEDS", ()),
        ("SEEDS", (0, 0)),
        ("SEEDS", 0),
        ("SEEDS", "01"),
        ("CROP", -1),
        ("CROP", 32),
        ("CROP", 2.5),
        ("CUTOUT", 33),
        ("WIDTHS", []),
        ("WIDTHS", 64),
        ("WIDTHS", (16, 0)),
        ("WIDTHS", (16, "32")),
        ("WIDTHS", (16,) * 6),
        ("CNN_WIDTHS", []),
        ("CNN_WIDTHS", (16,) * 4),
        ("LEARNING_RATE", "0.1"),
        ("LEARNING_RATE", 0),
        ("LEARNING_RATE", math.nan),
        ("LEARNING_RATE", math.inf),
        ("LEARNING_RATE", True),
        ("LEARNING_RATE", None),
        ("PEAK_LEARNING_RATE", -0.1),
        ("RATE_FACTORS", (1, 0)),
        ("EPOCHS", 0),
        ("EPOCHS", True),
        ("EPOCHS", math.nan),
        ("FAST_EPOCHS", 2.5),
        ("BATCH_SIZE", 0),
        ("BATCH_SIZE", "32"),
        ("DEPTH", 0),
        ("DEVICES", 0),
        ("LABEL_SMOOTHING", 2),
        ("LABEL_SMOOTHING", 1),
        ("FAST_WIDTHS", (8, 8)),
        ("TRAIN_PICTURES", 0),
        ("TRAIN_PICTURES", 1.5),
        ("TRAIN_PICTURES", True),
        ("VAL_PICTURES", 0.0),
        ("RATES", {"head": 0.1}),
        ("RATES", 0.1),
        ("RATES", dict.fromkeys(RATES, -1.0)),
        ("STAGE_EPOCHS", (1, 1)),
        ("STAGE_EPOCHS", (1, 1, 0)),
        ("SHARE_STEPS", {2: (5,)}),
        ("SHARE_STEPS", {0.1: ()}),
        ("SHARE_STEPS", {"a": (5,)}),
        ("SHARE_STEPS", {}),
        ("SHARE_STEPS", (5, 20)),
        ("SHARE_RATES", (0.1, 0)),
        ("SIZES", 64),
        ("SIZES", (16,)),
        ("FACTORS", 3),
        ("FACTORS", (0, 3)),
        ("HAND_SIZE", 8),
        ("STEPS", 0),
        ("START", "painting"),
        ("MIRROR", "false"),
        ("MIRROR", 0),
        ("STYLE_LOSS", "garm"),
        ("STYLE_LAYERS", ("block6_conv1",)),
        ("CONTENT_LAYERS", "block4_conv2"),
        ("STYLE_WEIGHT", -1.0),
        ("WEIGHTS", "imagenett"),
        ("WEIGHTS", None),
        ("WEIGHTS", ""),
        ("WEIGHTS", __file__),
        ("STEM_STRIDE", 0),
        ("STEM_STRIDE", 64),
        ("FOLDER_SIZE", 16),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_as_written_with_what_was_expected(name, value):
    with pytest.raises(ParameterError) as error:
        settled(**OTHERS | {name: value})
    message = str(error.value)
    assert message.startswith(f"Expected {name} to be ")
    assert f". Received: {name}={value!r}" in message
    assert len(message) < 400
    assert error.value._render_traceback_()[-1] == f"ParameterError: {message}"


def test_the_range_is_said():
    with pytest.raises(ParameterError, match=r"CROP to be a whole number in 0…31 \(the pictures"):
        settled(**OTHERS, CROP=-1)
    with pytest.raises(ParameterError, match="'auto', 'quick', 'full'"):
        settled(PRESET="fulll")
    with pytest.raises(ParameterError, match="BATCH_SIZE to be a whole number of at least 1"):
        settled(BATCH_SIZE=0)
    with pytest.raises(ParameterError, match=r"in 1…8, a quarter of the pictures' 32 pixels"):
        settled(**OTHERS | {"STEM_STRIDE": 9})
    with pytest.raises(ParameterError, match=r"WIDTHS .*1 to 3 .*with STEM_STRIDE=8 .* 4 pixels"):
        settled(**OTHERS | {"STEM_STRIDE": 8, "WIDTHS": (8,) * 4})
    with pytest.raises(ParameterError, match=r"the path of a file \.h5 or \.npz"):
        settled(WEIGHTS=__file__)
    for name in ("DATASET", "PICTURE"):
        with pytest.raises(ParameterError, match=f"{name}='' can't be used. Expected .* empty"):
            settled(**{name: ""})
    with pytest.raises(ParameterError, match="a list of 3 values, each a whole number"):
        settled(STAGE_EPOCHS=(1, 1))


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("WIDTHS", [16, 32], (16, 32)),
        ("WIDTHS", np.array([16, 32]), (16, 32)),
        ("STAGE_EPOCHS", [1, np.int64(1), 8], (1, 1, 8)),
        ("SHARE_STEPS", {"1.0": [5], 0.1: [2, 4]}, {0.1: (2, 4), 1.0: (5,)}),
        ("STYLE_LAYERS", ["block1_conv1", "block5_pool"], ("block1_conv1", "block5_pool")),
        ("FACTORS", [1, 3], (1.0, 3.0)),
        ("EPOCHS", np.int32(3), 3),
        ("EPOCHS", 10**6, 10**6),
        ("LEARNING_RATE", 1, 1.0),
        ("LEARNING_RATE", np.float32(0.5), 0.5),
        ("LABEL_SMOOTHING", 0, 0.0),
        ("TRAIN_PICTURES", 10, 10),
        ("TRAIN_PICTURES", 1.0, 1.0),
        ("TRAIN_PICTURES", np.float64(0.5), 0.5),
        ("VAL_PICTURES", None, None),
        ("DEVICES", None, None),
        ("MIRROR", np.True_, True),
        ("SEEDS", [7, 5], (7, 5)),
        ("SEEDS", 2, (3, 4)),
        ("SEEDS", None, (3,)),
        ("DEPTH", None, 1),
        ("CROP", 31, 31),
        ("CUTOUT", 32, 32),
        ("WIDTHS", (8,) * 5, (8,) * 5),
        ("CNN_WIDTHS", (8,) * 3, (8,) * 3),
    ],
)
def test_a_right_value_is_made_plain(name, value, plain):
    found = settled(**OTHERS | {"SEED": 3, name: value})[name]
    assert (found, type(found)) == (plain, type(plain))
    if isinstance(plain, tuple):
        assert [type(item) for item in found] == [type(item) for item in plain]


def test_presets_fill_in_what_is_none_and_nothing_else():
    namespace = {"PRESET": "auto", "SEED": 5, "DEPTH": None, "SEEDS": None, "other": None}
    assert settle(namespace, PRESETS, auto="full") == "full"
    assert namespace == {"PRESET": "auto", "SEED": 5, "DEPTH": 2, "SEEDS": (5, 6, 7), "other": None}
    again = {"PRESET": "quick", "SEED": 5, "DEPTH": 3, "SEEDS": None}
    assert settle(again, PRESETS, auto="full") == "quick"
    assert (again["DEPTH"], again["SEEDS"]) == (3, (5,))


def test_nothing_is_changed_where_something_is_wrong():
    namespace = {"PRESET": "quick", "SEED": 0, "DEPTH": None, "EPOCHS": 0}
    with pytest.raises(ParameterError):
        settle(namespace, PRESETS, auto="quick")
    assert namespace["DEPTH"] is None


def test_a_folder_is_read_before_anything_else_and_says_how_large_pictures_are(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (9, 9), (40 * i, 0, 0)).save(tmp_path / "mine" / name / f"{i}.png")
    folder = str(tmp_path / "mine")
    assert settled(DATASET=folder, CROP=63)["CROP"] == 63
    assert settled(DATASET=Path(folder), FOLDER_SIZE=40, CROP=39)["DATASET"] == folder
    with pytest.raises(ParameterError, match=r"0…39 \(the pictures have 40 pixels a side\)"):
        settled(DATASET=folder, FOLDER_SIZE=40, CROP=40)
    with pytest.raises(
        ParameterError, match=r"DATASET='.*mime' can't be used\. Expected .* folder"
    ):
        settled(DATASET=str(tmp_path / "mime"))
    (tmp_path / "mine" / "a" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with pytest.raises(ParameterError, match=r"(?s)can't be used\. .*1\.png"):
        settled(DATASET=folder)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("TRAIN_PICTURES", {"TRAIN_PICTURES": 9}),
        ("TRAIN_PICTURES", {"TRAIN_PICTURES": 1e-5}),
        ("TRAIN_PICTURES", {"TRAIN_PICTURES": 45_001, "VAL_PICTURES": 5000}),
        ("VAL_PICTURES", {"VAL_PICTURES": 1.0, "TRAIN_PICTURES": 1.0}),
        ("VAL_PICTURES", {"VAL_PICTURES": 50_001}),
        ("TEST_PICTURES", {"TEST_PICTURES": 3}),
        ("VAL_PICTURES", {"VAL_PICTURES": 3, "TEST_PICTURES": 10**6, "TRAIN_PICTURES": 10**6}),
        ("TRAIN_PICTURES", {"DATASET": "mine", "TRAIN_PICTURES": 0.1}),
        ("TRAIN_PICTURES", {"DATASET": "mine", "TRAIN_PICTURES": 1, "TEST_PICTURES": 10**6}),
        ("VAL_PICTURES", {"DATASET": "mine", "VAL_PICTURES": 0.9}),
        ("VAL_PICTURES", {"DATASET": "mine", "VAL_PICTURES": 1, "TEST_PICTURES": 10**6}),
    ],
)
def test_numbers_that_leave_a_class_without_pictures_are_named(name, others, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("a", "b"):
        Path("mine", kind).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (9, 9), (40 * i, 0, 0)).save(Path("mine", kind, f"{i}.png"))
    with pytest.raises(ParameterError, match=name) as error:
        settled(**{"DATASET": "cifar10"} | others)
    assert "size=" not in str(error.value)
    assert repr(others[name]) in str(error.value)


@pytest.mark.parametrize("name", ["PICTURE", "CONTENT", "STYLE", "SECOND_STYLE"])
def test_a_picture_is_read_before_anything_else(tmp_path, name):
    Image.new("RGB", (9, 9)).save(tmp_path / "fine.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    settled(**{name: str(tmp_path / "fine.png")})
    for wrong, why in (("absent.png", "no file of that name"), ("broken.jpg", "broken.jpg")):
        with pytest.raises(ParameterError, match=rf"{name}='.*{wrong}' can't be used\. .*{why}"):
            settled(**{name: str(tmp_path / wrong)})
    with pytest.raises(ParameterError, match=f"{name}=3 can't be used. Expected a path"):
        settled(**{name: 3})


# ---- The notebooks -----------------------------------------------------------------------------


def test_every_parameter_of_every_notebook_is_declared_and_no_other():
    named = {name for path in NOTEBOOKS for name in defaults(path)}
    assert named - {"PRESET"} == set(KINDS)


@pytest.mark.parametrize("preset", ["quick", "full"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_values_of_every_preset_are_right(path, preset, monkeypatch):
    monkeypatch.chdir(path.parent)
    tree = ast.parse(cells(path)[1])
    tree.body = [node for node in tree.body if isinstance(node, ast.Assign)][:2]
    namespace = defaults(path) | {"PRESET": preset}
    tree.body = [node for node in tree.body if node.targets[0].id in ("own_folder", "PRESETS")]
    exec(compile(tree, path.name, "exec"), namespace)
    assert settle(namespace, namespace["PRESETS"], auto="quick") == preset
    left = [name for name in defaults(path) if namespace[name] is None]
    assert set(left) <= {"PICTURE"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_value_within_a_comment_s_range_is_refused(path):
    checked = 0
    for line in cells(path)[0].splitlines():
        name, span = line.split(" ")[0], re.search(r"(?<!in )\b([\d.e,-]+)…([\d.,e-]+)", line)
        if not span:
            continue
        kind = KINDS[name] if isinstance(KINDS[name], Kind) else KINDS[name](OTHERS)
        for end in span.groups():
            value = ast.literal_eval(end.strip(",").replace(",", ""))
            if "one or more" not in kind.expected and "dictionary" not in kind.expected:
                share = name.endswith("_PICTURES")
                kind.read((value or 0.01) if share else value)
                checked += 1
    assert checked > 10
