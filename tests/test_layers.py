import keras
import numpy as np
import pytest

from cnnlab.layers import find, leaves, listening


def two_levels():
    def block(name, *inner):
        return keras.Sequential([keras.layers.Dense(2, name="same"), *inner], name=name)

    deep = block("deep", keras.layers.ReLU(name="end"))
    return keras.Sequential([keras.Input((3,)), block("outer", deep)], name="whole")


def test_find_takes_the_outermost_and_lists_all_names_otherwise():
    model = two_levels()
    assert find(model, "same") is find(model, "outer").layers[0]
    assert find(model, "end") is find(model, "deep").layers[1]
    with pytest.raises(ValueError, match=r"'whole'.*layer='sam'.*outer, same, deep, same, end"):
        find(model, "sam")


def test_leaves_are_the_layers_that_compute():
    assert [layer.name for layer in leaves(two_levels())] == ["same", "same", "end"]


def test_listening_notes_inputs_and_outputs_in_order():
    model, notes = two_levels(), []
    with listening(leaves(model), lambda *note: notes.append(note)):
        output = model(np.ones((1, 3)))
    assert [layer.name for layer, _, _ in notes] == ["same", "same", "end"]
    np.testing.assert_array_equal(notes[0][2], notes[1][1])
    np.testing.assert_array_equal(notes[-1][2], output)
    model(np.ones((1, 3)))
    assert len(notes) == 3


def test_listening_gives_back_a_call_that_a_layer_had_of_its_own():
    layer = find(two_levels(), "end")
    own = layer.call = lambda inputs: inputs + 1

    def stopped():
        with listening([layer], print):
            assert layer.call is not own
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert layer.call is own
