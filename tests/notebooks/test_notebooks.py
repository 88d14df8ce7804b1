"""The notebooks: what is committed, and what they do when they run.

To assert something about a notebook's results, add an expression to CLAIMS. It is evaluated in the
notebook's own kernel after its last cell, so it may name any variable of the notebook.
"""

from __future__ import annotations

import ast
import datetime
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from changes import ANOTHER, BASE, CHANGES, FOUNDATIONS, NARROW, PREPARE, START, STOPS
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))

# By notebook: parameters that make a test run short.
FIRST = "01_cifar10_cnn_from_scratch"
SECOND = "02_vgg16_transfer_learning"
THIRD = "03_neural_style_transfer"
SMALL: dict[str, dict[str, object]] = {
    FIRST: {"TRAIN_PICTURES": 4000, "EPOCHS": 2},
    SECOND: {
        "WEIGHTS": "shipped", "TRAIN_PICTURES": 320, "VAL_PICTURES": 50,
        "TEST_PICTURES": 80, "PAINT_SIZE": 32, "PAINT_STEPS": 3, "SIZES": [32], "PROBE_EPOCHS": 10,
        "BATCH_SIZE": 16, "SHARE_STEPS": {1.0: [1]}, "SHARE_RATES": [0.04],
    },
    THIRD: {
        "WEIGHTS": "shipped", "HAND_SIZE": 48, "HAND_STEPS": 8, "SIZE": 64, "STEPS": 5,
        "LARGE_SIZE": 96, "NETWORK_STEPS": 16, "CONTENT_LAYERS": ["block3_conv3"],
        # block 4's matrices of 512 × 512 would take most of the time
        "STYLE_LAYERS": {"block1_conv1": 0.1, "block2_conv1": 0.5, "block3_conv1": 0.4},
    },
}  # fmt: skip
# By notebook: Python expressions that are true once it has run with SMALL.
CLAIMS: dict[str, list[str]] = {
    FIRST: [
        # each rung of the ladder learnt something, and the last one most of all
        "[name for name in rungs if rungs[name]][:8] == list(LADDER)",
        "all(run.test_accuracy > 0.2 for name in LADDER for run in rungs[name])",
        "best.test_accuracy > 0.4",
        "best.test_accuracy > rungs['linear'][0].test_accuracy + 0.1",
        # the score is the test set's, whole
        "best.verdict.confusion.sum() == len(pictures.y_test) == 10_000",
        # few pictures without augmentation are learnt by heart
        "[run.history['accuracy'][-1] for run in few_log][0] > 0.8",
        "[run.history['accuracy'][-1] for run in few_log][1] < 0.8",
        # what slides finds what moves; what doesn't, does not
        "np.mean((conv(series[1000:]).numpy()[:, 0] > 0.5) == has_chirp[1000:]) > 0.9",
        "np.mean((dense(series[1000:]).numpy()[:, 0] > 0.5) == has_chirp[1000:]) < 0.75",
        "np.mean((forecast - future[80:]) ** 2) < 0.4 * np.mean((today - future[80:]) ** 2)",
        # a reloaded network says the same
        "float(difference) < 1e-5",
    ],
    SECOND: [
        # the features of pictures that it has never seen tell their classes apart
        "head_scores[parts, 'linear'] > 0.4 and probe_accuracy > 0.4",
        # what is frozen stays, what is free moves, and nothing else
        "set(moved['head'].values()) == {0}",
        "{name[:6] for name, far in moved['blocks 4 and 5'].items() if far}"
        " == {'block4', 'block5'}",
        "min(moved['all'].values()) > 0",
        "[run.parameters for run in log][:3] == sorted({run.parameters for run in log})",
        # fine-tuning keeps what the features knew, and a start from nothing has nothing yet
        "np.mean(tuned_scores['one view']) > 0.3",
        "[list(shares[start]) for start in shares] == [list(SHARE_STEPS)] * 2",
        # five ways are compared on one set of pictures, and its corrupted copies
        "[len(ways), len(views), len(results)] == [5, 5, 25]",
        "results['in stages', 'as they are'].accuracy > 0.2",
        "{len(r.labels) for r in results.values()} == {80}",
        # the control of Grad-CAM has another head on the backbone as it came
        "all(map(np.array_equal, after_stage[best_seed, 'head'][:-2], pretrained[:-2]))",
        # what is taken along says what the network says
        "float(same) > 0.9",
        # the verdict is the test set's, of the best seed
        "verdict.confusion.sum() == len(pictures.y_test) == 80",
        "verdict is reports[best_seed, 'one view']",
        # a reloaded network says the same
        "float(difference) < 1e-4",
    ],
    THIRD: [
        # the first block knows the pixels, the last one doesn't
        "np.mean((rebuilt[0] - small_scene) ** 2) < np.mean((rebuilt[-1] - small_scene) ** 2)",
        "(content_history[-1] < content_history[0]).all()",
        "(texture_history[-1] < texture_history[0]).all()",
        # a Gram matrix forgets places, and a network that has seen shuffled pixels doesn't
        "float(places) < 1e-6",
        "float(moved) > 0.1",
        # content is paid for style
        "history[0, 0] == 0 < history[-1, 0]",
        "history[-1, 1] < history[0, 1]",
        # the figure was updated to the end
        "steps_taken[-1] == STEPS and max(first.image.shape) == SIZE",
        # the more style counts, the closer it gets, and the further the content
        "sorted(r.distances['content'] for r in [*weighed.values()][:3])"
        " == [r.distances['content'] for r in [*weighed.values()][:3]]",
        "[*weighed.values()][0].distances['style'] > [*weighed.values()][2].distances['style']",
        # only the ratio of weights counts
        "np.abs([*weighed.values()][1].image - 1.0 * [*weighed.values()][3].image).mean() < 3",
        # seven styles in one pass, and exercises that wait for an answer
        "len(painted_styles) == 7 and cnnlab.exercises.check(covariance).right is None",
        # equal seconds: each was stopped
        "all(result.stopped for result, _ in races.values())",
        # the painter has learnt, and paints what it never saw, at another size
        "learnt['loss'][-1] < learnt['loss'][0]",
        "glance.shape == frame.shape and 0 <= glance.min() < glance.max() <= 255",
    ],
}
# By notebook: expressions whose value is the same when every cell is run again.
RESULTS: dict[str, list[str]] = {
    FIRST: [
        "[(run.name, run.history['loss']) for run in log if 'val_loss' in run.history]",
        "best.verdict.confusion",
        "answers",
        "np.round(drops, 6)",
    ],
    SECOND: [
        "{name: float(score) for name, score in scores.items()}",
        "[(run.name, run.history['val_accuracy']) for run in log]",
        "verdict.confusion",
        "painted['block3_conv3']",
    ],
    THIRD: [
        "[content_history[-1], texture_history[-1], history[-1]]",
        "[float(places), float(moved)]",
        "first.history",
        "{name: result.distances for name, result in weighed.items()}",
        "np.array([r.image.mean() for r in (*asked.values(), regions, large, portrait_result)])",
        "learnt",
    ],
}

