"""Temperature scaling: one number that makes a model as sure as it is right, on new pictures too.

A temperature divides all logits. Above 1 it makes every answer more modest, below 1 surer; which
class is the most probable it leaves as it was, and so the accuracy.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2,
https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from cnnlab.evaluation.report import Report

LOWEST, HIGHEST = 0.01, 100.0
# A probability that underflowed to 0 is taken for this one: a logit 87 below the largest.
SMALLEST = np.finfo(np.float32).tiny


def fit_temperature(report: Report) -> float:
    """Find the temperature at which a model's loss on some pictures is lowest.

    Fit it on validation pictures: on those of the training a model is surer than it should be, and
    the test set is there to check the result. The loss has one minimum, because it is convex in
    1 / temperature.

    Args:
        report: Of pictures of known class that weren't trained on.

    Returns:
        The temperature, in 0.01…100: close to 0.01 where all answers are right.
    """
    logits = _logits(report)

    def loss(log_temperature: float) -> float:
        return _report(report, logits, math.exp(log_temperature)).loss

    bounds = math.log(LOWEST), math.log(HIGHEST)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def with_temperature(report: Report, temperature: float) -> Report:
    """Return the report of the same answers with all logits divided by a temperature.

    Logits are the logarithms of probabilities, up to a constant that the softmax takes out again,
    so that none have to be kept.

    Args:
        report: Of any pictures, such as those of the test set.
        temperature: More than 0; 1 changes nothing.

    Returns:
        A new report, with the same predictions.

    Raises:
        ValueError: The temperature isn't a finite number above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"Expected a finite temperature above 0. Received: temperature={temperature!r}"
        )
    return _report(report, _logits(report), temperature)


def _logits(report: Report) -> np.ndarray:
    """Compute float64 (n, k) logits, each row's largest 0."""
    logits = np.log(np.maximum(report.probabilities.astype(np.float64), SMALLEST))
    return logits - logits.max(axis=1, keepdims=True)


def _report(report: Report, logits: np.ndarray, temperature: float) -> Report:
    powers = np.exp(logits / temperature)
    return replace(report, probabilities=powers / powers.sum(axis=1, keepdims=True))
