"""Pictures, labels and a small backbone that tests of transfer have in common."""

import keras
import numpy as np

PICTURES = np.random.default_rng(0).integers(0, 256, size=(24, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


def backbone(*, batch_norm=False, name="bone"):
    """Two blocks of a small VGG, of distinct widths."""
    keras.utils.set_random_seed(1)
    x = pixels = keras.Input((None, None, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 64, offset=-2.0, name="scale")(x)
    for block, width in ((1, 5), (2, 7)):
        bias = keras.initializers.RandomNormal(stddev=0.5)
        look = {"padding": "same", "activation": "relu", "bias_initializer": bias}
        x = keras.layers.Conv2D(width, 3, name=f"block{block}_conv1", **look)(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.5, name=f"block{block}_norm")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(pixels, x, name=name)
