"""The networks that can be had pretrained: how Keras builds each, and which files it publishes.

Their weights are from ImageNet, under the names that Keras gives to the files:
https://keras.io/api/applications/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from cnnlab.sources import Remote

FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications"
KERNELS = "weights_tf_dim_ordering_tf_kernels"


def _published(folder: str, name: str, size: int, digest: str) -> Remote:
    algorithm = "md5" if len(digest) == 32 else "sha256"
    return Remote(name, digest, size, (f"{FOLDER}/{folder}/{name}",), algorithm)


@dataclass(frozen=True)
class Network:
    """An architecture, as Keras builds it.

    Attributes:
        title: Its name for readers.
        build: Makes it, as `keras.applications` does.
        preprocess: Makes its input of pixels in 0…255, RGB.
        smallest: The smallest side of a picture, in pixels.
        imagenet: The file with ImageNet's weights, without the layers that classify.
        stages: Layers at the end of each stage but the last, which ends the network.
    """

    title: str
    build: Callable[..., keras.Model]
    preprocess: Callable
    smallest: int
    imagenet: Remote
    stages: tuple[str, ...]


VGG_STAGES = ("block1_pool", "block2_pool", "block3_pool", "block4_pool")
# To 0…1, then to mean 0 and spread 1 of each of ImageNet's colours. The newer networks of Keras
# would do so themselves, but in the layers' precision, of which 8 bits are too few for pixels.
_standardize = partial(keras.applications.imagenet_utils.preprocess_input, mode="torch")
# Keras publishes digests, of older files MD5s only, and no sizes:
# https://github.com/keras-team/keras/tree/master/keras/src/applications
NETWORKS = {
    "vgg16": Network(
        "VGG-16",
        keras.applications.VGG16,
        keras.applications.vgg16.preprocess_input,
        32,
        _published(
            "vgg16", f"vgg16_{KERNELS}_notop.h5", 58_889_256, "6d6bbae143d832006294945121d1f1fc"
        ),
        VGG_STAGES,
    ),
    "vgg19": Network(
        "VGG-19",
        keras.applications.VGG19,
        keras.applications.vgg19.preprocess_input,
        32,
        _published(
            "vgg19", f"vgg19_{KERNELS}_notop.h5", 80_134_624, "253f8cb515780f3b799900260a226db6"
        ),
        VGG_STAGES,
    ),
    "inception_v3": Network(
        "Inception V3",
        keras.applications.InceptionV3,
        keras.applications.inception_v3.preprocess_input,
        75,
        _published(
            "inception_v3",
            f"inception_v3_{KERNELS}_notop.h5",
            87_910_968,
            "bcbd6486424b2319ff4ef7d526e38f63",
        ),
        ("mixed2", "mixed7"),
    ),
    "efficientnet_v2_b0": Network(
        "EfficientNetV2-B0",
        partial(keras.applications.EfficientNetV2B0, include_preprocessing=False),
        _standardize,
        32,
        _published(
            "efficientnet_v2",
            "efficientnetv2-b0_notop.h5",
            24_274_472,
            "893217f2bb855e2983157299931e43ff",
        ),
        ("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add"),
    ),
    "convnext_tiny": Network(
        "ConvNeXt-Tiny",
        partial(keras.applications.ConvNeXtTiny, include_preprocessing=False),
        _standardize,
        32,
        _published(
            "convnext",
            "convnext_tiny_notop.h5",
            111_650_432,
            "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        ),
        # Its stages end in sums, which aren't layers of Keras's; so each is met where the next one
        # begins, halved and widened, as VGG's blocks are met behind their pooling.
        tuple(f"convnext_tiny_downsampling_block_{i}" for i in range(3)),
    ),
}
VGG16_WITH_TOP = _published(
    "vgg16", f"vgg16_{KERNELS}.h5", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b"
)
IMAGENET_CLASSES = Remote(
    "imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
    35_363,
    ("https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",),
    "md5",
)
