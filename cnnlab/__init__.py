"""The library under the notebooks: data, models, training and figures that show how a CNN sees.

Import it before TensorFlow: it sets the two switches that TensorFlow only reads when it starts.
"""

import contextlib
import os

__version__ = "0.1.0"

# TensorFlow leaves its faster CPU kernels off on processors without AVX-512 (a third of the speed).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _native_stderr_aside():
    """Keeps C++'s stderr out of sight: TensorFlow greets there, whatever its log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _native_stderr_aside():
    import tensorflow as _tensorflow  # noqa: F401
