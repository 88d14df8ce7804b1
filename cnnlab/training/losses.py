"""What training makes small."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("cnnlab")
class SmoothCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits with class numbers, a share of the truth spread over all classes.

    Keras's own takes one-hot rows where it smooths; `Visits` hands out class numbers.

    Args:
        smoothing: That share, 0…1. Nothing is certain, so no logit needs to grow for ever.
        **kwargs: As for any Keras loss.

    Source: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567.
    """

    def __init__(self, smoothing: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        """Turn class numbers (…,) and logits (…, classes) into losses (…,)."""
        log = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        classes = y_pred.shape[-1]
        truth = ops.one_hot(ops.cast(y_true, "int32"), classes, dtype="float32")
        truth = (1 - self.smoothing) * truth + self.smoothing / classes
        return -ops.sum(truth * log, axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "smoothing": self.smoothing}
