"""Networks as plain functions that return a `keras.Model`: from scratch, and pretrained.

Every model takes RGB pixels in 0…255, shape (n, height, width, 3), and scales them inside. Those
from scratch are section 3 of notebook 1, "The ladder"; VGG-16 and its weights are section 1 of
notebook 2, "The network", and serve notebook 3 throughout.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.models.pretrained import backbone, class_names, vgg16
from cnnlab.models.scratch import L2Pooling2D, batchnorm_cnn, linear, plain_cnn, resnet, six_views

__all__ = [
    "L2Pooling2D",
    "backbone",
    "batchnorm_cnn",
    "class_names",
    "linear",
    "plain_cnn",
    "resnet",
    "six_views",
    "vgg16",
]
