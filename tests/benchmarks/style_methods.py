"""The methods that `style.py --pictures` compares: variants of `stylize`, and the plain recipe.

The plain recipe's weights are meant for the features of ImageNet's VGG-19. Here they are multiplied
by the sizes that those have, means over 16 pictures at 224 px, so they mean the same for every
network.
"""

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
# Of VGG-19: the mean squares of the entries of its Gram matrices, and of its features.
GRAM_SQUARES = dict(zip(LAYERS, (1.617e6, 1.06e9, 2.065e9, 3.727e11, 5.613e7), strict=True))
TUTORIAL_ENERGY = 5255.0

# What `stylize` had by default before the vote that chose what it has now.
BEFORE = {
    "pooling": "average",
    "style_layers": LAYERS,
    "style_loss": "gram",
    "style_weight": 30.0,
    "tv_weight": 50.0,
    "averaging": 0.98,
    "pyramid_ratio": 2.0,
    "steps": 500,
}
METHODS = {
    "stylize": {},
    # One setting at a time as it was before, or otherwise.
    "average_pooling": {"pooling": "average"},
    "equal_layers": {"style_layers": LAYERS},
    "gram": {"style_loss": "gram"},
    "ratio2": {"pyramid_ratio": 2.0},
    "tv50": {"tv_weight": 50.0},
    "no_average": {"averaging": 0.0},
    "scaled": {"loss_form": "scaled"},
    "style3": {"style_weight": 3.0},
    "style12": {"style_weight": 12.0},
    # With as many steps as style-transfer-pytorch takes.
    "long": {"steps": [1000, 500, 500, 500, 500]},
    "before": BEFORE,
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
    few = [1] * len(steps) if isinstance(steps, list) else 8
    if isinstance(steps, list):
        options["steps"] = [max(1, round(share * n)) for n in steps]
    elif share < 1:
        options["steps"] = max(8, round(share * (steps or 700)))
    began = time.perf_counter()
    style.stylize(content, look, **options | {"steps": few})
    compiling = time.perf_counter() - began
    result = style.stylize(content, look, **options)
    facts = {
        "seconds": round(result.seconds, 2),
        "compile_s": round(compiling, 2),
        "steps": sum(level.steps for level in result.levels),
        "distances": {name: round(value, 5) for name, value in result.distances.items()},
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
    content_weight = 1e4 * TUTORIAL_ENERGY
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