# A few steps are taken sooner than they are traced, with every kind of network and every shape of
# picture anew. (That datasets are traced all the same is said in a warning.)
EAGER = """
__import__("warnings").filterwarnings("ignore", message=".*does not apply to tf.data functions")
__import__("tensorflow").config.run_functions_eagerly(True)
"""
LARGEST_BYTES, LONGEST_CELL, CELL_SECONDS = 2_500_000, 25, 300
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:root|home|work|tmp|Users|opt|content|var|mnt)/[\w.-]+|\b[A-Z]:\\\\?Users\b"
)
# What TensorFlow's native code writes on stderr, whatever its log level, where there is no GPU.
NATIVE_LOG = re.compile(
    r"^(?:WARNING: All log messages before absl|[IWE]\d{4} ).*\n?", re.MULTILINE
)


# ---- What is committed -------------------------------------------------------------------------


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def committed(request: pytest.FixtureRequest) -> NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_lines(cell: NotebookNode) -> list[str]:
    lines = (line.strip() for line in cell.source.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def syntax(cell: NotebookNode) -> ast.Module:
    """Parse a cell, `%magic` and `!command` lines included."""
    return ast.parse(TransformerManager().transform_cell(cell.source))


def faults_in_outputs(cells: Iterable[NotebookNode]) -> list[str]:
    """List the errors and the text on stderr that cells show."""
    outputs = [output for cell in cells for output in cell.outputs]
    errors = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
    return errors + [o.text for o in outputs if o.get("name") == "stderr"]


def test_there_are_notebooks() -> None:
    assert PATHS, "no notebook found, so nothing below tests anything"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_committed_notebook_is_small(path: Path) -> None:
    assert path.stat().st_size < LARGEST_BYTES


def test_committed_outputs_come_from_one_run_from_top_to_bottom(committed: NotebookNode) -> None:
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))


