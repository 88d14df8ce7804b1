"""See that Keras runs on TensorFlow, channels last. Rooms that need Keras import this before it."""

_EXPECTED = {"backend": "tensorflow", "image_data_format": "channels_last"}


def _wrong(received: object) -> ImportError:
    return ImportError(
        f"Expected Keras with {_EXPECTED}. Received: {received}. KERAS_BACKEND in the environment "
        "decides on the backend where it is set; else keras.json in $KERAS_HOME or ~/.keras does, "
        "as on the data format. Change it there and start Python again."
    )


try:
    import keras
except (ImportError, ValueError) as error:  # of a backend that isn't installed, or isn't one
    raise _wrong(error) from error
_found = {name: getattr(keras.config, name)() for name in _EXPECTED}
if _found != _EXPECTED:
    raise _wrong(_found)
