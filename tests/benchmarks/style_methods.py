"""The methods that `style.py --pictures` compares: variants of `stylize`, and the plain recipe.

Weights of losses of other programs are meant for the features of their network. Here they are
multiplied by the sizes that those features have in ImageNet's VGG-19, means over 16 pictures at
224 px, so they mean the same for every network.
"""

import math
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnlab import images, models, style
from cnnlab.style.pyramid import fitted
from cnnlab.style.vgg import device_weights, extract_features, read_vgg
from data.distilling import distillation

PICTURES = Path(__file__).parents[2] / "data" / "pictures"
LAYERS = tuple(f"block{i}_conv1" for i in range(1, 6))
TUTORIAL_CONTENT = "block5_conv2"
# Of VGG-19: the mean squares of its features, and of the entries of its Gram matrices.
ENERGIES = dict(zip(LAYERS, (2577, 6.859e4, 1.269e5, 1.289e6, 2.507e4), strict=True))
GRAM_SQUARES = dict(zip(LAYERS, (1.617e6, 1.06e9, 2.065e9, 3.727e11, 5.613e7), strict=True))
CONTENT_ENERGIES = {"block4_conv2": 8.073e5, TUTORIAL_CONTENT: 5255.0}
# The deviation of VGG-19's pixels in units of that of torchvision's.
UNIT = 255 * 0.225

# style-transfer-pytorch: weights by layer as they are, and times the layers' sizes.
CROWSON = dict(zip(LAYERS, (256, 64, 16, 4, 1), strict=True))
CROWSON_SIZED = {n: w / 341 * ENERGIES[n] / UNIT**2 for n, w in CROWSON.items()}
PORT_STYLE = sum(CROWSON_SIZED.values())
PORT_CONTENT = 0.015 * CONTENT_ENERGIES["block4_conv2"] / UNIT**2

SQRT2 = {"pyramid_ratio": math.sqrt(2), "steps": [300, 200, 200, 200, 200]}
TOGETHER = {
    "pooling": "max",
    "style_layers": CROWSON,
    "loss_form": "scaled",
    "tv_weight": 2.0,
    "averaging": 0.99,
    **SQRT2,
}
PORT = TOGETHER | {
    "style_layers": CROWSON_SIZED,
    "style_loss": "wasserstein",
    "loss_form": "squared",
    "style_weight": PORT_STYLE,
    "content_weight": PORT_CONTENT,
}
METHODS = {
    "today": {},
    # One change at a time.
    "maxpool": {"pooling": "max"},
    "crowson_weights": {"style_layers": CROWSON},
    "sized_weights": {"style_layers": CROWSON_SIZED},
    "scaled": {"loss_form": "scaled", "style_weight": 10.0},
    "sqrt2": SQRT2,
    "tv2": {"tv_weight": 2.0},
    "no_average": {"averaging": 0.0},
    "content3": {"content_weight": 3.0},
    "content10": {"content_weight": 10.0},
    "wasserstein": {"style_loss": "wasserstein"},
    # All of them, at several weights of style; and with squares.
    "together_s3": TOGETHER | {"style_weight": 3.0},
    "together_s10": TOGETHER | {"style_weight": 10.0},
    "together_s30": TOGETHER | {"style_weight": 30.0},
    "together_sized_s10": TOGETHER | {"style_weight": 10.0, "style_layers": CROWSON_SIZED},
    "squared_s30": TOGETHER | {"loss_form": "squared"},
    "squared_s100": TOGETHER | {"loss_form": "squared", "style_weight": 100.0},
    # What style-transfer-pytorch has by default, with fewer steps and with its own.
    "port": PORT,
    "port_c2": PORT | {"content_weight": 2 * PORT_CONTENT},
    "port_c4": PORT | {"content_weight": 4 * PORT_CONTENT},
    "port_equal": PORT | {"style_layers": CROWSON},
    "port_average": PORT | {"pooling": "average"},
    "port_long": PORT | {"steps": [1000, 500, 500, 500, 500]},
    "neighbours": {"style_loss": "neighbours"},
    "neighbours_mapped": {"style_loss": "neighbours", "colors": "mapped"},
    "neighbours_free": {"style_loss": "neighbours", "content_share": 0.25},
    "plain": None,
}


