"""Race on this CPU to 70 % on CIFAR-10: TensorFlow's tutorial against this library.

python tests/benchmarks/cpu.py [--seeds 3]      needs CIFAR-10; some twenty minutes on 2 cores;
prints one JSON line

Both train on the same 50,000 pictures, each seed of each in a process of its own, every epoch in an
order of its own. The clock runs while `fit` does, tracing and compiling included; shuffling arrays
for the tutorial and scoring the test set are not counted. The tutorial keeps its own settings
(batches of 32, Adam, ten epochs) in a TensorFlow that this library has not touched, and its time is
that to the first epoch that gets there; ours has to finish its schedule. CPU seconds count every
core's work.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

TARGET = 0.70


def main() -> int:
    """Run the race; 1 if a seed of either didn't get to the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", default=["tutorial", "cnnlab"])
    parser.add_argument("--train", type=int, help="only so many pictures, for a trial")
    parser.add_argument("--one", nargs=3, metavar=("ARM", "SEED", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        arm, seed, path = args.one
        print(json.dumps({"tutorial": tutorial, "cnnlab": ours}[arm](np.load(path), int(seed))))
        return 0
    line, reached = {"target": TARGET, "cores": os.cpu_count(), "seeds": args.seeds}, True
    with tempfile.TemporaryDirectory() as folder:
        path = write_pictures(folder, args.train)
        for arm in args.arms:
            found = [in_a_process(arm, seed, path) for seed in range(args.seeds)]
            reached &= all(one["accuracy"] >= TARGET for one in found)
            for name in ("seconds", "cpu_seconds", "accuracy", "best_accuracy", "epochs"):
                values = [one[name] for one in found]
                line[f"{arm}_{name}"] = round(statistics.median(values), 4)
            line[f"{arm}_all_seconds"] = [one["seconds"] for one in found]
    if len(args.arms) == 2:
        line["ratio"] = round(line["cnnlab_seconds"] / line["tutorial_seconds"], 3)
    print(json.dumps(line))
    return 0 if reached else 1


def write_pictures(folder: str, train: int | None) -> str:
    """All training and test pictures in one file, so that the tutorial needs nothing of ours."""
    from cnnlab import data

    images = data.load("cifar10").at_most(train=train, val=train)
    path = os.path.join(folder, "cifar10.npz")
    np.savez(
        path,
        x=np.concatenate([images.x_train, images.x_val]),
        y=np.concatenate([images.y_train, images.y_val]),
        x_test=images.x_test,
        y_test=images.y_test,
    )
    return path


def in_a_process(arm: str, seed: int, path: str) -> dict:
    """One seed of one arm."""
    command = [sys.executable, __file__, "--one", arm, str(seed), path]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({"arm": arm, "seed": seed, **found}), file=sys.stderr, flush=True)
    return found


def tutorial(images, seed: int, *, epochs: int = 10) -> dict:
    """https://www.tensorflow.org/tutorials/images/cnn, to its end."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    x, x_test = images["x"] / np.float32(255), images["x_test"] / np.float32(255)
    y, y_test = images["y"], images["y_test"]
    chance = np.random.default_rng(seed)
    clock, accuracies, reached = Clock(), [], None
    for _ in range(epochs):
        order = chance.permutation(len(x))
        shuffled = x[order], y[order]
        with clock:
            model.fit(*shuffled, shuffle=False, verbose=0)
        accuracies.append(model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1])
        if reached is None and accuracies[-1] >= TARGET:
            reached = clock.result(accuracies[-1], len(accuracies))
    reached = reached or clock.result(accuracies[-1], len(accuracies))
    best = int(np.argmax(accuracies))
    return reached | {"best_accuracy": round(accuracies[best], 4), "best_epoch": best + 1}


def ours(images, seed: int, *, epochs: int = 2, batch_size: int = 250) -> dict:
    """The quick preset's residual network, to the end of its schedule."""
    import cnnlab

    cnnlab.start_tensorflow()
    import keras

    from cnnlab import models, training

    keras.utils.set_random_seed(seed)
    x, y = images["x"], images["y"]
    model = models.resnet(widths=(16, 32, 64))
    visits = training.Visits(np.arange(len(x)), y, batch_size, seed=seed, crop=2, flip=True)
    schedule = training.OneCycle(0.24, epochs * visits.steps)
    trainer = training.BlockTrainer(model, training.LookUp(x))
    trainer.compile(training.Muon(schedule), training.SmoothCrossentropy(0.2), jit_compile=False)
    clock = Clock()
    with clock:
        trainer.fit(
            visits.blocks(epochs), epochs=epochs, steps_per_epoch=1, shuffle=False, verbose=0
        )
    found = model.predict(images["x_test"], batch_size=500, verbose=0).argmax(axis=1)
    accuracy = float((found == images["y_test"]).mean())
    return clock.result(accuracy, epochs) | {"best_accuracy": round(accuracy, 4)}


class Clock:
    """Wall and CPU seconds spent inside its `with` blocks."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def __enter__(self):
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.wall += time.perf_counter() - self._start[0]
        self.cpu += time.process_time() - self._start[1]

    def result(self, accuracy: float, epochs: int) -> dict:
        """What was measured until now."""
        times = {"seconds": round(self.wall, 1), "cpu_seconds": round(self.cpu, 1)}
        return {**times, "accuracy": round(accuracy, 4), "epochs": epochs}


if __name__ == "__main__":
    sys.exit(main())