def test_committed_outputs_show_no_error_and_no_stderr(committed: NotebookNode) -> None:
    assert faults_in_outputs(code_cells(committed)) == []


def test_committed_outputs_show_no_path_of_a_machine(committed: NotebookNode) -> None:
    seen = [committed.metadata, [cell.metadata for cell in committed.cells]]
    for output in (output for cell in code_cells(committed) for output in cell.outputs):
        texts = {k: v for k, v in output.get("data", {}).items() if k.startswith("text/")}
        seen.append([output.get("text"), texts])
    assert MACHINE_PATH.findall(json.dumps(seen, ensure_ascii=False)) == []


def test_second_code_cell_holds_the_parameters(committed: NotebookNode) -> None:
    tags = [cell.metadata.get("tags", []) for cell in code_cells(committed)]
    assert [i for i, tag in enumerate(tags) if "parameters" in tag] == [1]
    assert not any("injected-parameters" in tag for tag in tags), "left over from a run with -p"
    statements = syntax(code_cells(committed)[1]).body
    targets = [s.targets[0] if isinstance(s, ast.Assign) else s.target for s in statements]
    assert [target.id for target in targets if not target.id.isupper()] == []
    assert "PRESET" in {target.id for target in targets}


def test_code_cells_are_short(committed: NotebookNode) -> None:
    long = {c.execution_count: len(code_lines(c)) for c in code_cells(committed)}
    assert {n: lines for n, lines in long.items() if lines > LONGEST_CELL} == {}


def test_imports_stand_in_the_first_code_cell_alone(committed: NotebookNode) -> None:
    def imports(cell: NotebookNode) -> bool:
        return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(syntax(cell)))

    assert [i for i, cell in enumerate(code_cells(committed)) if imports(cell)] == [0]


# ---- What they do when they run ----------------------------------------------------------------


class Session:
    """A notebook beside the live kernel that runs it."""

    def __init__(self, path: Path, notebook: NotebookNode, client: NotebookClient) -> None:
        self.path, self.notebook, self.client = path, notebook, client
        self.places = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def value(self, expression: str, *, after: str = "") -> object:
        """Evaluate an expression in the kernel, after some code of the test's own if there is any.

        Plain values, lists and dictionaries come back as they are, NumPy's as plain Python.
        """
        dumps = f"__import__('json').dumps({expression}, default=lambda v: v.tolist())"
        request = self.client.kc.execute(after, user_expressions={"value": dumps})
        reply = self.client.wait_for_reply(request)["content"]
        answer = reply["user_expressions"]["value"] if reply["status"] == "ok" else reply
        assert answer["status"] == "ok", f"{expression}: {answer['ename']}: {answer['evalue']}"
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))


@contextmanager
def opened(path: Path, **changes: object) -> Iterator[Session]:
    """Start a kernel for a notebook, with SMALL and changes as its parameters; run nothing yet."""
    parameters = {"PRESET": "quick"} | SMALL.get(path.stem, {}) | changes
    unknown = parameters.keys() - papermill.inspect_notebook(path)
    assert not unknown, f"{path.name} has no parameter {', '.join(sorted(unknown))}"
    notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.reset_execution_trackers()
    with client.setup_kernel():
        yield Session(path, notebook, client)


