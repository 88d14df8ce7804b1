"""A classifier on a pretrained backbone, which of its layers learn, batch normalization for it."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from cnnlab.images import require_pixels, whole_number
from cnnlab.layers import explained, listening, require_places

Shape = tuple[int, int, int]


def classifier(
    backbone: keras.Model,
    num_classes: int,
    *,
    input_shape: Shape = (32, 32, 3),
    size: int | None = None,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Put a new last layer on a backbone: enlarge, look, average over the picture, decide.

    The backbone is nested and shares its weights. One that was trained on larger pictures sees
    most when small ones are enlarged to its scale; that happens inside, so that the classifier
    takes pictures as they are. Its logits start at 0: no class is preferred, and the first gradient
    that reaches the backbone is 0 too, not that of a random layer.

    Args:
        backbone: Takes pixels of any size, ends in maps, such as `models.vgg16()`.
        num_classes: Number of logits.
        input_shape: Height, width and channels of a picture.
        size: What the backbone sees: the shorter side in pixels; None leaves pictures as they are.
        dropout: Share of the averaged features set to zero in training, 0…1.
        name: Name of the model; None adds "_classifier" to the backbone's.

    Returns:
        A model from pixels (n, height, width, 3) in 0…255 to float32 logits (n, num_classes).

    Raises:
        ValueError: The backbone doesn't end in maps, or can't take such pictures.
    """
    inputs = keras.Input(input_shape, name="pixels")
    with explained(backbone, input_shape):
        x = backbone(enlarge(inputs, size))
        require_places(x)
    if len(x.shape) != 4:
        raise ValueError(
            "Expected a backbone that ends in maps (n, height, width, channels). "
            f"Received: backbone={backbone.name!r} with an output of shape {x.shape}"
        )
    x = layers.GlobalAveragePooling2D(name="average")(x)
    # Hundreds of features add up in each logit: unscaled, they would allow the head only a tenth of
    # the learning rate that suits the backbone, and above it the logits explode.
    x = layers.Rescaling(1 / 4, name="feature_scale")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=name or f"{backbone.name}_classifier")


def enlarge(pixels: keras.KerasTensor, size: int | None) -> keras.KerasTensor:
    """Scale pictures inside a model so that their shorter side has `size` pixels; None: not."""
    height, width = pixels.shape[1:3]
    if size is None:
        return pixels
    whole_number(size, "size", note=", the shorter side's pixels, or None")
    if height is None or width is None:
        raise ValueError(
            "Expected pictures of known height and width where a size is given. "
            f"Received: shape={pixels.shape}, size={size}"
        )
    if size == min(height, width):
        return pixels
    scale = size / min(height, width)
    target = round(scale * height), round(scale * width)
    # In float32 whatever the policy: bfloat16 has only 8 bits for colours.
    return layers.Resizing(*target, antialias=scale < 1, dtype="float32", name="enlarge")(pixels)


def unfreeze(
    model: keras.Model, since: str | None = None, *, batch_norm: bool = False
) -> list[str]:
    """Let the backbone's layers learn from one of them on, and freeze those before it.

    Takes effect at the next `compile`. The layers on top of the backbone always learn.

    Args:
        model: From `classifier`.
        since: The first layer of the backbone to learn, such as "block4_conv1"; None freezes all.
        batch_norm: Whether batch normalizations among those that learn do so too. Frozen ones use
            the statistics that they came with, in training as in prediction. A few pictures make
            poor statistics, so that is the safe choice with small batches.

    Returns:
        Names of the backbone's layers that now learn.

    Raises:
        ValueError: No such layer, or no backbone; the message lists what there is.
    """
    backbone = _backbone(model)
    names = [layer.name for layer in backbone.layers]
    if since is not None and since not in names:
        raise ValueError(
            f"Expected the name of a layer of {backbone.name!r}. "
            f"Received: since={since!r}. Layers: {', '.join(names)}"
        )
    first = len(names) if since is None else names.index(since)
    backbone.trainable = True  # before its layers: a model's setting overrules theirs
    for index, layer in enumerate(backbone.layers):
        keeps_statistics = isinstance(layer, layers.BatchNormalization) and not batch_norm
        layer.trainable = index >= first and not keeps_statistics
    return [layer.name for layer in backbone.layers if layer.trainable_variables]


