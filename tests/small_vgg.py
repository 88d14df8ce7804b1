"""A small VGG and pictures that tests of style transfer have in common."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

WIDTHS = {"block1": (4,), "block2": (5, 6), "block3": (7,)}


def small_vgg(seed=0, widths=WIDTHS, *, deepest_pool=True):
    """A VGG of narrow layers, by default all of different widths, with a scaling of its own."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2, name="scale")(inputs)
    look = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    for block, filters in widths.items():
        for i, n in enumerate(filters, start=1):
            bias = keras.initializers.RandomNormal(stddev=0.1)
            name = f"{block}_conv{i}"
            x = layers.Conv2D(n, 3, name=name, bias_initializer=bias, **look)(x)
        if deepest_pool or block != list(widths)[-1]:
            x = layers.MaxPooling2D(name=f"{block}_pool")(x)
    return keras.Model(inputs, x, name="small_vgg")


def blobs(n, height=32, width=None, seed=0):
    """Pictures of smooth blobs of colour, so that there is something to recognise."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (n, 5, 5, 3))
    return tf.cast(tf.image.resize(coarse, (height, width or height)), tf.uint8).numpy()
