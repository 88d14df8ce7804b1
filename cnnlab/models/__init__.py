"""Networks as plain functions that return a `keras.Model`: from scratch, and pretrained.

Every model takes RGB pixels in 0…255, shape (n, height, width, 3), and scales them inside. Those
from scratch are section 3 of notebook 1, "The ladder"; VGG-16 and its weights are section 1 of
notebook 2, "The network", and serve notebook 3 throughout. `speed_net` is that of the speed race.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.models.pretrained import backbone, class_names, vgg16
from cnnlab.models.scratch import L2Pooling2D, batchnorm_cnn, linear, plain_cnn, resnet, six_views
from cnnlab.models.second_look import careful_predictor
from cnnlab.models.speed import draw_weights, speed_net
from cnnlab.models.weight_files import load as load_weights
from cnnlab.models.weight_files import read_notes
from cnnlab.models.weights import shipped_file

__all__ = [
    "L2Pooling2D",
    "backbone",
    "batchnorm_cnn",
    "careful_predictor",
    "class_names",
    "draw_weights",
    "linear",
    "load_weights",
    "plain_cnn",
    "read_notes",
    "resnet",
    "shipped_file",
    "six_views",
    "speed_net",
    "vgg16",
]
