"""VGG-19 as a teacher, VGG-16 as its student: the networks, what they are compared by, one step.

Romero et al. 2015, https://arxiv.org/abs/1412.6550 (maps as targets, block by block); Hinton et al.
2015, https://arxiv.org/abs/1503.02531 (probabilities as targets).
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from cnnlab import training
from cnnlab.training.optimizers import orthogonalize

from .photographs import whole_views

CONVS = [f"block{b}_conv{c}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for c in range(1, n + 1)]
TEACHER_CONVS = [
    f"block{b}_conv{c}" for b, n in enumerate((2, 2, 4, 4, 4), 1) for c in range(1, n + 1)
]
# The last of a student's three does the work of the teacher's last two.
TARGETS = {name: name[:-1] + "4" if name[-1] == "3" else name for name in CONVS}
DENSE = ("fc1", "fc2", "predictions")
Weights = dict[str, np.ndarray]


def log(**facts) -> None:
    """Print one JSON line."""
    print(json.dumps(facts), flush=True)


def rate(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Compute the learning rate: a short climb, then half a cosine down to zero.

    It ends at zero, so averaging the last weights would add nothing.
    """
    if progress < warmup:
        return peak * (progress + 1e-3) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0)))


def by_block(errors: np.ndarray) -> np.ndarray:
    """Sum over each block's maps."""
    numbers = np.array([int(name[5]) for name in CONVS])
    return np.array([errors[numbers == block].sum() for block in range(1, 6)])


def read_teacher(path: Path) -> Weights:
    """Read VGG-19's weights as float32 arrays by name, such as "block1_conv1/kernel".

    Args:
        path: `.h5` as Keras publishes it, with or without the layers that classify; or `.npz` with
            uint8 arrays, each beside "<name>:scale" and "<name>:min": codes · scale + min.

    Raises:
        ValueError: An array is missing, or has another shape than VGG-19's.
    """
    weights = {}
    if path.suffix == ".npz":
        with np.load(path) as file:
            for name in (key for key in file if ":" not in key):
                codes = file[name].astype(np.float32)
                weights[name] = codes * file[f"{name}:scale"] + file[f"{name}:min"]
    else:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)  # a whole model keeps its weights there
            for layer in map(_text, group.attrs["layer_names"]):
                arrays = [group[layer][_text(n)][()] for n in group[layer].attrs["weight_names"]]
                weights |= {
                    f"{layer}/{k}": a for k, a in zip(("kernel", "bias"), arrays, strict=False)
                }
    wanted = {"block1_conv1/kernel": (3, 3, 3, 64), "block5_conv4/kernel": (3, 3, 512, 512)}
    wanted |= {f"{name}/bias": None for name in TEACHER_CONVS}
    for name, shape in wanted.items():
        if name not in weights or (shape and weights[name].shape != shape):
            found = weights[name].shape if name in weights else "no such array"
            raise ValueError(f"Expected VGG-19 with {name} {shape or ''}. Received: {found}")
    return weights


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def put(weights: Weights, model: keras.Model) -> keras.Model:
    """Set the weights of the layers that are named, and leave those of others."""
    for layer in model.layers:
        if f"{layer.name}/kernel" in weights and layer.weights:
            layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
    return model


def take(model: keras.Model) -> Weights:
    """Return the weights of a model's layers by name."""
    return {
        f"{layer.name}/{kind}": array
        for layer in model.layers
        if layer.weights
        for kind, array in zip(("kernel", "bias"), layer.get_weights(), strict=True)
    }


def mean_squares(model: keras.Model, batches: Iterable) -> Weights:
    """Compute each channel's mean square after each convolution of the teacher."""
    outputs = [
        keras.ops.mean(
            keras.ops.square(keras.ops.cast(model.get_layer(name).output, "float32")),
            axis=(0, 1, 2),
        )
        for name in TEACHER_CONVS
    ]
    look = tf.function(keras.Model(model.input, outputs))
    found = [look(batch) for batch in batches]
    return {
        name: np.mean(values, axis=0)
        for name, values in zip(TEACHER_CONVS, zip(*found, strict=True), strict=True)
    }


