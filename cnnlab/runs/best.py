"""The weights after the epoch that was best on validation, for a training that is stopped."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np


class Best:
    """The best epoch so far: by its accuracy on validation, else by its loss there.

    Without validation there is none.
    """

    def __init__(self):
        self._score, self._words = -np.inf, ""
        self._weights: list[np.ndarray] = []

    def compare(self, trainer: keras.Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Keep the weights if the epoch that just ended, counted from 1, is better than others."""
        signs = {"val_accuracy": 1, "val_loss": -1}
        scores = [sign * float(logs[metric]) for metric, sign in signs.items() if metric in logs]
        if scores and scores[0] > self._score:
            self._score, self._weights = scores[0], trainer.get_weights()
            self._words = f"epoch {epoch}, the best on validation"

    def put_into(self, trainer: keras.Model) -> str:
        """Give a model these weights and say so; empty, and nothing done, if there are none."""
        if not self._weights:
            return ""
        trainer.set_weights(self._weights)
        return f"the network is as it was after {self._words}"
