"""What an array holds, in a word: to tell other pictures from the same ones."""

import hashlib

import numpy as np

_ROWS = 64  # that are looked at, evenly spaced


def digest(array: object) -> str:
    """Shorten the shape, the dtype and some rows of an array or a tensor to eight letters.

    Args:
        array: Of NumPy or TensorFlow, on any device, with at least one axis.
    """
    rows = np.unique(np.linspace(0, max(len(array) - 1, 0), min(len(array), _ROWS)).astype(int))
    if isinstance(array, np.ndarray):
        some = array[rows]
    else:
        import tensorflow as tf

        some = tf.gather(array, rows).numpy()
    found = hashlib.sha256(f"{tuple(array.shape)} {some.dtype}".encode())
    found.update(np.ascontiguousarray(some).tobytes())
    return found.hexdigest()[:8]