def equalize(weights: Weights, squares: Weights) -> tuple[Weights, Weights]:
    """Scale every channel of the teacher to a mean square of 1: the same function in other units.

    ReLU, maximum and mean let a positive factor through, so what one layer is divided by, the next
    layer's weights are multiplied by. So no layer's or channel's features are small or large by
    accident (VGG-19's differ a thousandfold), which suits one learning rate for all layers, here
    and in fine-tuning, and the sums over channels of style transfer. Compare Gatys et al. 2015,
    https://arxiv.org/abs/1505.07376, who scale to a mean of 1; the mean square leaves channels
    that rarely fire at a sane size. One that hardly ever fires counts as an average one.

    Returns:
        The convolutions' weights, and the channels' sizes: `rescale` by them leads back to the
        teacher's own units, which its dense layers expect.
    """
    sizes = {}
    for name in TEACHER_CONVS:
        size = np.sqrt(squares[name])
        sizes[name] = np.where(size > 0.01 * size.mean(), size, size.mean())
    return rescale(weights, {name: 1 / size for name, size in sizes.items()}), sizes


def rescale(weights: Weights, factors: Weights) -> Weights:
    """Multiply the channels of convolutions by positive factors, the next weights by the inverse.

    It is the same function in other units; only the last maps tell.

    Args:
        weights: Of all convolutions.
        factors: By the convolutions' names, from the input to the output, each (channels,).
    """
    scaled, before = {}, np.ones(3)
    for name, factor in factors.items():
        kernel = weights[f"{name}/kernel"] / before[:, None] * factor
        scaled[f"{name}/kernel"] = kernel.astype(np.float32)
        scaled[f"{name}/bias"] = (weights[f"{name}/bias"] * factor).astype(np.float32)
        before = factor
    return scaled


def blocks(model: keras.Model, convs: list[str]) -> list[keras.Model]:
    """Split VGG into its blocks, each from its input to its convolutions' maps and pooled ones."""
    inputs, found = model.input, []
    for block in range(1, 6):
        names = [name for name in convs if name.startswith(f"block{block}_")]
        outputs = [model.get_layer(name).output for name in (*names, f"block{block}_pool")]
        found.append(keras.Model(inputs, outputs))
        inputs = outputs[-1]
    return found


def dense_layers(weights: Weights, sizes: np.ndarray) -> keras.Model:
    """Build the teacher's dense layers: equalized block5_pool of 224 px pictures to 1,000 logits.

    Args:
        weights: The teacher's.
        sizes: Of the channels of its last convolution.
    """
    inputs = keras.Input((7, 7, 512))
    scale = keras.layers.Rescaling(sizes.tolist(), dtype="float32")
    x = keras.layers.Flatten()(scale(inputs))
    for name, units in zip(DENSE, (4096, 4096, 1000), strict=True):
        last = name == "predictions"
        options = {"dtype": "float32"} if last else {"activation": "relu"}
        x = keras.layers.Dense(units, name=name, **options)(x)
    return put(weights, keras.Model(inputs, x))


