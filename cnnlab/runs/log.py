"""The log: what was trained in this kernel, one row a run, and on disk if it has a folder."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

from cnnlab.runs.callback import Run
from cnnlab.runs.failures import is_out_of_memory
from cnnlab.runs.inputs import plain
from cnnlab.runs.records import append, path_of
from cnnlab.runs.table import as_html, as_text

logger = logging.getLogger(__name__)


class RunLog:
    """Runs in the order in which they were first made; shown as a table in a notebook.

    A run made again takes the old one's place: one with the same name, settings and inputs, as far
    as Keras can tell these (`Run.inputs`). Any other is added beside it.

    For TensorBoard give `fit` Keras's callback too, `keras.callbacks.TensorBoard("runs/board")`.

    Args:
        folder: Where each run is also written down when it ends, for `earlier`, and where the
            checkpoints of runs lie that are to go on after a crash. Made when it is needed. None
            for neither. "~" is the user's home.

    Raises:
        ValueError: The folder is no path.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        self._folder = None if folder is None else path_of(folder)
        self._runs: dict[str, Run] = {}
        self._numbers: dict[Run, int] = {}
        self._warned = False

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    @contextlib.contextmanager
    def record(
        self, name: str, network: keras.Model, *, resume: bool = False, **settings
    ) -> Iterator[Run]:
        """Make a `Run` to give to `fit` as a callback, and log it when the block ends.

        Interrupting the kernel inside the block ends the training, not the notebook: the whole
        epochs made so far are logged, the model gets the weights of that of them which was best on
        validation (it keeps what it has learnt if there was none), and the code after the block
        goes on. Where that is another training, let it ask `run.stopped` first. A run
        without a whole epoch isn't logged. A loss that is no number ends the training too.

        Args:
            name: What is trained, in words.
            network: What is trained, by its own `fit` or by that of a trainer that holds it.
            resume: Whether to write a checkpoint into the log's folder after each epoch, and to go
                on from one that a process with the same inputs left when it was killed or stopped:
                with the same numbers as if nothing had happened. Weights, optimizer, random states
                that Keras counts among a model's variables, history and the order of the batches
                are restored; states of other callbacks are not. With other pictures or labels it
                begins anew, where their shapes or some of their rows tell them apart.
            **settings: What tells this run from others of the same name: learning rate, epochs,
                seed.

        Yields:
            The run.

        Raises:
            ValueError: The name is no text or empty; `resume` without a folder; in `fit`, a model
                that doesn't hold the network.
            MemoryError: A step didn't fit into the device's memory; the message names a batch size
                that does, if one was found.
        """
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                "Expected what is trained in words as the run's name, such as 'resnet'. "
                f"Received: name={name!r}"
            )
        if resume and self._folder is None:
            raise ValueError(
                "Expected a log with a folder to keep checkpoints in, such as RunLog('runs'). "
                "Received: resume=True, folder=None"
            )
        checkpoints = self._folder / "checkpoints" if resume and self._folder else None
        run = Run(name, network, settings, checkpoints=checkpoints, keep=self._write)
        try:
            yield run
            run.finish()
        except KeyboardInterrupt:
            run.stop()
        except tf.errors.OpError as error:
            sentence = run.fitting_batch() if is_out_of_memory(error) else ""
            run.fail(error)
            if not sentence:
                raise
            raise MemoryError(sentence) from None
        except Exception as error:
            run.fail(error)
            raise
        if run.history:
            self._runs[json.dumps([name, plain(settings), run.inputs], sort_keys=True)] = run
            self._numbers[run] = len(self._numbers)
            self._write(run)

    def _write(self, run: Run) -> None:
        """Write a logged run down, if there is a folder; if it can't be, say so once and go on."""
        if self._folder is None or run not in self._numbers:
            return
        try:
            append(self._folder, run, self._numbers[run])
        except OSError as error:
            if not self._warned:
                logger.warning(
                    "Runs can't be written to the log's folder (%s). They are kept in this kernel.",
                    error.strerror or error,
                )
            self._warned = True

    def _repr_html_(self) -> str:
        return as_html(self)

    def __repr__(self) -> str:
        return as_text(self)
