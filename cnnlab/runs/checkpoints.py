"""Where a training stands after each whole epoch, on disk, so that a killed one can go on.

Keras's `BackupAndRestore` was tried first. It leaves out the random states of dropout and of
augmentation, the history and the order of the batches, so that other numbers follow; it writes over
the file that it may need; and a full disk ends the training.
"""

import contextlib
import json
import logging
import os
import re
import zipfile
from pathlib import Path

import keras
import numpy as np

from cnnlab.runs.inputs import fingerprint

logger = logging.getLogger(__name__)


class Checkpoint:
    """The newest state of one run: all variables of trainer and optimizer, and how far it came.

    Args:
        folder: Where it lies; made when it is first written.
        name: Of the run.
        identity: All that went into it.
    """

    def __init__(self, folder: Path, name: str, identity: object):
        slug = re.sub(r"\W+", "-", name).strip("-")[:40]
        self._path = folder / f"{slug}-{fingerprint(identity)}.npz"
        self._failed = False

    def exists(self) -> bool:
        return self._path.exists()

    def write(self, trainer: keras.Model, progress: dict) -> None:
        """Write the state; whatever goes wrong, what was written before stays as it was.

        Args:
            trainer: Compiled, in training.
            progress: What else to keep, of what JSON has.
        """
        part = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, *map(_array, _state(trainer)), progress=json.dumps(progress))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            if not self._failed:
                kept = "The one before is kept." if self.exists() else "There is none before it."
                logger.warning(
                    "The checkpoint after epoch %d could not be written (%s). %s The training "
                    "goes on.",
                    progress["epochs"],
                    error.strerror or error,
                    kept,
                )
            self._failed = True
        finally:  # nothing is left of it after an interrupt either
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def read(self, trainer: keras.Model) -> dict | None:
        """Put a trainer into the written state.

        Returns:
            What `write` was told to keep; None, and the trainer as it was, if nothing was written
            or it can't be read, which is said in a warning.
        """
        if not self.exists():
            return None
        optimizer = trainer.optimizer
        if not optimizer.built:
            optimizer.build(trainer.trainable_variables)
        variables = _state(trainer)
        try:
            # Opened here, because NumPy leaves a file open that it can't read.
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                progress = json.loads(str(file["progress"]))
                values = [file[f"arr_{i}"] for i in range(len(variables))]
            if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
                raise ValueError("other shapes than the network's")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning(
                "The checkpoint %s can't be read (%s). The training begins with its first epoch.",
                self._path.name,
                error,
            )
            return None
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return progress

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _state(trainer: keras.Model) -> list[keras.Variable]:
    """List all that training changes, the states of random generators included."""
    return [*trainer.variables, *trainer.optimizer.variables]


def _array(variable: keras.Variable) -> np.ndarray:
    value = np.asarray(keras.ops.convert_to_numpy(variable))
    return value.astype("float32") if value.dtype.kind == "V" else value  # NumPy has no bfloat16
