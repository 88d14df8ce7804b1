"""The library under the notebooks: data, models, training and figures that show how a CNN sees.

Import it before TensorFlow: it sets switches that TensorFlow reads only once, when it starts.
"""

import os

__version__ = "0.1.0"

# TensorFlow leaves its faster CPU kernels off on processors without AVX-512 (a third of the speed).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA would try dozens of kernels of its own for every matrix product that it compiles for a GPU: a
# residual network's first step then takes 84 s instead of 38, and its later ones are no faster.
_NO_TRIALS = "--xla_gpu_enable_triton_gemm=false"
if "xla_gpu_enable_triton_gemm" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_NO_TRIALS}".strip()


def start_tensorflow() -> None:
    """Imports TensorFlow without the greeting that its C++ side prints, whatever its log level.

    In a notebook that greeting would stand under the first cell as an error. Python's own errors
    and warnings are not affected.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
