"""Reach into any Keras model: find its layers through nested models, hear what they answer.

The rooms that look inside networks share it; no notebook teaches it.
"""

from __future__ import annotations

from cnnlab import _keras  # noqa: F401  # isort: skip
import functools
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

__all__ = [
    "compiled",
    "explained",
    "final_activation",
    "find",
    "leaves",
    "listening",
    "names",
    "nested",
    "one_output",
    "output_layer",
    "require_model",
    "require_places",
]

_ACTIVATIONS = {name.replace("_", "") for name in dir(keras.activations)}


def require_model(model: object, name: str = "model") -> None:
    """Refuse what is no Keras model, such as a function or a file's path.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            "Expected a Keras model; keras.models.load_model reads one from a file. "
            f"Received: {name} of type {type(model).__name__}"
        )


def nested(model: keras.Model) -> Iterator[keras.Model]:
    """Yield a model, then the models nested in it, the outermost first."""
    require_model(model)
    level = [model]
    while level:
        yield from level
        level = [inner for m in level for inner in m.layers if isinstance(inner, keras.Model)]


def leaves(model: keras.Model) -> list[keras.Layer]:
    """List all layers of a model and of its nested models that compute something themselves."""
    layers = (part for owner in nested(model) for layer in owner.layers for part in _parts(layer))
    idle = keras.Model | keras.layers.InputLayer
    return [layer for layer in dict.fromkeys(layers) if not isinstance(layer, idle)]


def _parts(layer: keras.Layer) -> list[keras.Layer]:
    """List the layers inside a layer of somebody's own, then that layer itself."""
    if type(layer).__module__.split(".")[0] == "keras" or isinstance(layer, keras.Model):
        return [layer]
    values = keras.tree.flatten([v for v in vars(layer).values() if not isinstance(v, dict)])
    return [*(value for value in values if isinstance(value, keras.Layer)), layer]


def find(model: keras.Model, name: str) -> keras.Layer:
    """Find the layer of this name, the outermost if there are several.

    Raises:
        ValueError: No such layer; the message lists those that there are.
    """
    for owner in nested(model):
        for layer in owner.layers:
            if layer.name == name:
                return layer
    raise ValueError(
        f"Expected the name of a layer of {model.name!r}. "
        f"Received: layer={name!r}. Layers: {names(model)}"
    )


def names(model: keras.Model) -> str:
    """List the names of all layers, nested ones included, for a message."""
    return ", ".join(layer.name for owner in nested(model) for layer in owner.layers)


@contextmanager
def listening(
    layers: Sequence[keras.Layer],
    note: Callable[[keras.Layer, tf.Tensor | None, tf.Tensor], None],
) -> Iterator[None]:
    """Call, while open, `note(layer, inputs, output)` each time that one of the layers has run.

    Of several outputs the first is noted.

    Keras has no hooks, and the usual `keras.Model(model.inputs, layer.output)` fails for layers of
    a nested model and for models that aren't functional. So each layer gets a `call` of its own
    for as long as the context is open.
    """

    def heard(layer: keras.Layer, call: Callable) -> Callable:
        @functools.wraps(call)
        def wrapper(*args: object, **kwargs: object) -> object:
            output = call(*args, **kwargs)
            first = output[0] if isinstance(output, tuple | list) and output else output
            if tf.is_tensor(first):
                note(layer, args[0] if args else None, first)
            return output

        return wrapper

    before = {layer: vars(layer).get("call") for layer in layers}
    try:
        for layer in before:
            vars(layer)["call"] = heard(layer, layer.call)
        yield
    finally:
        for layer, call in before.items():
            vars(layer).pop("call", None)
            if call is not None:
                vars(layer)["call"] = call


# Model -> (function, layer, shapes) -> what `compiled` made of it. Both ends are weak, so that a
# model goes from memory when nobody else has it.
_functions: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


def compiled(
    function: Callable, model: keras.Model, layer: str | None, *tensors: tf.Tensor
) -> tf.Tensor | tuple[tf.Tensor | None, ...] | None:
    """Call `function(model, layer, *tensors)` as one graph, which is kept for the next call.

    A graph runs only what its results depend on. Step by step, TensorFlow also computes the
    gradients of filters when only those of maps are asked for: a waste, and oneDNN crashes in some
    of them on processors with AVX512-FP16 (TensorFlow 2.21).

    As with Keras's own `predict`, weights may change between calls; a layer's other settings,
    changed after the first call, are not seen.
    """
    require_model(model)
    functions = _functions.setdefault(model, {})
    key = (function, layer, *((tuple(t.shape), t.dtype) for t in tensors))
    if key not in functions:
        the_model = weakref.ref(model)
        traced = tf.function(
            lambda *tensors: function(the_model(), layer, *tensors),
            autograph=False,
            jit_compile=False,
        )
        # One graph for each key by our own count: TensorFlow's would take the first calls of
        # several models for one function that is traced at every call, and warn.
        functions[key] = traced.get_concrete_function(*tensors)
    return functions[key](*tensors)


