"""How good is a model? Its class probabilities, and a `Report` that counts what it got right.

Taught in notebook 1, section 4, "The verdict".
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.evaluation.prediction import evaluate, probabilities
from cnnlab.evaluation.report import Calibration, ClassScore, Report, wilson_interval
from cnnlab.evaluation.temperature import fit_temperature, with_temperature

__all__ = [
    "Calibration",
    "ClassScore",
    "Report",
    "evaluate",
    "fit_temperature",
    "probabilities",
    "wilson_interval",
    "with_temperature",
]