def with_batch_norm(
    backbone: keras.Model, pictures: np.ndarray, *, momentum: float = 0.9
) -> keras.Model:
    """Copy a backbone with batch normalization after each convolution; the copy says the same.

    VGG-16 has none, or had its own folded into the weights, and without it large learning rates
    break it. Each one is set to undo itself: its scale and shift are the spread and the mean of
    what the convolution gives for some pictures, so that in prediction the copy equals the
    original; in training it keeps every channel in its range.

    Behind a normalization the size of a kernel doesn't change what is said, only how fast the
    kernel turns, so all are brought to a norm of 1 for each filter, about, and learn at one pace.
    VGG-16's first kernel, which reads pixels in 0…255, would else be thrown away in a few steps.

    Args:
        backbone: A functional model whose 2-D convolutions have biases and a ReLU of their own.
        pictures: uint8 or float32 (n, h, w, 3) in 0…255 of the size that it will see; some
            hundred are enough.
        momentum: Of the moving statistics, 0…1.

    Returns:
        A new model; "block1_conv1" is followed by "block1_conv1_norm" and "block1_conv1_act".

    Raises:
        ValueError: A convolution has no bias, or another activation than ReLU; or the numbers
            aren't pixels.
    """
    require_pixels(pictures, "pictures")
    convolutions = [layer for layer in backbone.layers if isinstance(layer, layers.Conv2D)]
    relu = keras.activations.relu
    odd = [c.name for c in convolutions if c.activation is not relu or c.bias is None]
    if odd:
        raise ValueError(
            f"Expected convolutions with biases and ReLU. Received: other ones in {odd}"
        )
    moments = {}

    def measure(layer: keras.Layer, inputs: tf.Tensor, output: tf.Tensor) -> None:
        answers = layer.convolution_op(inputs, ops.cast(layer.kernel, inputs.dtype))
        mean, variance = tf.nn.moments(tf.cast(answers, tf.float32), (0, 1, 2))
        moments[layer.name] = mean.numpy() + np.array(layer.bias), variance.numpy()

    with explained(backbone, pictures.shape), listening(convolutions, measure):
        backbone(tf.cast(tf.convert_to_tensor(pictures), tf.float32), training=False)

    def split(layer: keras.Layer, *args: object, **kwargs: object) -> keras.KerasTensor:
        if not isinstance(layer, layers.Conv2D):
            return layer(*args, **kwargs)
        layer.activation, own = keras.activations.linear, {"dtype": layer.dtype_policy}
        norm = layers.BatchNormalization(momentum=momentum, name=f"{layer.name}_norm", **own)
        act = layers.Activation("relu", name=f"{layer.name}_act", **own)
        return act(norm(layer(*args, **kwargs)))

    copy = keras.models.clone_model(backbone, call_function=split)
    for layer in convolutions:
        convolution, norm = copy.get_layer(layer.name), copy.get_layer(f"{layer.name}_norm")
        kernel, bias = np.array(layer.kernel), np.array(layer.bias)
        mean, variance = moments[layer.name]
        # The original's convolution gives z, of this mean and variance. With its kernel and bias
        # times a factor f the copy's gives f·z, of mean f·mean and variance f²·variance, which the
        # normalization turns into
        #     gamma · (f·z - f·mean) / √(f²·variance + epsilon) + beta.
        # That is z for gamma = √(f²·variance + epsilon) / f = √(variance + epsilon / f²) and
        # beta = mean.
        f = kernel.shape[-1] ** 0.5 / np.linalg.norm(kernel)
        convolution.kernel.assign(f * kernel)
        convolution.bias.assign(f * bias)
        norm.gamma.assign(np.sqrt(variance + norm.epsilon / f**2))
        norm.beta.assign(mean)
        norm.moving_mean.assign(f * mean)
        norm.moving_variance.assign(f**2 * variance)
    return copy


def _backbone(model: keras.Model) -> keras.Model:
    """Find the model that is nested in a classifier."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            return layer
    raise ValueError(
        "Expected a model with a backbone nested in it, as `transfer.classifier` makes. "
        f"Received: model={model.name!r} with the layers "
        f"{', '.join(layer.name for layer in model.layers)}"
    )
