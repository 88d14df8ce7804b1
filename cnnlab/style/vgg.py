"""The features of a VGG's layers, computed only as deep as asked for.

Style transfer differentiates a network with respect to its input, thousands of times, and never
trains it. So kernels and biases are read from the network once, and run from there: with other
pooling, other padding or another precision than it was built with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

POOLINGS = ("max", "average")
PADDINGS = ("first", "replicate", "zeros")
# The mean of four values is smaller than their maximum; by about this much after a ReLU.
AVERAGE_POOLING_SCALE = 2.0
# One pixel more on each side, a copy of its neighbour: a mirror that stands behind the edge pixel.
EDGES = [[0, 0], [1, 1], [1, 1], [0, 0]]


@dataclass(frozen=True)
class VGGPlan:
    """Describe a VGG: its layers in order, without their weights.

    Attributes:
        layers: Name and output channels of each layer; a pooling layer's channels are 0.
        pooling: One of `POOLINGS`.
        padding: One of `PADDINGS`.
    """

    layers: tuple[tuple[str, int], ...]
    pooling: str = "max"
    padding: str = "first"

    def until(self, names: Iterable[str]) -> VGGPlan:
        """Return the part that ends at the deepest of these layers.

        Raises:
            ValueError: A layer is unknown; the message lists the known ones.
        """
        order, names = [name for name, _ in self.layers], list(names)
        for name in names:
            if name not in order:
                raise ValueError(
                    f"Expected the name of a layer. Received: {name!r}. Layers: {', '.join(order)}"
                )
        deepest = max(order.index(name) for name in names)
        return VGGPlan(self.layers[: deepest + 1], self.pooling, self.padding)

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Return each layer's (height, width, channels) for a picture of this size in pixels."""
        shapes, channels = {}, 3
        for name, filters in self.layers:
            height, width = (height, width) if filters else (height // 2, width // 2)
            channels = filters or channels
            shapes[name] = height, width, channels
        return shapes

    @property
    def smallest_side(self) -> int:
        """The least height and width, in pixels, that leave the last layer one position."""
        return 2 ** sum(filters == 0 for _, filters in self.layers)

    def flops(self, height: int, width: int) -> float:
        """Count the floating-point operations of the convolutions for one picture, forward only."""
        shapes = self.shapes(height, width)
        inputs = [3, *(shapes[name][2] for name, _ in self.layers[:-1])]
        return sum(
            2 * 9 * channels * math.prod(shapes[name])
            for (name, filters), channels in zip(self.layers, inputs, strict=True)
            if filters
        )


def read_vgg(
    model: keras.Model, *, pooling: str = "max", padding: str = "first"
) -> tuple[VGGPlan, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Read a VGG's plan and its weights from a Keras model.

    Its own preprocessing goes into the first layer's weights: it is affine, so what it makes of a
    few pixels determines it, and no constant is written down twice.

    Args:
        model: A flat graph that takes RGB pixels in 0…255 and starts as a VGG does: 3×3
            convolutions with ReLU and 2×2 max pooling. What follows them is ignored.
        pooling: "max", as trained; or "average", which Gatys et al. preferred for its smoother
            gradients, scaled so that values keep their size.
        padding: What lies beyond the edge. "zeros", as trained: a black frame, which shows in the
            result. "first" copies the edge in the first layer only, "replicate" in every layer.

    Returns:
        The plan, and layer name -> (kernel (3, 3, inputs, filters), bias (filters,)), float32.
        Under the name "pixels" it has (offset (3,),), to add to RGB pixels before the first layer.

    Raises:
        ValueError: The model isn't such a graph.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    if not convolutions:
        raise ValueError(
            "Expected a VGG as a flat graph, not nested in another model. "
            f"Received: {model.name!r} with {', '.join(layer.name for layer in model.layers)}"
        )
    layers, weights = [], {}
    for layer in model.layers[model.layers.index(convolutions[0]) :]:
        if isinstance(layer, keras.layers.Conv2D):
            _check_convolution(layer)
            kernel, bias = (np.array(w, np.float32) for w in layer.get_weights())
            layers.append((layer.name, kernel.shape[-1]))
            weights[layer.name] = kernel, bias
        elif isinstance(layer, keras.layers.MaxPooling2D):
            layers.append((layer.name, 0))
        else:
            break  # flattening, global pooling: the end of the convolutional part
    scale, offset = _preprocessing(model, convolutions[0])
    first, bias = weights[convolutions[0].name]
    weights[convolutions[0].name] = np.einsum("io,hwof->hwif", scale, first), bias
    weights["pixels"] = (offset,)
    return VGGPlan(tuple(layers), pooling, padding), weights


def _check_convolution(layer: keras.layers.Conv2D) -> None:
    facts = layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, layer.groups
    is_vgg = facts == ((3, 3), (1, 1), "same", (1, 1), 1) and layer.use_bias
    if not (is_vgg and layer.activation is keras.activations.relu):
        raise ValueError(
            "Expected a VGG: 3×3 convolutions with stride 1, padding 'same', biases and ReLU. "
            f"Received: layer {layer.name!r} with kernel_size={layer.kernel_size}, "
            f"strides={layer.strides}, padding={layer.padding!r}, groups={layer.groups}, "
            f"activation={layer.activation.__name__!r}"
        )


def _preprocessing(model: keras.Model, first: keras.layers.Conv2D) -> tuple[np.ndarray, np.ndarray]:
    """Find matrix (3, 3) and offset (3,): the input of `first` is (pixels + offset) @ matrix."""
    colors = np.float32([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [40, 90, 200]])
    height, width = (side or 1 for side in model.input_shape[1:3])
    pictures = np.tile(colors[:, None, None], (1, height, width, 1))
    seen = np.array(keras.Model(model.inputs[0], first.input)(pictures), np.float32)[:, 0, 0]
    scale = (seen[1:4] - seen[0]) / 255
    if abs(np.linalg.det(scale)) < 1e-9 or not np.allclose(colors @ scale + seen[0], seen, 1e-3):
        raise ValueError(
            "Expected a model whose preprocessing scales, shifts or reorders the three colours. "
            f"Received: {model.name!r}, which makes {seen.tolist()} of {colors.tolist()}"
        )
    if model.name in ("vgg16", "vgg19") and np.array_equal(seen, colors):
        raise ValueError(
            "Expected a VGG that takes RGB pixels in 0…255. Received: Keras's own, which expects "
            f"them as BGR less their mean. Take cnnlab.models.{model.name}(), which does that "
            "itself; own weights go into it by set_weights(yours.get_weights())."
        )
    return scale, np.linalg.solve(scale.T, seen[0]).astype(np.float32)


def device_weights(
    weights: dict[str, tuple[np.ndarray, ...]], plan: VGGPlan, dtype: str = "float32"
) -> dict[str, tuple[tf.Tensor, ...]]:
    """Return the weights of the plan's layers as tensors.

    Args:
        weights: From `read_vgg`.
        plan: The layers to take; deeper ones are left out.
        dtype: The precision to compute in, "float32" or "bfloat16". The pixels' offset stays
            float32.
    """
    tensors = {"pixels": (tf.constant(weights["pixels"][0]),)}
    for name in (name for name, filters in plan.layers if filters):
        tensors[name] = tuple(tf.cast(array, dtype) for array in weights[name])
    return tensors


def extract_features(
    pixels: tf.Tensor,
    weights: dict[str, tuple[tf.Tensor, ...]],
    plan: VGGPlan,
    layers: Iterable[str],
) -> dict[str, tf.Tensor]:
    """Compute the features of the layers named.

    Args:
        pixels: float32 (n, h, w, 3) in 0…255, RGB.
        weights: From `device_weights`; their precision is the one computed in.
        plan: From `read_vgg`, as deep as needed.
        layers: Names of layers of `plan`.

    Returns:
        Name -> (n, height, width, channels), not negative.
    """
    first = plan.layers[0][0]
    x = tf.cast(pixels + weights["pixels"][0], weights[first][0].dtype)
    features = {}
    for name, filters in plan.layers:
        if filters:
            kernel, bias = weights[name]
            copied = plan.padding == "replicate" or (plan.padding == "first" and name == first)
            if copied:
                x = tf.pad(x, EDGES, "SYMMETRIC")
            x = tf.nn.conv2d(x, kernel, 1, "VALID" if copied else "SAME")
            x = tf.nn.relu(tf.nn.bias_add(x, bias))
        else:
            x = _pool(x, plan.pooling)
        features[name] = x
    return {name: features[name] for name in layers}


def _pool(x: tf.Tensor, pooling: str) -> tf.Tensor:
    """Halve height and width."""
    if pooling == "max":
        return tf.nn.max_pool2d(x, 2, 2, "VALID")
    return AVERAGE_POOLING_SCALE * tf.nn.avg_pool2d(x, 2, 2, "VALID")
