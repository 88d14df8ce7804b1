"""How far each step goes, and in which direction: a schedule and an optimizer for Keras's `fit`."""

import keras
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


@keras.saving.register_keras_serializable("cnnlab")
class Muon(keras.optimizers.Optimizer):
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

    def build(self, var_list):
        if not self.built:
            super().build(var_list)
            self.velocities = [
                self.add_variable_from_reference(v, name="velocity") for v in var_list
            ]

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        velocity = self.velocities[self._get_variable_index(variable)]
        is_kernel = len(variable.shape) == 4
        momentum = self.momentum if is_kernel else self.sgd_momentum
        self.assign(velocity, momentum * velocity + gradient)
        update = gradient + momentum * velocity
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