def network(weights: str) -> keras.Model:
    """Build the network that `--weights` names.

    Args:
        weights: As for `models.vgg16`; "random"; "vgg19:FILE", ImageNet's VGG-19 from a file as
            `distillation.read_teacher` takes it; "vgg19eq:FILE", the same with a mean square of 1
            in every channel, as the shipped weights have it; or "shipped19:FILE", the shipped
            weights with the channels' sizes of VGG-19.
    """
    kind, _, path = weights.partition(":")
    if kind not in ("vgg19", "vgg19eq", "shipped19"):
        return models.vgg16(None if weights == "random" else weights)
    teacher = models.backbone("vgg19", None)
    distillation.put(distillation.read_teacher(Path(path)), teacher)
    if kind == "vgg19":
        return teacher
    if kind == "vgg19eq":
        squares = channel_squares(teacher)
        equal, _ = distillation.equalize(distillation.take(teacher), squares)
        return distillation.put(equal, teacher)
    model = models.vgg16("shipped")
    own, wanted = channel_squares(model), channel_squares(teacher)
    factors = {
        name: np.sqrt((wanted[distillation.TARGETS[name]] + 1e-3) / (own[name] + 1e-6))
        for name in own
    }
    return distillation.put(distillation.rescale(distillation.take(model), factors), model)


def channel_squares(model: keras.Model) -> dict[str, np.ndarray]:
    """Compute the mean square of each channel over the pictures in data/."""
    plan, weights = read_vgg(model)
    names = [name for name, filters in plan.layers if filters]
    weights, found = device_weights(weights, plan), {name: [] for name in names}
    for path in sorted(PICTURES.glob("*.jpg")):
        pixels = tf.constant(images.read(path, 224)[None], tf.float32)
        for name, maps in extract_features(pixels, weights, plan, names).items():
            found[name].append(tf.reduce_mean(tf.square(maps), (0, 1, 2)).numpy())
    return {name: np.mean(rows, 0) for name, rows in found.items()}


def picture(
    method: str, model: keras.Model, content: np.ndarray, look: np.ndarray, size: int, share: float
) -> tuple[np.ndarray, dict[str, object]]:
    """Make one picture; first a few steps at each size, so that compiling is timed apart.

    Args:
        method: One of `METHODS`.
        model: A VGG.
        content: uint8 (h, w, 3).
        look: The style, uint8 (h, w, 3).
        size: Longer side in pixels.
        share: Of the steps to take, 0…1.

    Returns:
        The picture, uint8, and facts to print.
    """
    options = METHODS[method]
    if options is None:
        return plain(model, content, look, size, max(1, round(1000 * share)))
    options = {"model": model, "size": size} | options
    steps = options.get("steps")
    few = [1] * len(steps) if steps else 8
    if steps:
        options["steps"] = [max(1, round(share * n)) for n in steps]
    elif share < 1:
        options["steps"] = max(8, round(share * 500))
    began = time.perf_counter()
    style.stylize(content, look, **options | {"steps": few})
    compiling = time.perf_counter() - began
    result = style.stylize(content, look, **options)
    facts = {
        "seconds": round(result.seconds, 2),
        "compile_s": round(compiling, 2),
        "steps": sum(level.steps for level in result.levels),
        "losses": {name: round(float(v[-1]), 5) for name, v in result.history.items()},
    }
    return result.image, facts


def plain(
    model: keras.Model, content: np.ndarray, look: np.ndarray, size: int, steps: int
) -> tuple[np.ndarray, dict[str, object]]:
    """https://www.tensorflow.org/tutorials/generative/style_transfer, with its numbers.

    Returns:
        The last iterate, uint8, and facts to print.
    """
    content = images.read(content, fitted(size, content.shape[:2]))
    look = images.read(look, fitted(min(size, max(look.shape)), look.shape[:2]))
    names = [TUTORIAL_CONTENT, *LAYERS]
    extractor = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])
    start = tf.constant(content[None] / np.float32(255))
    target = extractor(255 * start)[0]
    seen = extractor(tf.constant(look[None], tf.float32))[1:]
    targets = [style.style_target(style.statistics(maps)) for maps in seen]
    style_weights = [1e-2 / len(LAYERS) * GRAM_SQUARES[name] for name in LAYERS]
    content_weight = 1e4 * CONTENT_ENERGIES[TUTORIAL_CONTENT]
    image = tf.Variable(start)
    adam = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=1e-1)
    adam.build([image])

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            shown, *found = extractor(255 * image)
            loss = content_weight * style.content_distance(shown, target)
            loss += tf.add_n(
                [
                    weight * style.style_distance(style.statistics(maps), wanted)
                    for weight, maps, wanted in zip(style_weights, found, targets, strict=True)
                ]
            )
            loss += 30 * tf.image.total_variation(image)[0]
        adam.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0, 1))

    began = time.perf_counter()
    step()  # traces; one of the steps
    image[0, 0, 0, 0].numpy()
    traced = time.perf_counter()
    for _ in range(steps - 1):
        step()
    result = images.to_uint8(255 * image[0].numpy())
    seconds = round(time.perf_counter() - traced, 2)
    return result, {"seconds": seconds, "compile_s": round(traced - began, 2), "steps": steps}
