"""What surrounds Keras's `compile` and `fit`: the device, pictures on it, order, optimizers.

Taught in the first notebook, from "Augmentation" to "Rung 5", and used by every longer training
after that. Keras trains; nothing here hides it.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.training.hardware import Device, device, environment
from cnnlab.training.optimizers import Muon, OneCycle
from cnnlab.training.pictures import (
    Augment,
    DevicePictures,
    TrainingPictures,
    on_device,
    shuffled_batches,
    start_over,
    to_device,
)

__all__ = [
    "Augment",
    "Device",
    "DevicePictures",
    "Muon",
    "OneCycle",
    "TrainingPictures",
    "device",
    "environment",
    "on_device",
    "shuffled_batches",
    "start_over",
    "to_device",
]