class Lesson:
    """Teacher and student side by side, and one step of learning.

    Args:
        teacher: Equalized, from pixels.
        student: VGG-16 with random weights, from pixels.
        sizes: Of the teacher's channels, from `equalize`.
        squares: Mean squares of the teacher's channels before that.
        weights: How much the errors of each of the five blocks count.
    """

    def __init__(self, teacher, student, sizes, squares, *, weights=(1, 1, 1, 1, 1)):
        self.teacher, self.student = blocks(teacher, list(TARGETS.values())), blocks(student, CONVS)
        # Squared errors in the teacher's own units, in shares of a map's mean square: channels
        # are equal in size here, but not in how much the teacher makes of them.
        self.units = [
            tf.constant(sizes[TARGETS[name]] ** 2 / squares[TARGETS[name]].sum(), tf.float32)
            for name in CONVS
        ]
        self.weights = tf.constant([weights[int(name[5]) - 1] for name in CONVS], tf.float32)
        self.network, self.sizes = student, sizes
        self.variables = student.trainable_variables
        self.measure = tf.function(lambda x, side: self.look(whole_views(x, side), 1.0))

    def look(self, pictures, own):
        """Compute squared errors of the student's maps and squares of the teacher's, each (13,).

        Args:
            pictures: float32 (n, side, side, 3) in 0…255.
            own: What a block of the student is fed with: 0 the teacher's maps, 1 the student's own.
        """
        x = y = pictures
        errors, squares = [], []
        for number, (teacher, student) in enumerate(zip(self.teacher, self.student, strict=True)):
            if number:
                share = tf.cast(own, y.dtype)
                y = share * y + (1 - share) * tf.cast(x, y.dtype)
            *targets, x = teacher(x)
            *maps, y = student(y)
            for target, found in zip(targets, maps, strict=True):
                units = self.units[len(errors)]
                target = tf.stop_gradient(tf.cast(target, tf.float32))
                gap = tf.reduce_mean(tf.square(tf.cast(found, tf.float32) - target), (0, 1, 2))
                errors.append(tf.reduce_sum(units * gap))
                squares.append(tf.reduce_sum(units * tf.reduce_mean(tf.square(target), (0, 1, 2))))
        return tf.stack(errors), tf.stack(squares)

    def step(self, optimizer: keras.optimizers.Optimizer, *, jit: bool) -> Callable:
        """Compile a function from pictures and `own` to errors (13,), which learns from them."""

        # One step a call: XLA's loops over such steps are many times slower (TensorFlow 2.21).
        @tf.function(jit_compile=jit)
        def step(pictures, own):
            with tf.GradientTape() as tape:
                errors, _ = self.look(pictures, own)
                loss = tf.reduce_sum(self.weights * errors)
            gradients = tape.gradient(loss, self.variables)
            optimizer.apply(gradients, self.variables)
            return errors

        return step

    def left_over(self, tables: list[np.ndarray], side: int, *, batch: int = 100) -> dict:
        """Measure the student's relative squared error on its own: of each map, and summed a block.

        Args:
            tables: Pictures it hasn't learnt from, uint8 (n, s, s, 3).
            side: At which they are seen.
            batch: Pictures at a time.
        """
        total = np.zeros((2, len(CONVS)))
        for table in tables:
            for start in range(0, len(table), batch):
                some = table[start : start + batch]
                total += len(some) * np.stack(self.measure(tf.constant(some), side))
        errors = total[0] / total[1]
        return {
            "blocks": by_block(errors).round(4).tolist(),
            "maps": dict(zip(CONVS, errors.round(4).tolist(), strict=True)),
        }


class Muon(training.Muon):
    """Orthogonalized momentum for kernels, Adam's step for biases; norms are free.

    Without batch normalization the size of a kernel matters, so unlike its parent this keeps no
    norm fixed. A step changes a kernel by `learning_rate` of its norm, whatever its units: the
    first one sees pixels, a hundred times larger than what the others see.

    Args:
        adam_ratio: If given, block 5's kernels have Adam's step too, at so much of the rate: what
            they have to say is rare and large, and steps of one size stay too long for it.
    """

    def __init__(self, learning_rate, *, adam_ratio: float | None = None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.adam_ratio = adam_ratio

    def build(self, var_list):
        if not self.built:
            super().build(var_list)
            self.squares = [self.add_variable_from_reference(v, name="square") for v in var_list]
            self.by_adam = [bool(self.adam_ratio) and "block5" in v.path for v in var_list]

    def update_step(self, gradient, variable, learning_rate):
        rate = keras.ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        velocity, square = self.velocities[index], self.squares[index]
        self.assign(velocity, self.momentum * velocity + (1 - self.momentum) * gradient)
        is_kernel = len(variable.shape) == 4
        if is_kernel and not self.by_adam[index]:
            update = (1 - self.momentum) * gradient + self.momentum * velocity
            update = keras.ops.reshape(update, (-1, variable.shape[-1]))
            update = orthogonalize(update, steps=self.steps)
            norm = keras.ops.norm(keras.ops.reshape(variable, (-1,)))
            length = rate * norm / (keras.ops.norm(update) + 1e-7)
            self.assign_sub(variable, length * keras.ops.reshape(update, variable.shape))
        else:
            self.assign(square, 0.98 * square + 0.02 * keras.ops.square(gradient))
            update = velocity / (keras.ops.sqrt(square) + 1e-8)
            ratio = self.adam_ratio if is_kernel else self.sgd_ratio
            self.assign_sub(variable, ratio * rate * update)
