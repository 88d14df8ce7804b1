"""What surrounds Keras's `compile` and `fit`: the device, pictures on it, order, optimizers.

Taught in the first notebook, from "Augmentation" to "Rung 10", and used by every longer training
after that. Keras trains; nothing here hides it. The speed race on CIFAR-10 takes from here its
optimizers and its choice of hard pictures, and the blocks of steps that the ladder has too.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.training.blocks import BlockTrainer, LookUp, Visits, plain_visits
from cnnlab.training.hard_half import HardHalf
from cnnlab.training.hardware import Device, device, environment
from cnnlab.training.lookahead import Lookahead
from cnnlab.training.losses import SmoothCrossentropy
from cnnlab.training.optimizers import BatchedMuon, Muon, OneCycle, RankedSGD
from cnnlab.training.pictures import (
    Augment,
    DevicePictures,
    TrainingPictures,
    on_device,
    shuffled_batches,
    start_over,
    to_device,
)
from cnnlab.training.strategies import Shared, distribute, strategy

__all__ = [
    "Augment",
    "BatchedMuon",
    "BlockTrainer",
    "Device",
    "DevicePictures",
    "HardHalf",
    "LookUp",
    "Lookahead",
    "Muon",
    "OneCycle",
    "RankedSGD",
    "Shared",
    "SmoothCrossentropy",
    "TrainingPictures",
    "Visits",
    "device",
    "distribute",
    "environment",
    "on_device",
    "plain_visits",
    "shuffled_batches",
    "start_over",
    "strategy",
    "to_device",
]
