"""What the layers of a VGG answer to a picture, computed only as deep as it is asked for.

Style transfer differentiates a network with respect to its input, thousands of times, and never
trains it. So the network is taken apart once, into plain kernels and biases, and run from there:
with other pooling, other padding or another precision than it was built with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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
class Chain:
    """The plan of a VGG: its layers in order, without their weights.

    Attributes:
        layers: Name and output channels of each layer; a pooling layer's channels are 0.
        pooling: One of `POOLINGS`.
        padding: One of `PADDINGS`.
    """

    layers: tuple[tuple[str, int], ...]
    pooling: str = "max"
    padding: str = "first"

    def __post_init__(self) -> None:
        for name, options in (("pooling", POOLINGS), ("padding", PADDINGS)):
            if getattr(self, name) not in options:
                raise ValueError(
                    f"Expected {name} to be one of {options}. Received: {getattr(self, name)!r}"
                )

    def until(self, names: Iterable[str]) -> Chain:
        """The part that ends at the deepest of these layers.

        Raises:
            ValueError: There is no such layer; the message lists those that there are.
        """
        order = [name for name, _ in self.layers]
        for name in names:
            if name not in order:
                raise ValueError(
                    f"Expected the name of a layer. Received: {name!r}. Layers: {', '.join(order)}"
                )
        deepest = max(order.index(name) for name in names)
        return Chain(self.layers[: deepest + 1], self.pooling, self.padding)

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Height, width and channels of each layer's answer to a picture of this size."""
        shapes, channels = {}, 3
        for name, filters in self.layers:
            height, width = (height, width) if filters else (height // 2, width // 2)
            channels = filters or channels
            shapes[name] = height, width, channels
        return shapes

    @property
    def smallest_side(self) -> int:
        """The least height and width, in pixels, that leave something for the last layer to see."""
        return 2 ** sum(filters == 0 for _, filters in self.layers)

    def flops(self, height: int, width: int) -> float:
        """Floating-point operations of the convolutions, for one picture, forward only."""
        shapes = self.shapes(height, width)
        inputs = [3, *(shapes[name][2] for name, _ in self.layers[:-1])]
        return sum(
            2 * 9 * channels * math.prod(shapes[name])
            for (name, filters), channels in zip(self.layers, inputs, strict=True)
            if filters
        )


def take_apart(
    model: keras.Model, *, pooling: str = "max", padding: str = "first"
) -> tuple[Chain, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Splits a VGG into its plan and its weights.

    The model's own preprocessing goes into the first layer's weights: it is affine, so what it
    makes of a few pixels tells everything about it, and no constant is written down twice.

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
        ValueError: The model isn't such a graph, or an option is unknown.
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
    return Chain(tuple(layers), pooling, padding), weights


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
    """The matrix (3, 3) and offset (3,) with which `first` sees (pixels + offset) @ matrix."""
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
    return scale, np.linalg.solve(scale.T, seen[0]).astype(np.float32)


def to_device(
    weights: dict[str, tuple[np.ndarray, ...]], chain: Chain, dtype: str = "float32"
) -> dict[str, tuple[tf.Tensor, ...]]:
    """Weights of the layers of `chain`, as tensors in the precision to compute in.

    On a CPU each kernel comes with its mirror image, for `_convolve_on_cpu`.
    """
    on_cpu = not tf.config.list_physical_devices("GPU")
    tensors = {"pixels": (tf.constant(weights["pixels"][0]),)}
    for name in (name for name, filters in chain.layers if filters):
        kernel, bias = (tf.cast(w, dtype) for w in weights[name])
        mirrored = (tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)),) if on_cpu else ()
        tensors[name] = (kernel, bias, *mirrored)
    return tensors


def features(
    pixels: tf.Tensor,
    weights: dict[str, tuple[tf.Tensor, ...]],
    chain: Chain,
    layers: Iterable[str],
) -> dict[str, tf.Tensor]:
    """What the layers named answer to a picture.

    Args:
        pixels: float32 (1, h, w, 3) in 0…255, RGB.
        weights: From `to_device`; their precision is the one that is computed in.
        chain: From `take_apart`, as deep as needed.
        layers: Names of layers of `chain`.

    Returns:
        Name -> (1, height, width, channels), not negative.
    """
    first = chain.layers[0][0]
    x = tf.cast(pixels + weights["pixels"][0], weights[first][0].dtype)
    answers = {}
    for name, filters in chain.layers:
        if not filters:
            x = _pool(x, chain.pooling)
        else:
            kernel, bias, *mirrored = weights[name]
            copied = chain.padding == "replicate" or (chain.padding == "first" and name == first)
            if copied:
                x = tf.pad(x, EDGES, "SYMMETRIC")
            convolve = _convolve_on_cpu if mirrored else _convolve
            x = convolve(x, kernel, *mirrored, padding="VALID" if copied else "SAME")
            x = tf.nn.relu(tf.nn.bias_add(x, bias))
        answers[name] = x
    return {name: answers[name] for name in layers}


def _convolve(x: tf.Tensor, kernel: tf.Tensor, *, padding: str) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, padding)


def _convolve_on_cpu(
    x: tf.Tensor, kernel: tf.Tensor, mirrored: tf.Tensor, *, padding: str
) -> tf.Tensor:
    """A convolution as the way back through the mirrored one, which is the same sum.

    On processors without AVX-512 oneDNN's way forward is two to three times slower than its way
    back (TensorFlow 2.21: 30 against 90 GFLOP/s a core), so here both ways are ways back.
    """
    around = [0, 0, 2, 2, 2, 2, 0, 0] if padding == "VALID" else [0, 0, 1, 1, 1, 1, 0, 0]
    less = 2 if padding == "VALID" else 0
    shape = tf.shape(x)
    sizes = tf.stack([shape[0], shape[1] - less, shape[2] - less, kernel.shape[-1]])

    @tf.custom_gradient
    def convolve(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        forward = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes,
            filter=mirrored,
            out_backprop=x,
            strides=(1, 1, 1, 1),
            padding="EXPLICIT",
            explicit_paddings=around,
        )

        def back(upstream: tf.Tensor) -> tf.Tensor:
            return tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape,
                filter=kernel,
                out_backprop=upstream,
                strides=(1, 1, 1, 1),
                padding=padding,
            )

        return forward, back

    return convolve(x)


def _pool(x: tf.Tensor, pooling: str) -> tf.Tensor:
    if pooling == "max":
        return tf.nn.max_pool2d(x, 2, 2, "VALID")
    return AVERAGE_POOLING_SCALE * tf.nn.avg_pool2d(x, 2, 2, "VALID")
