import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_networks import Subclassed, nested_net, residual_net
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from cnnlab import interpret
from cnnlab.layers import find


def kernels_run(call, folder):
    """Return the names and types of all operations that TensorFlow runs in a call."""
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
    with tf.profiler.experimental.Profile(str(folder), options):
        call()
    (trace,) = folder.rglob("*.xplane.pb")
    planes = xplane_pb2.XSpace.FromString(trace.read_bytes()).planes
    # The plane of metadata holds all programs that XLA compiled before in this process.
    return "\n".join(
        event.name
        for plane in planes
        if plane.name != "/host:metadata"
        for event in plane.event_metadata.values()
    )


@pytest.mark.parametrize("make", [residual_net, nested_net, Subclassed])
def test_no_gradient_of_a_filter_is_computed(image, tmp_path, make):
    # oneDNN crashes in some of them on processors with AVX512-FP16.
    model = make()
    calls = {
        "class": lambda: interpret.grad_cam(model, image, 1, layer="stem"),
        "predicted": lambda: interpret.grad_cam(model, image, layer="stem"),
        "pixels": lambda: interpret.receptive_field(model, "block", image[None]),
    }
    for name, call in calls.items():
        run = kernels_run(call, tmp_path / name)
        assert "Conv2DBackpropInput" in run, name
        assert "Conv2DBackpropFilter" not in run, name


def test_painting_computes_no_gradient_of_a_filter(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(6, 1, strides=2, name="small")]
    )
    call = lambda: interpret.maximize(model, "small", [0], size=8, steps=1, jitter=0)  # noqa: E731
    run = kernels_run(call, tmp_path)
    assert "Conv2DBackpropInput" in run
    assert "Conv2DBackpropFilter" not in run


def test_later_calls_reuse_the_graph_and_see_new_weights(image):
    traces = []

    class Counted(Subclassed):
        def call(self, pixels, training=None):
            traces.append(pixels.shape)
            return super().call(pixels, training=training)

    model = Counted()
    first = interpret.grad_cam_map(model, image)
    again = interpret.grad_cam_map(model, 255 - image, 2)
    assert len(traces) == 1
    assert np.abs(first - again).max() > 0
    head = find(model, "logits")
    head.kernel.assign(2 * head.kernel)
    np.testing.assert_allclose(
        interpret.grad_cam_map(model, 255 - image, 2), 2 * again, rtol=1e-4, atol=1e-6
    )
    assert len(traces) == 1


def test_a_model_that_was_explained_can_leave_memory(image):
    model = residual_net()
    interpret.grad_cam_map(model, image)
    interpret.receptive_field(model, "block", image[None])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