def final_activation(model: keras.Model) -> str:
    """Tell what a model ends in: "logits" (no activation), "softmax" or "sigmoid".

    Raises:
        ValueError: The last layer has another activation, or the model has several outputs.
    """
    require_model(model)
    last = output_layer(model)
    activation = getattr(last, "activation", None)
    # `layers.Softmax` and `ops.softmax` are classes of their own; so are those of ReLU and others.
    name = (type(last) if activation is None else activation).__name__.lower().replace("_", "")
    if name in ("softmax", "sigmoid"):
        return name
    if (activation is None and name not in _ACTIVATIONS) or name in ("linear", "logsoftmax"):
        return "logits"
    raise ValueError(
        "Expected a model that ends in logits (no activation), in a softmax, or in a sigmoid. "
        f"Received: model={model.name!r} with {name} in its last layer, {last.name!r}. "
        "For logits, make a model that ends before it: keras.Model(model.input, "
        "model.layers[-2].output)"
    )


@contextmanager
def explained(model: keras.Model, shape: Sequence[int | None]) -> Iterator[None]:
    """Say in one sentence why a model can't take pictures, where Keras and TensorFlow need a page.

    Args:
        model: What is called inside the block.
        shape: Of the pictures that it is called on, with or without their number.

    Raises:
        ValueError: The model can't take them; the message gives the first line of the reason.
    """
    try:
        yield
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        text = str(error)
        quoted = re.search(r"\x1b\[1m(.*?)(\n|\x1b)", text, re.DOTALL)  # Keras prints it bold
        reason = re.sub(
            r"\{\{.*?\}\}\s*| \[Op:.*", "", quoted[1] if quoted else text.partition("\n")[0]
        )
        raise ValueError(
            f"Expected pictures that {model.name!r} can take: of its number of channels, large "
            f"enough for its layers. Received: pictures of shape {tuple(shape)}: {reason[:200]}. "
            "images.read makes any picture RGB of any size"
        ) from None


def require_places(maps: object) -> None:
    """Refuse maps of no places, which Keras 3.13 makes of pictures that are too small.

    Raises:
        ValueError: One of these tensors, in whatever structure, has a side of 0.
    """
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(maps)]
    if empty := [shape for shape in shapes if 0 in shape]:
        raise ValueError(f"nothing would be left of them, maps of shape {empty[0]}")


def one_output(model: keras.Model, outputs: object) -> tf.Tensor:
    """Return the one tensor that a model has answered.

    Raises:
        ValueError: It has answered several.
    """
    tensors = tf.nest.flatten(outputs)
    if len(tensors) != 1:
        raise ValueError(
            "Expected a model with one output. Received: "
            f"model={model.name!r} with {len(tensors)}. Choose one: "
            "keras.Model(model.inputs, model.outputs[0])"
        )
    return tensors[0]


def output_layer(model: keras.Model) -> keras.Operation:
    """Find the layer, or `keras.ops` operation, that gives a model its output; in nested models.

    What only hands it on is passed over, such as the conversion to float32 after a softmax.

    Raises:
        ValueError: A functional model has several outputs.
    """
    one_output(model, getattr(model, "outputs", None) or [model])
    for step in _backwards(model):
        if not (isinstance(step, keras.layers.Identity) or _is_linear(step)):
            return step
    return model  # which computes without layers


def _backwards(model: keras.Model) -> Iterator[keras.Operation]:
    """Yield the steps of a model and of those nested in it, the last one first."""
    # `operations` of a functional model also lists the steps that aren't layers.
    for step in reversed(model.operations if hasattr(model, "operations") else model.layers):
        if isinstance(step, keras.Model):
            yield from _backwards(step)
        else:
            yield step


def _is_linear(step: keras.Operation) -> bool:
    linear = keras.activations.linear
    return isinstance(step, keras.layers.Activation) and step.activation is linear
