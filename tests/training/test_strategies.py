import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnlab import training
from cnnlab.training import strategies

WORKER = """
import sys
from cnnlab import training
training.device()
import keras
import numpy as np
x = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
y = np.arange(64) % 3
replicas = training.distribute()
keras.utils.set_random_seed(0)
start = np.random.default_rng(1).normal(size=(48, 3)).astype("float32")
dense = keras.layers.Dense(3)
layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), dense]
model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
dense.set_weights([start, np.zeros(3, "float32")])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
table = training.DevicePictures(x, np.arange(64), np.arange(0))
trainer = training.on_device(model, table, mirror=True)
trainer.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"], jit_compile=False)
fitted = trainer.fit(table.train_rows, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
found = {name: fitted.history[name] for name in ("loss", "accuracy")}
np.savez(sys.argv[1], *model.get_weights(), replicas=replicas, **found)
"""

MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np
from cnnlab.training import BlockTrainer, LookUp, RankedSGD, SmoothCrossentropy, Visits
pictures = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3), dtype=np.uint8)
found = {}
for replicas in (1, 2):
    several = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    strategy = several if replicas == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        inputs = keras.Input((4, 4, 3))
        x = keras.layers.Rescaling(1 / 255)(inputs)
        x = keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.GlorotNormal(1))(x)
        x = keras.layers.Flatten()(x)
        dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotNormal(2))
        model = keras.Model(inputs, dense(x))
        trainer = BlockTrainer(model, LookUp(pictures, shared=True))
        trainer.compile(RankedSGD(0.1), SmoothCrossentropy(0.1), jit_compile=False)
    visits = Visits(np.arange(24), np.arange(24) % 3, 8, flip=True, crop=1, replicas=replicas)
    trainer.fit(visits.blocks(2), epochs=2, steps_per_epoch=1, shuffle=False, verbose=0)
    for i, w in enumerate(model.get_weights()):
        found[f"{replicas}_{i}"] = w
np.savez(sys.argv[1], **found)
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def train(folder, config=None, work=WORKER):
    environment = os.environ | {"PYTHONPATH": str(Path(strategies.__file__).parents[2])}
    environment.pop("TF_CONFIG", None)
    if config is not None:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(
        [sys.executable, "-c", work, str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process):
    with process:
        try:
            output, _ = process.communicate(timeout=600)
        finally:
            process.kill()
    assert process.returncode == 0, output[-3000:]


@pytest.mark.slow
def test_two_workers_learn_what_one_process_learns(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = [
        train(
            tmp_path / f"{index}.npz",
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}},
        )
        for index in range(2)
    ]
    for process in processes:
        finished(process)
    finished(train(tmp_path / "alone.npz"))
    alone = np.load(tmp_path / "alone.npz")
    assert alone["replicas"] == 1
    for index in range(2):
        together = np.load(tmp_path / f"{index}.npz")
        assert together["replicas"] == 2
        for name in ("arr_0", "arr_1", "loss", "accuracy"):
            np.testing.assert_allclose(together[name], alone[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_blocks_shared_by_two_devices_teach_what_they_teach_one(tmp_path):
    finished(train(tmp_path / "both.npz", work=MIRRORED))
    both = np.load(tmp_path / "both.npz")
    for i in range(4):
        np.testing.assert_allclose(both[f"2_{i}"], both[f"1_{i}"], rtol=1e-3, atol=1e-5)


def test_without_several_devices_it_is_the_ordinary_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    training.strategy.cache_clear()
    assert training.strategy().num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (None, 1),
        ("", 1),
        ('{"task": {"type": "worker", "index": 0}}', 1),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', 2),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}', 3),
    ],
)
def test_counts_the_machines(monkeypatch, config, count):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    assert strategies.workers() == count


@pytest.mark.parametrize("wrong", ["two machines", "[1]"])
def test_a_broken_config_is_refused_with_its_text(monkeypatch, wrong):
    monkeypatch.setenv("TF_CONFIG", wrong)
    with pytest.raises(ValueError, match="Expected TF_CONFIG as JSON"):
        strategies.workers()


@pytest.mark.parametrize("choose", [training.strategy, training.distribute])
def test_no_devices_is_refused(choose):
    with pytest.raises(ValueError, match="devices=0"):
        choose(0)
