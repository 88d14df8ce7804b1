"""How many pictures a second VGG-16 looks at, and learns from, on this machine.

python tests/benchmarks/vgg16.py [--variants]      prints one JSON line

Feature extraction: uint8 pictures that are on the device already, bfloat16 and XLA on a GPU
(float32 without XLA on a CPU), batches enqueued one after another and waited for once.
Fine-tuning: Keras's `fit` on all layers and a new head, pictures on the device, from row number to
updated weight. The first time, with compiling, is timed apart. Figures are medians of `--repeats`.
Every measurement also goes to stderr as a line of its own when it is made.

--variants adds other ways to extract features: whole maps instead of their means, a batch twice as
large, first kernels padded to 4 or 8 channels, and `predict` as it comes, from host memory.
For torchvision's VGG-16 see vgg16_torchvision.py.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from cnnlab import models, training


def features(size: int, *, pooled: bool = True) -> keras.Model:
    """VGG-16 with random weights, from pixels to its last maps or their means."""
    backbone = models.vgg16(None, (size, size, 3))
    if not pooled:
        return backbone
    means = layers.GlobalAveragePooling2D(name="average")(backbone.output)
    return keras.Model(backbone.input, means, name="vgg16_features")


def padded(model: keras.Model, channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """The same with zeros as further input channels: widths that tensor cores like."""
    first = model.get_layer("block1_conv1")
    before = keras.Model(model.input, first.input)
    after = keras.Model(first.output, model.output)
    more = channels - 3

    def look(pixels: tf.Tensor) -> tf.Tensor:
        x = tf.cast(before(pixels), first.compute_dtype)
        x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, more]])
        kernel = tf.cast(first.kernel, first.compute_dtype)
        kernel = tf.pad(kernel, [[0, 0], [0, 0], [0, more], [0, 0]])
        x = tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        return after(tf.nn.relu(x + tf.cast(first.bias, x.dtype)), training=False)

    return look


def extraction(look: Callable, pictures: tf.Tensor, batches: int, *, jit: bool) -> Iterator[float]:
    """Seconds of the first batch, then again and again those of some batches."""
    compiled = tf.function(look, jit_compile=jit)

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            found = compiled(pictures)
        found[0].numpy()  # the device works in order: this waits for all of them
        return time.perf_counter() - start

    yield run(1)
    while True:
        yield run(batches)


def prediction(model: keras.Model, pictures: np.ndarray, batch: int, *, jit: bool):
    """The same with Keras's `predict`, pictures in host memory."""
    model.compile(jit_compile=jit)

    def run(some: np.ndarray) -> float:
        start = time.perf_counter()
        model.predict(some, batch_size=batch, verbose=0)
        return time.perf_counter() - start

    yield run(pictures[:batch])
    while True:
        yield run(pictures)


def tuning(size: int, batch: int, steps: int, device: training.Device) -> Iterator[float]:
    """Seconds of `fit`: the first time, then again and again."""
    backbone = models.vgg16(None, (size, size, 3))
    x = layers.GlobalAveragePooling2D(name="average")(backbone.output)
    model = keras.Model(backbone.input, layers.Dense(10, dtype="float32", name="logits")(x))
    rows = np.arange(batch * steps, dtype=np.int32)
    table = tf.constant(noise(len(rows), size))
    trainer = training.on_device(model, training.DevicePictures(table, rows, rows[:0]))
    trainer.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=device.jit_compile,
    )
    while True:
        start = time.perf_counter()
        trainer.fit(rows, rows % 10, batch_size=batch, verbose=0)
        yield time.perf_counter() - start


def noise(count: int, size: int) -> np.ndarray:
    """Pictures, uint8 (count, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def measure(name: str, seconds: Iterator[float], pictures: int, repeats: int) -> dict:
    """Pictures a second, the median of some repeats; seconds of the first time, with compiling."""
    first = next(seconds)
    rates = [pictures / next(seconds) for _ in range(repeats)]
    figures = {"img_per_s": round(statistics.median(rates), 1), "compile_s": round(first, 2)}
    figures["spread"] = round((max(rates) - min(rates)) / statistics.median(rates), 3)
    print(json.dumps({name: figures}), file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Measure and print."""
    device = training.device()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256 if device.is_gpu else 8)
    parser.add_argument("--batches", type=int, default=30 if device.is_gpu else 1)
    parser.add_argument("--repeats", type=int, default=5 if device.is_gpu else 3)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--limit", type=float, default=600, help="no more is begun after seconds")
    args = parser.parse_args()
    keras.config.set_dtype_policy(device.precision)
    keras.utils.set_random_seed(0)
    start, batch, jit = time.perf_counter(), args.batch, device.jit_compile
    total = batch * args.batches

    def extract(look: Callable, size: int, batch: int) -> Iterator[float]:
        return extraction(look, tf.constant(noise(batch, size)), total // batch, jit=jit)

    def frozen(model: keras.Model) -> Callable:
        return functools.partial(model, training=False)

    todo = {
        "features_224": lambda: extract(frozen(features(224)), 224, batch),
        "features_64": lambda: extract(frozen(features(64)), 64, batch),
        "tuning_64": lambda: tuning(64, batch, args.batches, device),
    }
    if args.variants:
        todo |= {
            "features_224_maps": lambda: extract(frozen(features(224, pooled=False)), 224, batch),
            "features_224_padded_4": lambda: extract(padded(features(224), 4), 224, batch),
            "features_224_padded_8": lambda: extract(padded(features(224), 8), 224, batch),
            "features_224_double": lambda: extract(frozen(features(224)), 224, 2 * batch),
            "features_224_predict": lambda: prediction(
                features(224), noise(total, 224), batch, jit=jit
            ),
        }
    line = {"device": device.name, "precision": device.precision, "xla": jit, "batch": batch}
    line |= {"tensorflow": tf.__version__, "keras": keras.__version__}
    for name, seconds in todo.items():
        if time.perf_counter() - start < args.limit:
            line[name] = measure(name, seconds(), total, args.repeats)
            keras.backend.clear_session()
    print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
