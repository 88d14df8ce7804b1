from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from short_fits import LABELS, PICTURES, compiled, fit, shuffled

from cnnlab import plots, runs, training
from cnnlab.runs.comparison import differences
from cnnlab.runs.feed import Feed
from cnnlab.runs.inputs import describe
from cnnlab.runs.table import as_text

ADAM, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def network(*, width=4, shortcut=False, seed=3):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(width, 3, padding="same")(inputs)
    if shortcut:
        x = x + layers.Conv2D(width, 1)(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def inputs(trainer=None, optimizer=None, *, epochs=8, steps=4, batch=5, **options):
    trainer = compiled(network(**options) if trainer is None else trainer, optimizer or ADAM(0.01))
    return describe(trainer, epochs=epochs, steps=steps, batch=batch)


def logged(*found, **settings):
    """Runs as a log holds them, of which only the inputs matter."""
    results = {"history": {"loss": [1.0]}, "parameters": 1, "seconds": 1.0, "test_accuracy": None}
    state = {"first_step_seconds": 0.1, "stopped": False, "diverged": False, "date": ""}
    common = {"name": "net", **results, **state}
    return [SimpleNamespace(**common, settings=settings, inputs=each) for each in found]


CHANGED = {
    "seed 4": {"seed": 4},
    "batch 4": {"batch": 4},
    "epochs 2": {"epochs": 2},
    "steps 9": {"steps": 9},
    "conv2d.filters 6": {"width": 6},
    "layers 4": {"shortcut": True},
    "optimizer SGD": {"optimizer": SGD(0.01)},
    "learning_rate 0.02": {"optimizer": ADAM(0.02)},
}


def test_two_equal_networks_of_one_kernel_are_the_same_inputs():
    assert inputs() == inputs()  # though Keras calls their layers conv2d_3 and conv2d_4


@pytest.mark.parametrize("shown", CHANGED)
def test_a_changed_input_is_another_run_and_the_table_says_which(shown):
    before, after = inputs(), inputs(**CHANGED[shown])
    assert before != after
    pair = logged(before, after)
    first, second = (line.split("  ")[1] for line in as_text(pair).splitlines())
    key, value = shown.split()
    assert shown in second
    assert key in first
    assert shown not in first.split(", ")
    assert (key, str(after.get(key, value))) in [(k, f"{b}") for k, _, b in differences(*pair)]
    labels = [
        label.get_text() for label in plots.learning_curves(pair, metrics=["loss"]).axes[0].texts
    ]
    assert any(key in label for label in labels)
    assert len(set(labels)) == 2


def test_layers_connected_otherwise_are_another_run():
    def shared(twice):
        a, dense = keras.Input((4,)), layers.Dense(4)
        return keras.Model(a, dense(dense(a)) if twice else dense(a))

    assert inputs(shared(False)) == inputs(shared(False))
    assert inputs(shared(False)) != inputs(shared(True))
    (line,) = differences(*logged(inputs(shared(False)), inputs(shared(True))))
    assert line[0] == "connections"


def test_what_a_setting_tells_is_not_said_twice():
    (first,), (second,) = (logged(inputs(optimizer=ADAM(lr)), lr=lr) for lr in (0.01, 0.02))
    shown = [line.split("  ")[1] for line in as_text([first, second]).splitlines()]
    assert shown == ["lr 0.01", "lr 0.02"]
    assert differences(first, second) == [("lr", 0.01, 0.02)]


def test_one_network_in_several_trainers_is_the_same_run():
    model, rows = network(), np.arange(8)
    table = training.DevicePictures(keras.ops.zeros((8, 6, 6, 3), "uint8"), rows, rows)
    first, second, mirrored = (
        inputs(training.on_device(model, table, training.Augment(), mirror=mirror))
        for mirror in (False, False, True)
    )
    assert first == second
    assert first != mirrored
    assert "mirror True" in as_text(logged(first, mirrored)).splitlines()[1]


def test_other_pictures_on_the_device_are_another_run():
    model, rows = network(), np.arange(80)
    pictures = np.random.default_rng(0).integers(0, 256, (80, 6, 6, 3)).astype("uint8")
    found = [
        inputs(training.on_device(model, training.DevicePictures(keras.ops.array(x), rows, rows)))
        for x in (pictures, pictures, pictures[::-1], pictures[:79])
    ]
    assert found[0] == found[1]
    assert len({str(each) for each in found}) == 3


def test_a_schedule_of_variables_is_told_by_their_values():
    peak = keras.Variable(0.1, trainable=False)
    optimizer, found = SGD(training.OneCycle(peak, 4)), []
    for value in (0.1, 0.2, 0.1):
        peak.assign(value)
        found.append(inputs(optimizer=optimizer))
    assert found[0] == found[2] != found[1]
    assert "peak 0.2" in as_text(logged(*found[:2]))


class Own(keras.layers.Layer):
    """A layer as readers write them: arguments, and no get_config."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, x):
        return self.model(x)


def test_a_layer_of_one_s_own_without_a_configuration_is_looked_into():
    narrow, again, wide = (
        inputs(keras.Sequential([keras.Input((6, 6, 3)), Own(network(width=width))]))
        for width in (4, 4, 6)
    )
    assert narrow == again != wide


def test_what_is_loaded_from_a_float_or_a_function_is_the_same_in_every_process():
    def own_loss(y, logits):
        return keras.losses.mean_squared_error(y, logits)

    model = network()
    model.compile(ADAM(0.001), own_loss)
    found = describe(model, epochs=1, steps=None, batch=None)
    assert found["loss"] == "own_loss"
    assert found["learning_rate"] == 0.001
    assert " at 0x" not in repr(found)


def test_fit_tells_epochs_steps_and_batch():
    log = runs.RunLog()
    first = fit(log, epochs=1)
    again = fit(log, epochs=1)
    fit(log, epochs=1, data=(shuffled(7),))
    arrays = fit(log, epochs=1, data=(PICTURES, LABELS), batch_size=11)
    assert len(log) == 3
    assert first not in list(log)
    assert again in list(log)
    keys = ("epochs", "steps", "batch", "seed")
    assert [again.inputs[key] for key in keys] == [1, 4, 5, 3]
    assert [arrays.inputs[key] for key in keys] == [1, 2, 11, 3]


def test_more_epochs_of_the_same_blocks_are_the_same_data():
    rows = np.arange(20)

    def data(epochs, val_rows=20):
        blocks = training.Visits(rows, rows % 3, 5, side=4).blocks(epochs, steps_per_call=1)
        val = training.plain_visits(rows[:val_rows], rows[:val_rows] % 3, batch_size=5)
        return Feed(None, (blocks, None, val)).data

    assert data(epochs=1) == data(epochs=2)
    assert data(epochs=1) != data(epochs=1, val_rows=10)
