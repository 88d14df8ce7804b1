"""Looking inside any Keras model that takes pixels; the model is left as it was found.

Layers inside nested models are reached by their own names, the outermost of a name being meant.
Everything runs in inference mode: dropout off, batch normalization on its stored statistics.

Notebook 1 teaches receptive fields in section 1 and filters, activations, Grad-CAM and occlusion in
section 5, "Looking inside"; notebook 2 paints what a network's channels like in section 1.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.interpret.attribution import grad_cam, grad_cam_map, occlusion
from cnnlab.interpret.faithfulness import deletion_curves
from cnnlab.interpret.features import activations, filters
from cnnlab.interpret.maximization import maximize
from cnnlab.interpret.receptive_fields import receptive_field, theoretical_receptive_field

__all__ = [
    "activations",
    "deletion_curves",
    "filters",
    "grad_cam",
    "grad_cam_map",
    "maximize",
    "occlusion",
    "receptive_field",
    "theoretical_receptive_field",
]