def run_cells(session: Session, order: Iterable[int | str] | None = None) -> list[NotebookNode]:
    """Run code cells, and raise where one fails.

    Args:
        session: An opened notebook.
        order: Which cells, in which order: a cell's place among the code cells, from 0, or text
            that it alone contains. None: all of them, from top to bottom.

    Returns:
        The cells with their outputs, in that order.
    """
    order = range(len(session.places)) if order is None else order
    run = []
    for which in order:
        if isinstance(which, str):
            holders = [i for i in session.places if which in session.notebook.cells[i].source]
            assert len(holders) == 1, f"{len(holders)} code cells contain {which!r}"
            place = holders[0]
        else:
            place = session.places[which]
        run.append(session.client.execute_cell(session.notebook.cells[place], place).copy())
    return run


def but_export(session: Session) -> list[int]:
    """List the places of code cells, those left out that write a file for phones, and try it.

    That takes as long as many other cells together, depends on nothing that such a test changes,
    and is claimed to work where the notebook runs as it is.
    """
    sources = [session.notebook.cells[place].source for place in session.places]
    return [
        i for i, source in enumerate(sources) if not re.search(r"\.export\(|tf\.lite\.", source)
    ]


def seconds_of(cell: NotebookNode) -> float:
    """Return how long a cell took when it was last run; 0 if it wasn't."""
    if not (times := cell.metadata.get("execution")):
        return 0.0
    begin, end = (
        datetime.datetime.fromisoformat(times[name].replace("Z", "+00:00"))
        for name in ("iopub.execute_input", "shell.execute_reply")
    )
    return (end - begin).total_seconds()


def results_of(session: Session) -> dict[str, object]:
    return {e: session.value(e) for e in RESULTS[session.path.stem]}


def run_again(session: Session, but: Iterable[int] = ()) -> None:
    """Run every cell again in the kernel that ran it before, and short ones twice in a row.

    Args:
        session: All of whose cells have run.
        but: Places of code cells that are left out, on which no other depends.
    """
    seconds = [seconds_of(cell) for cell in code_cells(session.notebook)]
    places = [i for i in but_export(session) if i not in but]
    run_cells(session, [i for i in places for _ in range(2 if seconds[i] < 4 else 1)])


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """One run of a notebook; its tests share the kernel, and so come in the order below."""
    with opened(request.param) as session:
        run_cells(session)
        yield session


@pytest.mark.notebook
def test_notebook_runs_without_an_error_or_stderr(session: Session) -> None:
    faults = faults_in_outputs(code_cells(session.notebook))
    assert [fault for fault in faults if NATIVE_LOG.sub("", fault).strip()] == []


@pytest.mark.notebook
def test_claims_hold(session: Session) -> None:
    claims = CLAIMS.get(session.path.stem)
    assert claims, f"say in CLAIMS what must be true once {session.path.name} has run"
    assert {claim: session.value(claim) for claim in claims} == dict.fromkeys(claims, True)


@pytest.mark.notebook
@pytest.mark.slow
def test_every_cell_run_again_gives_the_same_results(session: Session) -> None:
    if session.path.stem != THIRD:
        pytest.skip("on folders of few pictures, below")
    expected = results_of(session)
    several = re.compile(r"= (compare|timed)\(|: timed\(|train_painter\(")
    cells = enumerate(code_cells(session.notebook))
    long = [i for i, cell in cells if several.search(cell.source)]
    run_again(session, but=long[1:])  # of the comparisons, which do the same, one
    assert results_of(session) == expected


@pytest.mark.notebook
def test_a_changed_learning_rate_adds_a_curve_and_the_same_one_adds_none(session: Session) -> None:
    if session.path.stem != FIRST:
        pytest.skip("about the ladder of the first notebook")
    curves = "[run.history['loss'] for run in log if run.name == 'plain CNN']"
    training_cell = 'rung("plain CNN"'
    (before,) = session.value(curves)
    run_cells(session, [training_cell])
    assert session.value(curves) == [before]
    session.value("LEARNING_RATE", after="LEARNING_RATE *= 3")
    run_cells(session, [training_cell])
    old, new = session.value(curves)
    assert old == before
    assert new != before


