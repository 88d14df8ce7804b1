"""See that Keras runs on TensorFlow, channels last. Rooms that need Keras import this before it."""

_EXPECTED = {"backend": "tensorflow", "image_data_format": "channels_last"}


def _wrong(received: object) -> ImportError:
    return ImportError(
        f"Expected Keras with {_EXPECTED}. Received: {received}. Set both in ~/.keras/keras.json, "
        "or KERAS_BACKEND=tensorflow in the environment, and start Python again."
    )


try:
    import keras
except ImportError as error:  # of a backend that isn't installed
    raise _wrong(error) from error
_found = {name: getattr(keras.config, name)() for name in _EXPECTED}
if _found != _EXPECTED:
    raise _wrong(_found)
