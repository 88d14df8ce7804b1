"""Pretrained networks that take pixels, from VGG-16 to ConvNeXt, as Keras builds them.

Each is one flat model: pixels in 0…255 (RGB), Keras's own preprocessing as part of the graph, then
the layers of `keras.applications` under their own names. So `model.predict(pixels)` is always
right, nothing can be preprocessed twice, every layer can be addressed by name, and a saved `.keras`
file loads anywhere, in safe mode.

Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556 (VGG); Szegedy et al. 2015,
https://arxiv.org/abs/1512.00567 (Inception V3); Tan and Le 2021, https://arxiv.org/abs/2104.00298
(EfficientNetV2); Liu et al. 2022, https://arxiv.org/abs/2201.03545 (ConvNeXt).
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
from keras import layers

from cnnlab.models import weight_files
from cnnlab.models.networks import IMAGENET_CLASSES, NETWORKS
from cnnlab.models.weights import Weights, find, find_published

Shape = tuple[int | None, int | None, int]
SPREAD = 64  # of pixels around their mean, about: what random first kernels are divided by


def vgg16(
    weights: str | Path | Weights | None = "auto",
    input_shape: Shape = (None, None, 3),
    *,
    include_top: bool = False,
    offline: bool = False,
) -> keras.Model:
    """Build VGG-16, from pixels to block5_pool, or to the logits of the classes it was trained on.

    Args:
        weights: "imagenet": Keras's, from this disk, else downloaded. "shipped": this repository's
            own, learnt from ImageNet's VGG-19. "auto": ImageNet's, else the shipped ones, which is
            announced. A file: `.h5` in Keras's layouts or `.npz` as shipped. None: random. Another
            model's `pretrained`: the same again.
        input_shape: Height, width and 3; None for any side of at least 32 pixels.
        include_top: Whether to end in float32 logits of ImageNet's 1,000 classes. ImageNet's own
            need 224 × 224, to which pictures of another size are scaled; the shipped ones take any
            size, best 128 to 224.
        offline: Whether to do without a download.

    Returns:
        The model; layers block1_conv1 … block5_pool. `model.pretrained` says which weights it got,
        `model.stages` names the last layer of each block.

    Raises:
        BrokenFileError: A file of weights isn't what it should be, or doesn't fit.
        OSError: The weights can't be had; the message says what to do by hand.
        ValueError: An argument is not as described.
    """
    found = find("vgg16", weights, include_top=include_top, offline=offline)
    return _build(found, input_shape, include_top)


def backbone(
    network: str = "vgg16",
    weights: str | Path | Weights | None = "auto",
    input_shape: Shape = (None, None, 3),
    *,
    offline: bool = False,
) -> keras.Model:
    """Build a network from pixels to its last feature maps.

    Args:
        network: "vgg16", "vgg19", "inception_v3", "efficientnet_v2_b0" or "convnext_tiny".
        weights: As for `vgg16`; for the others, "auto" is "imagenet".
        input_shape: Height, width and 3; None for any side of at least 32 pixels (Inception: 75).
        offline: Whether to do without a download.

    Returns:
        The model. `model.pretrained` says which weights it got, `model.stages` names layers whose
        maps are good features, one at the end of each stage, the last one ending the network.

    Raises:
        BrokenFileError: As for `vgg16`.
        OSError: As for `vgg16`.
        ValueError: As for `vgg16`.
    """
    found = find(network, weights, offline=offline)
    return _build(found, input_shape, include_top=False)


def class_names(weights: str | Weights, *, offline: bool = False) -> tuple[str, ...]:
    """Name the classes whose logits `vgg16(weights, include_top=True)` gives.

    Args:
        weights: "imagenet", "shipped", or a model's `pretrained`.
        offline: Whether to do without a download (ImageNet's names: 35 kB).

    Raises:
        BrokenFileError: As for `vgg16`.
        OSError: As for `vgg16`.
        ValueError: These weights know no classes.
    """
    if weights == "shipped":
        weights = find("vgg16", weights)
    if isinstance(weights, Weights) and weights.path and weights.path.suffix == ".npz":
        return weight_files.read_class_names(weights.path)
    if weights != "imagenet" and not (isinstance(weights, Weights) and weights.path):
        raise ValueError(
            f'Expected "imagenet", "shipped" or weights from a file. Received: weights={weights!r}'
        )
    path, _ = find_published([IMAGENET_CLASSES], offline=offline)
    numbered = json.loads(path.read_text())  # {"0": ["n01440764", "tench"], …}
    return tuple(numbered[str(i)][1].replace("_", " ") for i in range(len(numbered)))


def _build(found: Weights, input_shape: Shape, include_top: bool) -> keras.Model:
    network = NETWORKS[found.network]
    if (
        len(input_shape) != 3
        or input_shape[2] != 3
        or not all(side is None or side >= network.smallest for side in input_shape[:2])
    ):
        raise ValueError(
            f"Expected input_shape (height, width, 3) with sides of at least {network.smallest} or "
            f"None. Received: input_shape={tuple(input_shape)}"
        )
    inputs = keras.Input(input_shape, name="pixels")
    ours = found.path is not None and found.path.suffix == ".npz"
    x = inputs
    if include_top and not ours and input_shape[:2] != (224, 224):
        x = layers.Resizing(224, 224, antialias=True, dtype="float32", name="resize")(x)
    x = network.preprocess(x)
    x = network.build(include_top=False, weights=None, input_tensor=x).output
    if include_top:
        x = _average_top(x, found) if ours else _imagenet_top(x)
    # Keras's own model would want its one input in a list, and warn of a bare tensor.
    model = keras.Model(inputs, x, name=found.network)
    if found.path:
        weight_files.load(model, found.path)
    elif found.network.startswith("vgg"):  # the others have normalizations to put a start right
        _initialize(model)
    model.pretrained = found
    model.stages = (*network.stages, model.layers[-1].name)
    return model


def _average_top(x: keras.KerasTensor, found: Weights) -> keras.KerasTensor:
    x = layers.GlobalAveragePooling2D(name="average")(x)
    classes = len(weight_files.read_class_names(found.path))
    return layers.Dense(classes, dtype="float32", name="logits")(x)


def _imagenet_top(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4096, activation="relu", name="fc1")(x)
    x = layers.Dense(4096, activation="relu", name="fc2")(x)
    return layers.Dense(1000, dtype="float32", name="predictions")(x)


def _initialize(model: keras.Model) -> None:
    """Give random kernels He's spread, so that activations are of order 1 in every layer.

    Keras's default, Glorot's, lets them shrink by a factor of √2 with each ReLU.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852.
    """
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for kernel in kernels:
        kernel.assign(keras.initializers.HeNormal()(kernel.shape))
    kernels[0].assign(kernels[0] / SPREAD)
