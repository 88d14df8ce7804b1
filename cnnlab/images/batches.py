"""Many pictures, a batch at a time: from an array, or from a dataset that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from cnnlab.images.arrays import require_pixels, whole_number

if TYPE_CHECKING:
    import tensorflow as tf


def in_batches(
    x: np.ndarray | tf.data.Dataset, batch_size: int, name: str = "x"
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Check that these are pictures, and go through them a batch at a time.

    Args:
        x: uint8 or float (n, h, w, channels) in 0…255; or a dataset of batches of them, alone or
            with labels, as `data.stream` makes. Of a dataset each batch is checked when its turn
            comes.
        batch_size: Pictures in a batch. A dataset's batches stay as they are.
        name: The argument's name in messages.

    Returns:
        Pairs of pictures and of the dataset's labels, None where there are none.

    Raises:
        ValueError: No pictures, or of another shape; numbers that `require_pixels` refuses; a
            dataset without an end.
    """
    batch_size = whole_number(batch_size, "batch_size")
    shape_of(x, name)
    if is_dataset(x):
        if int(x.cardinality()) == -1:
            raise ValueError(f"Expected a dataset with an end. Received: {name}, which repeats")
        return _of_dataset(x, name)
    array = cast("np.ndarray", x)
    if len(array) == 0:
        raise ValueError(f"Expected at least one picture. Received: len({name})=0")
    require_pixels(array, name)
    starts = range(0, len(array), batch_size)
    return ((array[start : start + batch_size], None) for start in starts)


def shape_of(x: np.ndarray | tf.data.Dataset, name: str = "x") -> tuple[int | None, ...]:
    """Return the height, width and channels of pictures; None for what differs in a dataset.

    Raises:
        ValueError: They aren't pictures in an array or in a dataset's batches.
    """
    first: Any = x
    if is_dataset(x):
        spec = x.element_spec
        first = spec[0] if isinstance(spec, tuple | list) else spec
    shape = tuple(getattr(first, "shape", np.shape(first) if isinstance(first, list) else ()))
    if len(shape) != 4:
        hint = {3: f"Pass {name}[None] for a single picture, or dataset.batch(32)"}.get(
            len(shape), "Or a dataset of batches of them, with their labels"
        )
        raise ValueError(
            f"Expected pictures of shape (n, height, width, channels). Received: {name} of type "
            f"{type(x).__name__} with shape {shape}. {hint}"
        )
    return shape[1:]


def is_dataset(x: object) -> TypeGuard[tf.data.Dataset]:
    """Tell a `tf.data.Dataset` from an array, without importing TensorFlow."""
    return hasattr(x, "element_spec") and hasattr(x, "cardinality")


def _of_dataset(x: tf.data.Dataset, name: str) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for batch in x:
        pictures, labels, *_ = (*batch, None) if isinstance(batch, tuple | list) else (batch, None)
        pixels = np.asarray(pictures)
        require_pixels(pixels, f"a batch of {name}")
        yield pixels, None if labels is None else np.asarray(labels)
