"""The mean of a training's path in place of its end."""

import keras
from keras import ops


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
        """Start from the model's weights as they are now."""
        self.count.assign(0)
        for slow, fast in zip(self.slow, self.fast, strict=True):
            slow.assign(fast)

    def after_step(self) -> None:
        """Count a step and return to the slow weights if it is time."""
        self.count.assign_add(1)
        count = ops.convert_to_tensor(self.count)
        due = ops.logical_or(ops.mod(count, self.every) == 0, count == self.steps)
        hold = self.hold * (count / self.steps) ** 3
        for slow, fast in zip(self.slow, self.fast, strict=True):
            kept, now = ops.convert_to_tensor(slow), ops.convert_to_tensor(fast)
            mean = hold * kept + (1 - hold) * now
            slow.assign(ops.where(due, mean, kept))
            fast.assign(ops.where(due, mean, now))