def folder_of_pictures(folder: Path, colors: dict[str, tuple[int, int, int]], count: int) -> str:
    """Write a folder with a class for each colour: small and large pictures, wide and tall ones."""
    rng = np.random.default_rng(0)
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.normal(0, 40, size=(rng.integers(21, 90), rng.integers(21, 90), 3))
            picture = np.clip(noise + color, 0, 255).astype(np.uint8)
            suffix = ("png", "jpg", "bmp")[i % 3]
            Image.fromarray(picture).save(folder / name / f"{i}.{suffix}")
    return str(folder)


def change_parameters(session: Session, **values: object) -> None:
    """Run the parameters' cell with some other values written there, and the next one."""
    cell = code_cells(session.notebook)[1].source
    values = {"PRESET": "quick"} | SMALL.get(session.path.stem, {}) | values
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    session.value("PRESET", after="\n".join([cell, *lines]))
    run_cells(session, ["cnnlab.parameters.settle("])


def test_every_parameter_has_a_change(committed: NotebookNode, request) -> None:
    stem = request.node.callspec.params["committed"].stem
    if stem not in CHANGES:
        pytest.skip("no changes yet")
    statements = syntax(code_cells(committed)[1]).body
    assert {s.targets[0].id for s in statements} == set(CHANGES[stem])


@pytest.mark.notebook
@pytest.mark.slow
def test_a_change_takes_effect_with_three_cells(session: Session, tmp_path: Path) -> None:
    stem = session.path.stem
    if stem not in CHANGES:
        pytest.skip("no changes yet")
    rust, moss, ash = (170, 60, 30), (40, 160, 60), (90, 90, 90)
    three = folder_of_pictures(tmp_path / "three", {"rust": rust, "moss": moss, "ash": ash}, 24)
    paths = {"{folder}": folder_of_pictures(tmp_path / "two", {"rust": rust, "ash": ash}, 24)}
    paths["{picture}"] = str(tmp_path / "red.png")
    Image.new("RGB", (50, 50), (250, 0, 0)).save(paths["{picture}"])
    paths["{weights}"] = str(tmp_path / "mine.npz")
    np.savez(paths["{weights}"])
    base = ({"DATASET": three} if "DATASET" in CHANGES[stem] else {}) | BASE[stem]
    change_parameters(session, **base)
    session.value("None", after=PREPARE[stem])
    run_cells(session, START[stem])
    before = {effect: session.value(effect) for _, _, effect, _ in CHANGES[stem].values()}
    without = {}
    for name, (value, cells, effect, becomes) in CHANGES[stem].items():
        change_parameters(session, **base | {name: paths.get(str(value), value)})
        run_cells(session, cells)
        after = session.value(effect)
        if after == before[effect] or becomes not in (ANOTHER, after):
            without[name] = after
        if cells and cells[0] in FOUNDATIONS:
            change_parameters(session, **base)
            run_cells(session, cells[:1])
    assert without == {}


@pytest.mark.notebook
@pytest.mark.slow
def test_after_stop_later_cells_go_on_or_say_which_cell_is_missing(session: Session) -> None:
    stops = STOPS.get(session.path.stem)
    if not stops:
        pytest.skip("no stops yet")
    at_first_batch = """
def pressed(*_, **__):
    raise KeyboardInterrupt
callbacks = keras.src.callbacks.callback_list.CallbackList
on_batch, callbacks.on_train_batch_begin = callbacks.on_train_batch_begin, pressed
"""
    for training, going_on, missing in stops:
        session.value("None", after=at_first_batch)
        run_cells(session, [training])
        session.value("None", after="callbacks.on_train_batch_begin = on_batch")
        for cell in going_on:
            run_cells(session, [cell])
        for cell, sentence in missing.items():
            with pytest.raises(CellExecutionError, match=sentence):
                run_cells(session, [cell])


