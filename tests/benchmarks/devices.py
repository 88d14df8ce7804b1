"""VGG-16 fine-tuning at 64 × 64 on one GPU and on several: pictures a second.

python tests/benchmarks/devices.py [--devices 1 2] [--ways plain gradients whole]
prints one JSON line. Each number of devices and each way runs in a process of its own, so that none
can take the others down.

All layers train, bfloat16, SGD, `--batch` pictures a device and step. Ways to use XLA:
    plain      not at all
    gradients  for the way forward and back on each device; summing up and updating outside
    whole      for the whole step, sums over devices included
One device trains in the way it does fastest, `whole`; what counts is the best against the best.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

REPEATS = 5


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--ways", nargs="*", default=["gradients", "whole", "plain"])
    parser.add_argument("--batch", type=int, default=512, help="pictures a device")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--limit", type=float, default=150, help="seconds for each process")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way, devices = args.one.split(":")
        print(json.dumps(measure(way, int(devices), args)))
        return 0
    found, best = {}, {}
    for devices in args.devices:
        for way in args.ways:
            name = f"{way}:{devices}"
            found[name] = in_a_process(name, args.limit)
            print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
            rate = found[name].get("img_per_s", 0.0)
            best[devices] = max(best.get(devices, 0.0), rate)
    line = {"batch": args.batch, "size": args.size, "best": best, "ways": found}
    if best.get(min(best)):
        line["ratio"] = round(best[max(best)] / best[min(best)], 3)
    print(json.dumps(line))
    return 0


def in_a_process(name: str, limit: float) -> dict:
    """The figures of one way on so many devices, or why there are none."""
    command = [sys.executable, *sys.argv, "--one", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:.0f} s"}
    if done.returncode:
        return {"failed": done.stderr[-800:]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(way: str, devices: int, args: argparse.Namespace) -> dict:
    """Pictures a second, the median of some `fit`s, and seconds of the first, with compiling."""
    import cnnlab

    cnnlab.start_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from cnnlab import training

    device = training.device()
    keras.config.set_dtype_policy(device.precision)
    keras.utils.set_random_seed(0)
    strategy = training.strategy(devices)
    batch = args.batch * strategy.num_replicas_in_sync
    rows = np.arange(batch * args.steps, dtype=np.int64)
    pictures = np.random.default_rng(0).integers(
        0, 256, (len(rows), args.size, args.size, 3), dtype=np.uint8
    )
    with strategy.scope():
        trainer = fine_tuner(pictures, way, args.size)
        trainer.compile(
            keras.optimizers.SGD(1e-3, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=way == "whole" and strategy.num_replicas_in_sync == 1,
            auto_scale_loss=False,
        )
    seconds = []
    order = tf.data.Dataset.from_tensor_slices((rows, rows % 10)).batch(batch, drop_remainder=True)
    order = order.cache()
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        trainer.fit(order, epochs=1, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    rate = len(rows) / statistics.median(seconds[1:])
    return {
        "replicas": strategy.num_replicas_in_sync,
        "img_per_s": round(rate, 1),
        "compile_s": round(seconds[0], 2),
        "device": device.name,
    }


def fine_tuner(pictures, way: str, size: int):
    """A model from row numbers to logits, of which every device keeps pictures and weights."""
    import keras
    import tensorflow as tf

    from cnnlab import models

    class Tuner(keras.Model):
        """VGG-16 with a new head, whose step uses XLA in the given way."""

        def __init__(self):
            super().__init__()
            backbone = models.vgg16(None, (size, size, 3))
            x = keras.layers.GlobalAveragePooling2D()(backbone.output)
            logits = keras.layers.Dense(10, dtype="float32")(x)
            self.net = keras.Model(backbone.input, logits)
            self.table = self.add_weight(
                shape=pictures.shape, dtype="uint8", initializer="zeros", trainable=False
            )
            self.table.assign(pictures)
            self.built = True

        def call(self, rows, training=False):
            table = tf.convert_to_tensor(self.table)
            rows = tf.cast(rows, "int32")  # Keras tries a model out with floats
            return self.net(tf.cast(tf.gather(table, rows), "float32"), training=training)

        def train_step(self, data):
            compiled = way == "gradients" or (way == "whole" and replicas() > 1)
            if not compiled:
                return super().train_step(data)
            if way == "whole":
                return tf.function(super().train_step, jit_compile=True)(data)
            loss, gradients = tf.function(self.gradients, jit_compile=True)(*data)
            self.optimizer.apply(gradients, self.trainable_weights)
            return {"loss": loss}

        def gradients(self, rows, labels):
            with tf.GradientTape() as tape:
                logits = self(rows, training=True)
                loss = self.compute_loss(rows, labels, logits) / replicas()
            return loss * replicas(), tape.gradient(loss, self.trainable_weights)

    def replicas() -> int:
        return tf.distribute.get_strategy().num_replicas_in_sync

    return Tuner()


if __name__ == "__main__":
    sys.exit(main())
