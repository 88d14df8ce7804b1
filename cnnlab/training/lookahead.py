"""Optimizers of the speed race: one rate for each kind of weight, all filters in one product."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

__all__ = ["BatchedMuon", "Lookahead", "RankedSGD", "orthogonalize_all"]


class RankedSGD(keras.optimizers.Optimizer):
    """Nesterov's momentum with a rate of its own for filters, matrices and biases.

    Which is which shows in the number of a weight's axes: filters have four, matrices two, biases
    (of normalization, mostly) one. Biases bear far larger steps than filters: they are few, and a
    normalized channel has no other way to shift.

    Args:
        learning_rate: Of the filters, a float or a schedule.
        momentum: Of all weights.
        matrix_ratio: Learning rate of matrices, in units of `learning_rate`.
        bias_ratio: Learning rate of biases, likewise.
        decay: Share of every weight that is taken off at each step while the learning rate is at
            its peak, less in proportion afterwards. The same for all, whatever their rate.
        peak: The largest learning rate, to which `decay` refers; None for `learning_rate` itself
            if that is a float.
        **kwargs: As for any Keras optimizer.

    Source: D. Page 2018 and K. Jordan 2024, https://arxiv.org/abs/2404.00498.
    """

    def __init__(
        self,
        learning_rate=0.01,
        *,
        momentum: float = 0.85,
        matrix_ratio: float = 1.0,
        bias_ratio: float = 64.0,
        decay: float = 0.0,
        peak: float | None = None,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        if peak is None and decay and not isinstance(learning_rate, float):
            raise ValueError("Expected peak beside decay and a schedule. Received: peak=None")
        self.momentum, self.decay = momentum, decay
        self.matrix_ratio, self.bias_ratio = matrix_ratio, bias_ratio
        self.peak = peak if peak is not None else learning_rate

    def build(self, var_list):
        if not self.built:
            super().build(var_list)
            self.velocities = [
                self.add_variable_from_reference(v, name="velocity") for v in var_list
            ]

    def update_step(self, gradient, variable, learning_rate):
        ratio = {1: self.bias_ratio, 2: self.matrix_ratio}.get(len(variable.shape), 1.0)
        rate = ratio * ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        if self.decay:
            gradient = gradient + self.decay / (ratio * self.peak) * variable
        self.assign_sub(variable, rate * self._push(gradient, variable, self.momentum))

    def _push(self, gradient, variable, momentum: float):
        """Adds a gradient to its velocity and returns the step of Nesterov's momentum."""
        velocity = self.velocities[self._get_variable_index(variable)]
        pushed = momentum * velocity + gradient
        self.assign(velocity, pushed)
        return gradient + momentum * pushed

    def get_config(self) -> dict:
        names = ("momentum", "matrix_ratio", "bias_ratio", "decay", "peak")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class BatchedMuon(RankedSGD):
    """Orthogonalised momentum for all filters at once; `RankedSGD` for everything else.

    As `cnnlab.optimizers.Muon`, but the banks of filters are padded with zeros to one size and
    orthogonalised in one stack: a few large products instead of dozens of small ones.

    Args:
        learning_rate: Of the filters, a float or a schedule.
        filter_momentum: Of the filters; `momentum` is everyone else's.
        iterations: Newton-Schulz iterations.
        half: dtype of the products, such as "bfloat16": their errors are far below what three
            iterations leave anyway.
        **kwargs: As for `RankedSGD`.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the stack is an idea
    of https://github.com/hiverge/cifar10-speedrun.
    """

    def __init__(
        self,
        learning_rate=0.24,
        *,
        filter_momentum: float = 0.6,
        iterations: int = 3,
        half: str = "float32",
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.filter_momentum, self.newton_schulz, self.half = filter_momentum, iterations, half

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Steps the filters together, then hands the others on, each to its own `update_step`."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError(
                "Expected one device: the stack of filters is not shared among several. "
                f"Received: {tf.distribute.get_strategy().num_replicas_in_sync} replicas"
            )
        pairs = list(zip(grads, trainable_variables, strict=True))
        filters = [(g, v) for g, v in pairs if len(v.shape) == 4]
        others = [(g, v) for g, v in pairs if len(v.shape) != 4]
        if filters:
            self._step_filters(filters, learning_rate)
        if others:
            super()._backend_update_step(*zip(*others, strict=True), learning_rate)

    def _step_filters(self, filters, learning_rate) -> None:
        pushed = [
            ops.reshape(
                self._push(ops.cast(g, v.dtype), v, self.filter_momentum), (-1, v.shape[-1])
            )
            for g, v in filters
        ]
        directions = orthogonalize_all(pushed, iterations=self.newton_schulz, dtype=self.half)
        for direction, (_, variable) in zip(directions, filters, strict=True):
            # The bank keeps its norm, one a filter: normalization follows, so that only directions
            # matter, and a norm that grew would slow the turning down.
            value = ops.convert_to_tensor(variable)
            value = value * (variable.shape[-1] ** 0.5 / ops.norm(ops.reshape(value, (-1,))))
            rate = ops.cast(learning_rate, variable.dtype)
            step = ops.reshape(ops.cast(direction, variable.dtype), variable.shape)
            self.assign(variable, value - rate * step)

    def get_config(self) -> dict:
        own = {"filter_momentum": self.filter_momentum, "half": self.half}
        return {**super().get_config(), **own, "iterations": self.newton_schulz}


