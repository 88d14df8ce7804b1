"""Train VGG-16's convolutions on Tiny ImageNet and pack them into one file of about 13 MB.

python data/make_vgg16_weights.py --data FOLDER      needs FOLDER/tinyimagenet.npz and a GPU

Writes data/vgg16_tinyimagenet.npz and prints one JSON line an epoch, and one with the result.
`--limit 400 --epochs 1 --batch 50` is a rehearsal that runs on a CPU in about two minutes.

The network has batch normalization after each convolution while it trains; afterwards each is
folded into its convolution, which gives VGG-16 exactly as Keras builds it. Then every channel is
scaled so that its activations have a mean square of 1 on training pictures, and the next layer's
weights by the inverse. The network says the same, but no layer's or channel's features are small or
large by accident: that suits one learning rate for all layers, and the sums over channels of style
transfer. Compare Gatys et al. 2015, https://arxiv.org/abs/1505.07376, who scale to a mean of 1; the
mean square leaves channels that rarely fire at a sane size.
"""

import argparse
import datetime
import json
import math
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from cnnlab import training
from cnnlab.models import weight_files

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CONVS = [f"block{b}_conv{c}" for b, w in enumerate(BLOCKS, 1) for c, _ in enumerate(w, 1)]


def network(classes: int, *, batchnorm: bool, dtype: str, decay: float = 0.0) -> keras.Model:
    """VGG-16 on pixels in 0…255, averaged and followed by one dense layer to the logits.

    Args:
        classes: Number of logits.
        batchnorm: Whether each convolution has batch normalization instead of a bias.
        dtype: Keras's name of the precision, such as "mixed_bfloat16".
        decay: Weight decay of the kernels, as in plain SGD: `decay * kernel` joins the gradient.
    """
    conv = {
        "padding": "same",
        "dtype": dtype,
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(decay / 2) if decay else None,
        "use_bias": not batchnorm,
        "activation": None if batchnorm else "relu",
    }
    inputs = keras.Input((64, 64, 3), name="pixels")
    x = keras.applications.vgg16.preprocess_input(inputs)
    for block, widths in enumerate(BLOCKS, start=1):
        for number, width in enumerate(widths, start=1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(width, 3, name=name, **conv)(x)
            if batchnorm:
                x = layers.BatchNormalization(
                    momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_norm"
                )(x)
                x = layers.Activation("relu", dtype=dtype, name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(dtype=dtype, name=f"block{block}_pool")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="average")(x)
    if batchnorm:
        x = layers.Dropout(0.3, dtype="float32", name="dropout")(x)
    logits = layers.Dense(
        classes, dtype="float32", kernel_regularizer=conv["kernel_regularizer"], name="logits"
    )(x)
    return keras.Model(inputs, logits, name="vgg16")


class RandomResizedCrop(layers.Layer):
    """Enlarges a random part of each picture to the whole and mirrors half of them, in training.

    To resize is linear, for rows and for columns apart, so it is two products with matrices of
    interpolation weights: the fast way on a GPU. To mirror is to turn the columns' matrix round.

    Args:
        area: The smallest and largest share of the area that is kept. The smallest is a variable,
            `smallest`, which may be changed while training.
        ratio: The widest aspect ratio of the part; the narrowest is its inverse.
        seed: The same seed gives the same sequence of parts.

    Source: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842.
    """

    def __init__(self, area=(0.3, 1.0), ratio: float = 4 / 3, *, seed: int = 0, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.smallest = keras.Variable(area[0], dtype="float32", trainable=False)
        self.largest, self.ratio = area[1], ratio
        self.random = keras.random.SeedGenerator(seed)

    def call(self, pictures, training=False):
        """Takes and returns float32 (n, side, side, channels) in 0…255."""
        if not training:
            return pictures
        n, side = ops.shape(pictures)[0], pictures.shape[1]
        area = self.smallest + (self.largest - self.smallest) * self._draw(n, 0, 1)
        stretch = ops.exp(self._draw(n, -math.log(self.ratio), math.log(self.ratio)) / 2)
        rows = self._resampling(ops.minimum(ops.sqrt(area) * stretch, 1.0), side)
        columns = self._resampling(ops.minimum(ops.sqrt(area) / stretch, 1.0), side)
        mirrored = self._draw(n, 0, 1)[:, :, None] < 0.5
        columns = ops.where(mirrored, ops.flip(columns, axis=1), columns)
        x = ops.einsum("nij,njwc->niwc", rows, pictures)
        return ops.einsum("nij,nhjc->nhic", columns, x)

    def _draw(self, n, low: float, high: float):
        return keras.random.uniform((n, 1), low, high, seed=self.random)

    def _resampling(self, share, side: int):
        """Weights (n, side, side) with which each new row is mixed from the old ones.

        A share of at most 1 is only ever enlarged, so linear interpolation needs no smoothing.
        """
        start = (1 - share) * self._draw(ops.shape(share)[0], 0, 1) * side
        centres = start + share * (ops.arange(side, dtype="float32") + 0.5) - 0.5
        centres = ops.clip(centres, 0, side - 1)[:, :, None]
        return ops.maximum(1 - ops.abs(ops.arange(side, dtype="float32") - centres), 0.0)


class _Settle(keras.callbacks.Callback):
    """Shows nearly whole pictures in the last epochs: the scale that the network will be used at.

    Source: Touvron et al. 2019, https://arxiv.org/abs/1906.06423: enlarged parts make objects look
    larger in training than they are afterwards, and a short adaptation makes up for it.
    """

    def __init__(self, crop: RandomResizedCrop, epochs: int, *, smallest: float = 0.85):
        super().__init__()
        self.crop, self.since, self.smallest = crop, 0.9 * epochs, smallest

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.since:
            self.crop.smallest.assign(self.smallest)


class _Log(keras.callbacks.Callback):
    """One JSON line an epoch. The loss holds the weight decay's share."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        values = {key: round(float(value), 4) for key, value in logs.items()}
        seconds = round(time.perf_counter() - self.start, 2)
        print(json.dumps({"epoch": epoch + 1, **values, "seconds": seconds}), flush=True)


def train(x: np.ndarray, y: np.ndarray, classes: int, args: argparse.Namespace) -> keras.Model:
    """Train with batch normalization; the result is in float32."""
    device = training.device()
    rows = np.arange(len(x), dtype=np.int32)
    pictures = training.DevicePictures(tf.constant(x), rows, rows[:0])
    model = network(classes, batchnorm=True, dtype=device.precision, decay=args.decay)
    crop = RandomResizedCrop(seed=args.seed)
    trainer = training.on_device(model, pictures, crop)
    schedule = training.OneCycle(args.peak, args.epochs * (len(x) // args.batch), warmup=0.2)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    optimizer.build(trainer.trainable_variables)  # else `fit` traces its step twice
    trainer.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
        jit_compile=device.jit_compile,
        steps_per_execution=args.steps_per_execution,
    )
    whole = len(x) - len(x) % args.batch  # XLA would compile again for a last, smaller batch
    trainer.fit(
        rows[:whole],
        keras.utils.to_categorical(y[:whole], classes),
        batch_size=args.batch,
        epochs=args.epochs,
        callbacks=[_Log(), _Settle(crop, args.epochs)],
        verbose=0,
    )
    exact = network(classes, batchnorm=True, dtype="float32")
    exact.set_weights(model.get_weights())
    return exact


def fold(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights of the network without batch normalization that computes the same as this one.

    `gamma * (kernel * x - mean) / sqrt(variance + epsilon) + beta` is one convolution: the kernel
    times `gamma / sqrt(variance + epsilon)`, and what is left as its bias.
    """
    folded = {}
    for name in CONVS:
        (kernel,), norm = model.get_layer(name).get_weights(), model.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        folded[f"{name}/kernel"], folded[f"{name}/bias"] = kernel * scale, beta - mean * scale
    folded["logits/kernel"], folded["logits/bias"] = model.get_layer("logits").get_weights()
    return folded


def put(weights: dict[str, np.ndarray], model: keras.Model) -> keras.Model:
    """Set the weights of a network without batch normalization."""
    for name in (*CONVS, "logits"):
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
    return model


def mean_squares(model: keras.Model, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of each channel's squared activations, after each convolution."""
    outputs = [ops.mean(ops.square(model.get_layer(name).output), axis=(1, 2)) for name in CONVS]
    means = keras.Model(model.input, outputs).predict(pictures, batch_size=250, verbose=0)
    return {name: values.mean(axis=0) for name, values in zip(CONVS, means, strict=True)}


def equalize(
    weights: dict[str, np.ndarray], squares: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Scale every channel to a mean square of 1 without changing what the network says.

    ReLU, maximum and mean let a positive factor through, so what one layer is divided by, the next
    layer's weights are multiplied by. A channel that hardly ever fires counts as an average one.
    """
    scaled, before = {}, np.ones(3, np.float32)
    for name in CONVS:
        size = np.sqrt(squares[name])
        size = np.where(size > 0.01 * size.mean(), size, size.mean())
        scaled[f"{name}/kernel"] = weights[f"{name}/kernel"] * before[:, None] / size
        scaled[f"{name}/bias"] = weights[f"{name}/bias"] / size
        before = size
    scaled["logits/kernel"] = weights["logits/kernel"] * before[:, None]
    scaled["logits/bias"] = weights["logits/bias"]
    return scaled


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Top-1, 0…1, of one look at each picture, and of the mean of it and its mirror image."""
    once = model.predict(x, batch_size=250, verbose=0)
    twice = once + model.predict(x[:, :, ::-1], batch_size=250, verbose=0)
    return tuple(float(np.mean(logits.argmax(axis=1) == y)) for logits in (once, twice))


def main() -> int:
    """Train, fold, scale, pack, measure each, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent
    parser.add_argument("--data", type=Path, required=True, help="folder of tinyimagenet.npz")
    parser.add_argument("--out", type=Path, default=here / "vgg16_tinyimagenet.npz")
    parser.add_argument("--epochs", type=int, default=55)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--peak", type=float, default=0.5, help="largest learning rate")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay of the kernels")
    parser.add_argument("--steps-per-execution", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only so many pictures, for a rehearsal")
    args = parser.parse_args()

    start = time.perf_counter()
    keras.utils.set_random_seed(args.seed)
    with np.load(args.data / "tinyimagenet.npz") as file:
        x, y, x_val, y_val, names = (
            file[key] for key in ("x_train", "y_train", "x_val", "y_val", "classes")
        )
    if args.limit:
        some, some_val = (slice(None, None, max(len(a) // args.limit, 1)) for a in (x, x_val))
        x, y, x_val, y_val = x[some], y[some], x_val[some_val], y_val[some_val]
    result = {"read_s": round(time.perf_counter() - start, 1)}

    trained = train(x, y, len(names), args)
    result["trained_s"] = round(time.perf_counter() - start, 1)
    top1 = {"trained": accuracy(trained, x_val, y_val)}
    plain, weights = network(len(names), batchnorm=False, dtype="float32"), fold(trained)
    top1["folded"] = accuracy(put(weights, plain), x_val, y_val)
    weights = equalize(weights, mean_squares(plain, x[:: max(len(x) // 5_000, 1)]))
    packed = weight_files.quantize(weights)
    top1["packed"] = accuracy(put(weight_files.dequantize(packed), plain), x_val, y_val)
    top1 = {key: [round(value, 4) for value in values] for key, values in top1.items()}

    about = {
        "trained_on": f"Tiny ImageNet, {len(x):,} pictures of 64 × 64, {len(names)} classes",
        "epochs": args.epochs,
        "top1": top1,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "device": training.device().name,
        "date": datetime.date.today().isoformat(),
    }
    np.savez_compressed(args.out, **packed, classes=names, about=json.dumps(about))
    size = round(args.out.stat().st_size / 1e6, 2)
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({**about, **result, "file_mb": size, "seconds": seconds}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
