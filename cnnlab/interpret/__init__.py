"""Looking inside any Keras model, which is left as it was found."""

from cnnlab import _keras  # noqa: F401
from cnnlab.interpret.attribution import (
    activations,
    filters,
    grad_cam,
    grad_cam_map,
    occlusion,
    receptive_field,
    theoretical_receptive_field,
)
from cnnlab.interpret.maximization import maximize

__all__ = [
    "activations",
    "filters",
    "grad_cam",
    "grad_cam_map",
    "maximize",
    "occlusion",
    "receptive_field",
    "theoretical_receptive_field",
]