def orthogonalize_all(matrices: list, *, iterations: int = 3, dtype: str = "float32") -> list:
    """Pushes all singular values of each matrix towards 1, all matrices in one stack.

    Rows and columns of zeros, with which the smaller ones are filled up, stay zeros.

    Args:
        matrices: float (rows, columns), of any sizes.
        iterations: Newton-Schulz iterations; after 3 the values lie in about 0.7…1.2.
        dtype: What to calculate in.

    Returns:
        As many matrices of the same sizes, in `dtype`.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with its
    coefficients: the steepest start that still ends near 1.
    """
    flip = [m.shape[1] > m.shape[0] for m in matrices]
    tall = [ops.transpose(m) if turned else m for m, turned in zip(matrices, flip, strict=True)]
    rows, columns = (max(m.shape[axis] for m in tall) for axis in (0, 1))
    padded = [ops.pad(m, ((0, rows - m.shape[0]), (0, columns - m.shape[1]))) for m in tall]
    x = ops.stack(padded)
    # Divided in float32: the sum of a million squares leaves half precision's range.
    x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True)) + 1e-7)
    x = ops.cast(x, dtype)
    for _ in range(iterations):
        gram = tf.matmul(x, x, transpose_a=True)
        x = 3.4445 * x + tf.matmul(x, -4.7750 * gram + 2.0315 * tf.matmul(gram, gram))
    cut = [x[i, : m.shape[0], : m.shape[1]] for i, m in enumerate(tall)]
    return [ops.transpose(m) if turned else m for m, turned in zip(cut, flip, strict=True)]


class Lookahead(keras.layers.Layer):
    """Slow weights that follow the fast ones, and to which those return every few steps.

    The mean of a stretch of the path is a better place than its end. Early on the path is going
    somewhere, so the slow weights follow at once; later they hold on to more and more of the past.
    All of a model's weights take part, statistics of normalization included.

    Args:
        model: Whose weights.
        steps: Steps of the whole training.
        every: Steps between two returns; the last step is always one.
        hold: Share of the past kept by the end, 0…1. It grows with the cube of time.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610; the growing share is K. Jordan's,
    https://arxiv.org/abs/2404.00498.
    """

    def __init__(
        self, model: keras.Model, *, steps: int, every: int = 5, hold: float = 0.95**5, **kwargs
    ):
        super().__init__(trainable=False, **kwargs)
        self.fast = [v for v in model.weights if v.dtype == "float32"]
        self.steps, self.every, self.hold = steps, every, hold
        self.slow = [
            self.add_weight(shape=v.shape, initializer="zeros", name=f"slow_{i}", trainable=False)
            for i, v in enumerate(self.fast)
        ]
        # Counts in float32: TensorFlow keeps int32 variables on the CPU, where XLA can't reach.
        # Without autocast: float16 counts no further than 2,048.
        self.count = self.add_weight((), "zeros", trainable=False, autocast=False, name="count")
        self.built = True
        self.start_over()

    def start_over(self) -> None:
        """Starts from the model's weights as they are now."""
        self.count.assign(0)
        for slow, fast in zip(self.slow, self.fast, strict=True):
            slow.assign(fast)

    def after_step(self) -> None:
        """Counts a step and returns to the slow weights if it is time."""
        self.count.assign_add(1)
        count = ops.convert_to_tensor(self.count)
        due = ops.logical_or(ops.mod(count, self.every) == 0, count == self.steps)
        hold = self.hold * (count / self.steps) ** 3
        for slow, fast in zip(self.slow, self.fast, strict=True):
            kept, now = ops.convert_to_tensor(slow), ops.convert_to_tensor(fast)
            mean = hold * kept + (1 - hold) * now
            slow.assign(ops.where(due, mean, kept))
            fast.assign(ops.where(due, mean, now))
