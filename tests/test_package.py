"""Importing changes nothing, `start_tensorflow` sets switches, a wheel holds what is needed."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest

import cnnlab

ROOT = Path(__file__).resolve().parents[1]
SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS")
FEWER_TRIALS = "--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=2"


def run(code: str, *, check: bool = True, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    options = {"capture_output": True, "text": True, "timeout": 120} | options
    return subprocess.run(command, check=check, **options)


@pytest.fixture
def no_switches(monkeypatch):
    for switch in SWITCHES:
        monkeypatch.delenv(switch, raising=False)


# ---- Import ------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["import cnnlab", "from cnnlab import data, images, sources"])
def test_importing_changes_nothing(statement, no_switches):
    run(
        "import os, sys; before = dict(os.environ)\n"
        f"{statement}\n"
        "assert dict(os.environ) == before\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )


def test_importing_the_package_loads_no_room():
    code = "import sys, cnnlab; print(*(m for m in sys.modules if m.startswith('cnnlab')))"
    assert run(code).stdout.split() == ["cnnlab"]


def test_a_room_is_loaded_when_it_is_first_asked_for():
    assert run("import cnnlab; print(cnnlab.images.read.__name__)").stdout == "read\n"
    assert run("from cnnlab import images; print(images.read.__name__)").stdout == "read\n"
    assert {"data", "images", "start_tensorflow", "transfer"} <= set(dir(cnnlab))
    with pytest.raises(AttributeError, match="'cnnlab' has no attribute 'model'"):
        cnnlab.model  # noqa: B018


KERAS_ROOMS = "evaluation interpret layers models runs style training transfer".split()


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"backend": "jax"}, "Received: No module named 'jax'"),
        ({"backend": "mistyped"}, "Received: "),
        ({"image_data_format": "channels_first"}, "'image_data_format': 'channels_first'"),
    ],
)
def test_each_room_on_keras_says_that_it_was_set_otherwise(
    settings, received, tmp_path, monkeypatch
):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "jax.py").write_text("raise ImportError(\"No module named 'jax'\")")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    code = f"""
import importlib
for room in {KERAS_ROOMS}:
    try:
        importlib.import_module("cnnlab." + room)
    except ImportError as error:
        print(error)
"""
    lines = run(code).stdout.splitlines()
    assert len(lines) == len(KERAS_ROOMS)
    assert all(line.startswith("Expected Keras with") and received in line for line in lines)


# ---- start_tensorflow --------------------------------------------------------------------------


START = """
import os, sys, cnnlab
cnnlab._has_nvidia_gpu = lambda: True
cnnlab.start_tensorflow(keep_compiled=sys.argv[1])
if sys.stderr:
    os.write(2, b"mine")
import tensorflow as tf
f = tf.function(lambda x: tf.linalg.matmul(x, x) + 1, jit_compile=True)
print(sys.stderr is None, float(f(tf.ones((4, 4)))[0, 0]))
"""


class Starts(NamedTuple):
    """Two processes that compile the same, the second with stderr closed, and what they wrote."""

    first: subprocess.CompletedProcess
    closed: subprocess.CompletedProcess
    programs: list[dict[str, int]]


@pytest.fixture(scope="module")
def starts(tmp_path_factory) -> Starts:
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        for switch in (*SWITCHES, "TF_XLA_FLAGS"):
            patch.delenv(switch, raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        done, programs = [], []
        for closed in ("", " 2>&-"):
            command = ["bash", "-c", f'"$0" -c "$1" "$2"{closed}', sys.executable, START, folder]
            done.append(subprocess.run(command, capture_output=True, text=True, timeout=600))
            programs.append({p.name: p.stat().st_mtime_ns for p in folder.rglob("*.pb")})
    return Starts(*done, programs)


def test_tensorflow_starts_quietly_and_xla_knows_the_flag(starts):
    """XLA ends the process at a flag that it doesn't know."""
    done = starts.first
    silent = not metadata.version("tensorflow").startswith("2.20.")  # it reports at any log level
    assert (done.returncode, done.stdout) == (0, "False 5.0\n")
    assert done.stderr == "mine" if silent else done.stderr.startswith("mine")


def test_tensorflow_starts_with_stderr_closed(starts):
    assert (starts.closed.returncode, starts.closed.stdout) == (0, "True 5.0\n")


@pytest.mark.slow
def test_the_second_process_compiles_nothing(starts):
    """The flags are ones that TensorFlow knows, and programs are written and read again."""
    if not cnnlab._version_in(cnnlab._KNOW_KEPT):
        pytest.skip("no version of TensorFlow that is known to bear it")
    assert starts.programs[0]
    assert starts.programs[0] == starts.programs[1]


def switches(gpu: bool, version: str = "2.21.0") -> list[str | None]:
    code = f"""
import os, cnnlab
from importlib import metadata
cnnlab._has_nvidia_gpu = lambda: {gpu}
metadata.version = {{"tensorflow": {version!r}}}.__getitem__
cnnlab._set_switches()
print([os.environ.get(switch) for switch in {SWITCHES}])
"""
    return ast.literal_eval(run(code).stdout)


