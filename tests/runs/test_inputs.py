import keras
import numpy as np
import pytest
from short_fits import compiled, fit, network, shuffled

from cnnlab import plots, runs, training

ADAM, SGD = keras.optimizers.Adam, keras.optimizers.SGD
CHANGED = {
    "seed 4": {"trainer": lambda: compiled(network(seed=4), run_eagerly=True)},
    "batch 4": {"data": lambda: (shuffled(4),)},
    "filters 6": {"trainer": lambda: compiled(network(width=6), run_eagerly=True)},
    "layers 7": {"trainer": lambda: compiled(network(shortcut=True), run_eagerly=True)},
    "optimizer SGD": {"trainer": lambda: compiled(network(), SGD(0.01), run_eagerly=True)},
    "learning_rate 0.02": {"trainer": lambda: compiled(network(), ADAM(0.02), run_eagerly=True)},
    "epochs 2": {"epochs": lambda: 2},
}


def once(log, **changed):
    """Train for an epoch without compiling; the same each time but for what is changed."""
    made = {"trainer": lambda: compiled(network(), run_eagerly=True), "epochs": lambda: 1} | changed
    return fit(log, **{key: make() for key, make in made.items()})


def test_the_same_run_made_again_replaces_its_row_and_any_other_input_adds_one():
    log = runs.RunLog()
    once(log)
    again = once(log)
    assert list(log) == [again]
    for changed in CHANGED.values():
        once(log, **changed)
    assert len(log) == 1 + len(CHANGED)
    once(log)
    assert len(log) == 1 + len(CHANGED)
    names = [label.get_text() for label in plots.learning_curves(list(log)[:8]).axes[0].texts]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("shown", CHANGED)
def test_the_table_says_what_tells_two_rows_apart(shown):
    log = runs.RunLog()
    once(log)
    run = once(log, **CHANGED[shown])
    key, value = shown.split()
    first, second = repr(log).splitlines()
    assert shown in second
    assert key in first
    assert f"{key} {value}" not in first
    assert any(
        line.split()[0].endswith(key)
        for line in repr(run.compared_with(next(iter(log)))).split("\n")[1:]
    )


def test_what_a_setting_tells_is_not_said_twice():
    log = runs.RunLog()
    for rate in (0.01, 0.02):
        trainer = compiled(network(), ADAM(rate), run_eagerly=True)
        with log.record("net", trainer, lr=rate) as run:
            trainer.fit(shuffled(), verbose=0, callbacks=[run])
    assert [line.split("  ")[1] for line in repr(log).splitlines()] == ["lr 0.01", "lr 0.02"]


def test_one_network_in_several_trainers_is_the_same_run():
    log, model = runs.RunLog(), network()
    pictures = np.zeros((8, 6, 6, 3), "uint8")
    table = training.DevicePictures(keras.ops.convert_to_tensor(pictures), *[np.arange(8)] * 2)
    for mirror in (False, False, True):
        trainer = compiled(training.on_device(model, table, mirror=mirror), run_eagerly=True)
        with log.record("net", model) as run:
            trainer.fit(np.arange(8), np.zeros(8), verbose=0, callbacks=[run])
    assert len(log) == 2
    assert "mirror True" in repr(log).splitlines()[1]


def test_a_schedule_of_variables_is_told_by_their_values():
    log, peak = runs.RunLog(), keras.Variable(0.1, trainable=False)
    for value in (0.1, 0.2, 0.1):
        peak.assign(value)
        once(
            log,
            trainer=lambda: compiled(network(), SGD(training.OneCycle(peak, 4)), run_eagerly=True),
        )
    assert len(log) == 2
    assert "peak 0.2" in repr(log)


class Own(keras.layers.Layer):
    """A layer as readers write them: arguments, and no get_config."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def call(self, x):
        return self.model(x)


def test_a_layer_of_one_s_own_without_a_configuration_is_looked_into():
    log = runs.RunLog()
    for width in (4, 6, 4):
        trainer = keras.Sequential([keras.Input((6, 6, 3)), Own(network(width=width))])
        once(log, trainer=lambda trainer=trainer: compiled(trainer, run_eagerly=True))
    assert len(log) == 2
