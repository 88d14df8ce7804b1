"""The library under the notebooks: a room for each task, from finding a file to drawing a figure.

Importing it changes nothing: no environment variable, no TensorFlow. A room is loaded when it is
first asked for, so `import cnnlab` is all that `cnnlab.models.vgg16()` needs. Notebooks call
`start_tensorflow()` in their first cell.
"""

import contextlib
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = ("data", "evaluation", "exercises", "images", "interpret", "layers", "models")
_ROOMS += ("parameters", "plots", "runs", "sources", "style", "training", "transfer")

# XLA would try dozens of kernels of its own for every matrix product that it compiles for a GPU: a
# residual network's first step then takes 84 s instead of 38, and its later ones are no faster. It
# would also check that all kernels tried for a convolution agree (level 4), which only takes time.
# XLA ends the process at a flag that it doesn't know, so only versions seen to know it are told.
_FEWER_TRIALS = ("--xla_gpu_enable_triton_gemm=false", "--xla_gpu_autotune_level=2")
_KNOW_FEWER_TRIALS = ("2.20", "2.21")

# Where XLA keeps what it compiled, and which kernels proved fastest, for the next process.
_KEPT = {
    "XLA_FLAGS": "--xla_gpu_per_fusion_autotune_cache_dir",
    "TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory",
}
_KNOW_KEPT = ("2.21",)


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"cnnlab.{name}")
    raise AttributeError(f"module 'cnnlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})


@functools.cache  # so that a cell can be run again
def start_tensorflow(*, keep_compiled: str | os.PathLike[str] | None = None) -> None:
    """Import TensorFlow quietly, with its fastest CPU kernels, and let it share the GPUs.

    Call this before anything else imports TensorFlow or Keras: TensorFlow reads its switches only
    once, when it starts. A switch that is set in the environment already keeps its value. GPU
    memory is then taken as it is needed, so that several notebooks can be open at once.

    What TensorFlow's C++ side prints while it starts is left out, whatever the log level: in a
    notebook it would stand under the first cell as an error. Afterwards only what ends the process
    is printed there, and by TensorFlow 2.20 a few reports at any log level. Python's own errors and
    warnings are not affected.

    Args:
        keep_compiled: A folder, made if it isn't there, in which XLA keeps its compiled programs
            and its choice of kernels, so that the next process needn't compile them again. It may
            be deleted at any time. Versions of TensorFlow that aren't known to bear that keep
            nothing.

    Warns:
        UserWarning: TensorFlow was imported before, so that its switches stay as they were.
    """
    if "tensorflow" in sys.modules:
        warnings.warn(
            "Expected cnnlab.start_tensorflow() before TensorFlow or Keras is imported. It was "
            "imported already, so its CPU kernels, its log level and XLA's flags stay as they are.",
            stacklevel=2,
        )
    else:
        _set_switches()
        if keep_compiled is not None and _version_in(_KNOW_KEPT):
            _set_kept(os.fspath(keep_compiled))
    with quiet():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    with contextlib.suppress(RuntimeError):  # possible only before the GPUs' first use
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def _set_switches() -> None:
    # TensorFlow leaves its faster CPU kernels off on processors without AVX-512 (a third of the
    # speed).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Only what ends the process. At 2, TensorFlow 2.21 reports an optimisation that it gives up
    # ("remapper failed") as an error, in red under a cell in which nothing is wrong; real errors,
    # running out of memory too, are Python exceptions anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if _has_nvidia_gpu() and _version_in(_KNOW_FEWER_TRIALS):
        flags = os.environ.get("XLA_FLAGS", "")
        new = [flag for flag in _FEWER_TRIALS if flag.split("=")[0] not in flags]
        os.environ["XLA_FLAGS"] = " ".join([flags, *new]).strip()


def _has_nvidia_gpu() -> bool:
    """Look for the driver's device file: Linux's own, or that of Windows's subsystem for it."""
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg"))


def _set_kept(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    for variable, flag in _KEPT.items():
        others = os.environ.get(variable, "")
        if flag not in others:
            os.environ[variable] = f"{others} {flag}={folder}".strip()


def _version_in(known: tuple[str, ...]) -> bool:
    from importlib import metadata  # many modules, needed only beside a GPU

    try:
        version = metadata.version("tensorflow")
    except metadata.PackageNotFoundError:  # a build under another name
        return False
    return ".".join(version.split(".")[:2]) in known


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out, while open, what native code prints on stderr; a notebook would show it in red.

    That is TensorFlow's C++ side, which reports on its work there, LiteRT's too: everything that is
    written to file descriptor 2. Python's own errors and warnings are not affected.
    """
    kept = None
    with contextlib.suppress(OSError):  # closed, as a daemon's may be: nothing to hide
        kept = os.dup(2)
    if kept is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