def test_switches_leave_what_is_set_already_as_it_is(no_switches, monkeypatch):
    assert switches(gpu=False) == ["1", "3", None]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert switches(gpu=False) == ["0", "0", None]


def test_xla_is_told_only_beside_a_gpu_and_by_versions_that_know_the_flag(no_switches, monkeypatch):
    assert switches(gpu=False)[2] is None
    assert switches(gpu=True)[2] == switches(gpu=True, version="2.20.1")[2] == FEWER_TRIALS
    assert switches(gpu=True, version="2.22.0")[2] is None
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    assert switches(gpu=True)[2] == f"--xla_dump_to=here {FEWER_TRIALS}"
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    kept = "--xla_gpu_enable_triton_gemm=true --xla_gpu_autotune_level=2"
    assert switches(gpu=True)[2] == kept


def kept(folder, version: str) -> list[str | None]:
    code = f"""
import os, sys, types, cnnlab
from importlib import metadata
cnnlab._has_nvidia_gpu = lambda: False
metadata.version = {{"tensorflow": {version!r}}}.__getitem__
config = types.SimpleNamespace(list_physical_devices=lambda kind: [])
cnnlab.quiet = lambda: sys.modules.update(tensorflow=tf) or open(os.devnull)
tf = types.SimpleNamespace(config=config)
cnnlab.start_tensorflow(keep_compiled={str(folder)!r})
print([os.environ.get(switch) for switch in ("XLA_FLAGS", "TF_XLA_FLAGS")])
"""
    return ast.literal_eval(run(code).stdout)


def test_compiled_programs_are_kept_by_versions_that_know_how(no_switches, monkeypatch, tmp_path):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    folder = tmp_path / "new" / "xla"
    assert kept(folder, "2.22.0") == [None, None]
    assert not folder.exists()
    flags = ["--xla_gpu_per_fusion_autotune_cache_dir", "--tf_xla_persistent_cache_directory"]
    flags = [f"{flag}={folder}" for flag in flags]
    assert kept(folder, "2.21.0") == flags
    assert folder.is_dir()
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=elsewhere")
    assert kept(folder, "2.21.0") == [
        f"--xla_dump_to=here {flags[0]}",
        "--tf_xla_persistent_cache_directory=elsewhere",
    ]


def test_quiet_leaves_out_what_native_code_prints_and_nothing_else():
    done = run(
        "import os, sys, cnnlab\n"
        "with cnnlab.quiet():\n    os.write(2, b'native'); print('python')\n"
        "os.write(2, b'after')\n"
    )
    assert (done.stdout, done.stderr) == ("python\n", "after")
    failed = run("import cnnlab\nwith cnnlab.quiet(): 1 / 0", check=False)
    assert "ZeroDivisionError" in failed.stderr


@pytest.fixture
def counterfeit(tmp_path, monkeypatch):
    """A TensorFlow that starts at once, sees two GPUs and notes what it is asked for."""
    (tmp_path / "tensorflow.py").write_text("""
import types
asked = []
config = types.SimpleNamespace(
    list_physical_devices=lambda kind: [kind + ":0", kind + ":1"],
    experimental=types.SimpleNamespace(set_memory_growth=lambda *args: asked.append(args)),
)
""")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")


def test_memory_of_every_gpu_is_taken_as_it_is_needed(counterfeit):
    code = "import cnnlab; cnnlab.start_tensorflow(); import tensorflow; print(tensorflow.asked)"
    assert ast.literal_eval(run(code).stdout) == [("GPU:0", True), ("GPU:1", True)]


def test_a_cell_that_starts_tensorflow_can_be_run_again(counterfeit):
    code = "import warnings; warnings.simplefilter('error'); import cnnlab\n"
    run(code + 2 * "cnnlab.start_tensorflow()\n")


def test_a_start_that_comes_too_late_says_so_once_and_sets_nothing(counterfeit, no_switches):
    code = """
import os, tensorflow, cnnlab
before = dict(os.environ)
cnnlab.start_tensorflow()
cnnlab.start_tensorflow()
assert dict(os.environ) == before
"""
    warned = run(code).stderr
    assert warned.count("Expected cnnlab.start_tensorflow() before TensorFlow") == 1
    assert "<string>:4: UserWarning" in warned


# ---- The wheel ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The files in a wheel that is built without a network."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, isn't installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, folder], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(path).namelist())


def test_a_wheel_holds_the_library_and_nothing_else(wheel):
    library = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cnnlab").rglob("*.py")}
    code = {name for name in wheel if not name.startswith(("cnnlab/shipped/", "cnnlab-"))}
    assert code == library | {"cnnlab/py.typed"}


def test_a_wheel_holds_what_ships_without_the_code_that_made_it(wheel):
    pictures = {f"pictures/{path.name}" for path in (ROOT / "data" / "pictures").glob("*.jpg")}
    weights = {path.name for path in (ROOT / "data").glob("*.npz")}
    assert pictures
    assert weights
    shipped = {f"cnnlab/shipped/{name}" for name in pictures | weights | {"README.md"}}
    assert {name for name in wheel if name.startswith("cnnlab/shipped/")} == shipped
