"""Small networks that tests of looking inside have in common."""

import keras
import numpy as np
from keras import layers


def residual_net(*, final=None, seed=3, dtype=None):
    """Pixels (8, 10, 3) -> 3 logits: convolutions, batch norm, a shortcut, dropout, pooling."""
    keras.utils.set_random_seed(seed)

    def conv(filters, name, **options):
        return layers.Conv2D(filters, 3, padding="same", name=name, dtype=dtype, **options)

    inputs = keras.Input((8, 10, 3))
    x = layers.Rescaling(1 / 255, dtype=dtype)(inputs)
    x = conv(4, "stem", activation="relu")(x)
    y = conv(6, "inner", strides=2)(x)
    y = layers.BatchNormalization(name="norm", dtype=dtype)(y)
    x = layers.Add(dtype=dtype)([layers.Conv2D(6, 1, strides=2, dtype=dtype)(x), y])
    x = layers.ReLU(name="block", dtype=dtype)(x)
    x = layers.MaxPooling2D(name="pool", dtype=dtype)(x)
    x = layers.Dropout(0.5, name="drop", dtype=dtype)(x)
    x = layers.Dense(5, "tanh", name="hidden", dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    x = layers.Dense(3, name="logits", dtype=dtype)(x)
    return keras.Model(inputs, x if final is None else final(x))


def nested_net(head=None):
    """`residual_net` inside a model that flips the picture first."""
    inputs = keras.Input((8, 10, 3))
    x = residual_net()(keras.ops.flip(inputs, axis=1))
    return keras.Model(inputs, x if head is None else head(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat = residual_net()

    def call(self, pixels, training=None):
        return self.flat(pixels, training=training)


def with_weights(model, **weights):
    for name, values in weights.items():
        model.get_layer(name).set_weights([np.asarray(v, np.float32) for v in values])
    return model
