"""What surrounds Keras's `compile` and `fit`: the device, pictures on it, order, optimizers."""

from cnnlab.training.on_device import (
    Augment,
    Device,
    DevicePictures,
    device,
    environment,
    on_device,
    shuffled_batches,
    start_over,
    to_device,
)
from cnnlab.training.optimizers import Muon, OneCycle

__all__ = [
    "Augment",
    "Device",
    "DevicePictures",
    "Muon",
    "OneCycle",
    "device",
    "environment",
    "on_device",
    "shuffled_batches",
    "start_over",
    "to_device",
]
