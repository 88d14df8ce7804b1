"""How far each step goes, and in which direction: a schedule and optimizers for Keras's `fit`.

`Muon` serves the notebooks; `RankedSGD` and `BatchedMuon` the speed race, with one rate for each
kind of weight and all filters in one product.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("cnnlab")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate climbs in a straight line to its peak, then falls in one to zero.

    For the cosine-shaped kind use `keras.optimizers.schedules.CosineDecay` with its
    `warmup_target`.

    Args:
        peak: The largest learning rate.
        steps: Batches in the whole training.
        warmup: Share of the steps that climb, 0…1.

    Source: Smith and Topin 2017, https://arxiv.org/abs/1708.07120, without the third phase and the
    momentum's cycle.
    """

    def __init__(self, peak: float, steps: int, *, warmup: float = 0.1):
        number = isinstance(peak, int | float | np.number)  # else a variable, or a tensor
        if number and not 0 <= peak < np.inf:
            raise ValueError(f"Expected peak to be a number of at least 0. Received: {peak=}")
        if not (steps > 0 and 0 <= warmup < 1):
            raise ValueError(
                "Expected steps > 0 and warmup in 0…1 (1 excluded). "
                f"Received: steps={steps}, warmup={warmup}"
            )
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        """Compute the learning rate of batch number `step` (from 0), float32."""
        done = (ops.cast(step, "float32") + 0.5) / self.steps  # the middle of the step: never 0
        climb = done / max(self.warmup, 1e-9)
        fall = (1 - done) / (1 - self.warmup)
        return self.peak * ops.maximum(ops.minimum(climb, fall), 0.0)

    def get_config(self) -> dict:
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


class _Momentum(keras.optimizers.Optimizer):
    """Keep a velocity for each variable, as both kinds of optimizer below do."""

    def build(self, var_list):
        if not self.built:
            super().build(var_list)
            self.velocities = [
                self.add_variable_from_reference(v, name="velocity") for v in var_list
            ]

    def _push(self, gradient, variable, momentum: float):
        """Add a gradient to its velocity and return the step of Nesterov's momentum."""
        velocity = self.velocities[self._get_variable_index(variable)]
        pushed = momentum * velocity + gradient
        self.assign(velocity, pushed)
        return gradient + momentum * pushed


@keras.saving.register_keras_serializable("cnnlab")
class Muon(_Momentum):
    """Orthogonalised momentum for kernels of convolutions, Nesterov's for everything else.

    A kernel is treated as a matrix of one column a filter. Its momentum is replaced by the nearest
    matrix with orthonormal columns (or rows), so that every direction is learnt at the same pace,
    and the bank of filters keeps its norm: batch normalization follows, so only directions matter.
    Keras's own `Muon` leaves kernels of convolutions to AdamW.

    Args:
        learning_rate: Of the kernels, a float or a schedule; 0.24 is a good peak.
        momentum: Of the kernels.
        sgd_ratio: Learning rate of all other weights, in units of `learning_rate`.
        sgd_momentum: Nesterov momentum of all other weights.
        steps: Newton-Schulz iterations.
        **kwargs: As for any Keras optimizer.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with the settings of
    https://github.com/KellerJordan/cifar10-airbench.
    """

    def __init__(
        self,
        learning_rate=0.24,
        *,
        momentum: float = 0.6,
        sgd_ratio: float = 0.3,
        sgd_momentum: float = 0.85,
        steps: int = 3,
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum, self.steps = momentum, steps
        self.sgd_ratio, self.sgd_momentum = sgd_ratio, sgd_momentum

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        is_kernel = len(variable.shape) == 4
        momentum = self.momentum if is_kernel else self.sgd_momentum
        update = self._push(gradient, variable, momentum)
        if is_kernel:
            filters = variable.shape[-1]
            update = orthogonalize(ops.reshape(update, (-1, filters)), steps=self.steps)
            norm = ops.norm(ops.reshape(variable, (-1,)))
            kept = variable * (filters**0.5 / norm)
            self.assign(variable, kept - rate * ops.reshape(update, variable.shape))
        else:
            self.assign_sub(variable, self.sgd_ratio * rate * update)

    def get_config(self) -> dict:
        own = {k: getattr(self, k) for k in ("momentum", "sgd_ratio", "sgd_momentum", "steps")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("cnnlab")
class RankedSGD(_Momentum):
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

    def update_step(self, gradient, variable, learning_rate):
        ratio = {1: self.bias_ratio, 2: self.matrix_ratio}.get(len(variable.shape), 1.0)
        rate = ratio * ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        if self.decay:
            gradient = gradient + self.decay / (ratio * self.peak) * variable
        self.assign_sub(variable, rate * self._push(gradient, variable, self.momentum))

    def get_config(self) -> dict:
        names = ("momentum", "matrix_ratio", "bias_ratio", "decay", "peak")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("cnnlab")
class BatchedMuon(RankedSGD):
    """Orthogonalised momentum for all filters at once; `RankedSGD` for everything else.

    As `Muon`, but the banks of filters are padded with zeros to one size and orthogonalised in one
    stack: a few large products instead of dozens of small ones. `Muon` stays beside it because it
    trains on several devices too, and because the order of its sums is another: the last digits of
    what was trained with it would change.

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
        """Step the filters together, then hand the others on, each to its own `update_step`."""
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


def orthogonalize(matrix, *, steps: int = 3):
    """Push all singular values of a float matrix towards 1, by Newton-Schulz iterations.

    The quintic's coefficients are chosen for the steepest start: after 3 to 5 steps the values lie
    around 1, in about 0.7…1.2, which serves as well as exactness.

    Source: K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ ops.transpose(x)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return ops.transpose(x) if tall else x


def orthogonalize_all(matrices: list, *, iterations: int = 3, dtype: str = "float32") -> list:
    """Push all singular values of each matrix towards 1, all matrices in one stack.

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
