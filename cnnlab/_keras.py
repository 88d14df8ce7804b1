"""See that Keras runs on TensorFlow, channels last. Every room that needs Keras imports this."""

import keras

_FOUND = keras.config.backend(), keras.config.image_data_format()
if _FOUND != ("tensorflow", "channels_last"):
    raise ImportError(
        "Expected Keras with the backend 'tensorflow' and the image data format 'channels_last'. "
        f"Received: backend={_FOUND[0]!r}, image_data_format={_FOUND[1]!r}. "
        "Set both in ~/.keras/keras.json, or KERAS_BACKEND=tensorflow in the environment, "
        "and start Python again."
    )