@pytest.mark.notebook
def test_a_wrong_value_stops_in_the_next_cell_with_one_sentence(session: Session) -> None:
    if session.path.stem not in CHANGES:
        pytest.skip("no changes yet")
    with pytest.raises(CellExecutionError):
        change_parameters(session, SEED="a")
    (cell,) = (c for c in code_cells(session.notebook) if "cnnlab.parameters.settle(" in c.source)
    (error,) = (output for output in cell.outputs if output.output_type == "error")
    assert error.evalue.startswith("Expected SEED to be a whole number in 0…")
    assert error.evalue.endswith("Received: SEED='a'")
    own_line, sentence = error.traceback
    assert "cnnlab.parameters.settle(" in own_line
    assert sentence == f"ParameterError: {error.evalue}"
    change_parameters(session)  # and a right one goes on


@pytest.mark.notebook
@pytest.mark.slow
def test_the_second_notebook_runs_on_a_folder_of_any_pictures(tmp_path: Path) -> None:
    colors = {"ash": (90, 90, 90), "moss": (40, 160, 60), "rust": (170, 60, 30)}
    mine = folder_of_pictures(tmp_path / "mine", colors, 14)
    (path,) = (path for path in PATHS if path.stem == SECOND)
    with opened(path, DATASET=mine, FOLDER_SIZE=40) as session:
        cells = code_cells(session.notebook)
        (vgg,) = (i for i, cell in enumerate(cells) if "vgg = models.vgg16(" in cell.source)
        run = run_cells(session, range(vgg))
        session.value("None", after=NARROW)
        run += run_cells(session, [i for i in but_export(session) if i >= vgg])
        faults = faults_in_outputs(run)
        assert [fault for fault in faults if NATIVE_LOG.sub("", fault).strip()] == []
        assert session.value("classes") == ["ash", "moss", "rust"]
        assert session.value("network.input_shape") == [None, 40, 40, 3]
        assert session.value("verdict.confusion.shape") == [3, 3]
        assert session.value("np.mean(tuned_scores['one view']) > 0.5")
        expected = results_of(session)
        run_again(session)
        assert results_of(session) == expected


@pytest.mark.notebook
@pytest.mark.slow
def test_the_first_notebook_runs_on_folders_of_few_pictures(tmp_path: Path) -> None:
    ash, moss, rust = (90, 90, 90), (40, 160, 60), (170, 60, 30)
    three = folder_of_pictures(tmp_path / "three", {"ash": ash, "moss": moss, "rust": rust}, 14)
    two = folder_of_pictures(tmp_path / "two", {"ash": ash, "rust": rust}, 100)
    (path,) = (path for path in PATHS if path.stem == FIRST)
    small = {"TRAIN_PICTURES": 1.0, "EPOCHS": 1, "WIDTHS": [8, 16], "CNN_WIDTHS": [8, 8, 8]}
    races = {"FAST_EPOCHS": 1, "BEST_EPOCHS": 1}
    with opened(path, DATASET=three, **small) as session:
        cells = code_cells(session.notebook)
        (data,) = (i for i, cell in enumerate(cells) if "pictures = data.load(" in cell.source)
        run_cells(session, range(5))  # as far as the photo; section 1 knows nothing of the pictures
        session.value("None", after=EAGER)
        for folder, more in ((three, races), (two, {})):
            change_parameters(session, DATASET=folder, **small, **more)
            faults = faults_in_outputs(run_cells(session, range(data, len(cells))))
            assert [fault for fault in faults if NATIVE_LOG.sub("", fault).strip()] == []
            names = ["ash", "moss", "rust"] if folder == three else ["ash", "rust"]
            assert session.value("list(pictures.classes)") == names
            assert session.value("best.verdict.confusion.shape") == [len(names)] * 2
            last = session.value("[run.name for run in log][-1]")
            assert last == ("96 %" if more else "without the schedule")
