"""Style transfer: how fast a step is, and how good a picture is against the plain recipe.

python tests/benchmarks/style.py --size 512 --steps 500      one JSON line of times and losses
python tests/benchmarks/style.py --quality                   three pairs against the plain recipe

Times: one size, VGG-16 to block5_conv1, Gram matrices, Adam. A step's milliseconds are of the
second run in the process; compiling is the difference to the first.

Quality: the plain recipe is TensorFlow's style-transfer tutorial (one size, Gram matrices, Adam)
with its own settings, on the same network. It gets as many seconds as `stylize` took with its
defaults, tracing not counted for either. A yardstick that belongs to neither measures both: losses
of float32 features at the final size, zero padding, the tutorial's layers, each over the size of
what is wanted. Style is compared at equal content: of the plain recipe's iterates we take the best
in style whose content loss isn't above ours, over three weights of content.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import psutil
import tensorflow as tf

from cnnlab import images, models, style, training
from cnnlab.style.pyramid import fitted
from cnnlab.style.vgg import device_weights, extract_features, read_vgg

PICTURES = Path(__file__).parents[2] / "data" / "pictures"
PAIRS = (("harbour", "marbling"), ("lake", "glass"), ("harbour", "woodcut"))
TUTORIAL_CONTENT = "block5_conv2"
TUTORIAL_STYLE = tuple(f"block{i}_conv1" for i in range(1, 6))
CONTENT_WEIGHTS = (1e4, 1e3, 1e2)  # the tutorial's, and less: it changes too little for ours
REPORTS = 20  # iterates of the plain recipe that are measured


def picture(name: str) -> np.ndarray:
    """A picture by its name in data/, or by its path."""
    return images.read(name if Path(name).is_file() else PICTURES / f"{name}.jpg")


def speed(model: keras.Model, args: argparse.Namespace) -> dict:
    """One size, two runs in one process, of which the second has nothing left to compile."""
    content, look = picture(args.content), picture(args.style)
    options = {"size": (args.size, args.size), "steps": args.steps, "pyramid": args.pyramid}
    options |= {"model": model, "precision": args.precision, "jit_compile": args.jit_compile}
    runs = []
    for _ in range(2):
        clock = []

        def note(progress: style.Progress, clock: list = clock) -> None:
            clock.append((progress.step, progress.seconds))

        every = max(1, args.steps // 5)  # seldom: a GPU waits at each report
        result = style.stylize(content, look, callback=note, callback_every=every, **options)
        runs.append((result, clock))
        if len(runs) == 1 and training.device().is_gpu:  # without what autotuning tried out
            tf.config.experimental.reset_memory_stats("GPU:0")
    (first, _), (second, clock) = runs
    (start, began), (end, ended) = clock[0], clock[-1]
    return {
        "size": args.size,
        "steps": args.steps,
        "sizes": [max(level.height, level.width) for level in second.levels],
        "ms_a_step": round(1e3 * (ended - began) / (end - start), 3),
        "total_s": round(second.seconds, 2),
        "first_run_s": round(first.seconds, 2),
        "compile_s": round(first.seconds - second.seconds, 2),
        "peak_memory_gb": round(peak_memory() / 1e9, 2),
        "estimate": str(second.estimate),
        "losses": {name: round(float(v[-1]), 5) for name, v in second.history.items()},
        "same_again": bool((first.image == second.image).all()),
    }


def peak_memory() -> int:
    """Bytes: of the GPU, else of this process as it is now."""
    if training.device().is_gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return psutil.Process().memory_info().rss


def yardstick(
    model: keras.Model, content: np.ndarray, look: np.ndarray
) -> Callable[[np.ndarray], tuple[float, float]]:
    """A function of pixels: (content, style), in float32, as neither recipe trains on it."""
    plan, weights = read_vgg(model, padding="zeros")
    names = (TUTORIAL_CONTENT, *TUTORIAL_STYLE)
    plan = plan.until(names)
    weights = device_weights(weights, plan)

    def extract(pixels: np.ndarray) -> dict[str, tf.Tensor]:
        pixels = tf.constant(pixels[None], tf.float32)
        return extract_features(pixels, weights, plan, names)

    shown, seen = extract(content), extract(look)
    wanted = {n: style.style_target(style.statistics(seen[n])) for n in TUTORIAL_STYLE}

    def measure(pixels: np.ndarray) -> tuple[float, float]:
        own = extract(pixels)
        layers = [style.style_distance(style.statistics(own[n]), wanted[n]) for n in TUTORIAL_STYLE]
        distance = style.content_distance(own[TUTORIAL_CONTENT], shown[TUTORIAL_CONTENT])
        return float(distance), float(np.mean(layers))

    return measure


def plain(
    model: keras.Model,
    content: np.ndarray,
    look: np.ndarray,
    seconds: float,
    *,
    content_weight: float,
    style_weight: float = 1e-2,
    tv_weight: float = 30.0,
) -> list[np.ndarray]:
    """https://www.tensorflow.org/tutorials/generative/style_transfer, with its numbers.

    Returns:
        Iterates spread over the seconds, (h, w, 3) in 0…255, the last one last.
    """
    names = [TUTORIAL_CONTENT, *TUTORIAL_STYLE]
    extractor = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])

    def extract(image: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        shown, *seen = extractor(255 * image)
        return shown, [style.gram_matrix(x) for x in seen]

    start = tf.constant(content[None] / np.float32(255))
    target_content = extract(start)[0]
    target_style = extract(tf.constant(look[None] / np.float32(255)))[1]

    @tf.function
    def step(image: tf.Variable, optimizer: keras.Optimizer) -> None:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            shown, seen = extract(image)
            loss = content_weight * tf.reduce_mean((shown - target_content) ** 2)
            errors = [tf.reduce_mean((a - b) ** 2) for a, b in zip(seen, target_style, strict=True)]
            loss += style_weight * tf.add_n(errors) / len(errors)
            loss += tv_weight * tf.image.total_variation(image)[0]
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0, 1))

    image = tf.Variable(start)
    optimizer = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=1e-1)
    optimizer.build([image])
    fresh = [tf.identity(variable) for variable in optimizer.variables]
    step(image, optimizer)  # traces; then back to the start
    image.assign(start)
    for variable, value in zip(optimizer.variables, fresh, strict=True):
        variable.assign(value)

    kept, began = [], time.perf_counter()
    while len(kept) < REPORTS:
        step(image, optimizer)
        float(image[0, 0, 0, 0])  # waits for the device
        if time.perf_counter() - began >= seconds * (len(kept) + 1) / REPORTS:
            kept.append(tf.identity(image))
    return [255 * x[0].numpy() for x in kept]


def compare(
    model: keras.Model, names: tuple[str, str], size: int, save: Path | None
) -> dict[str, object]:
    """One pair: our default, and the best that the plain recipe has at the same content loss."""
    content, look = (picture(name) for name in names)
    style.stylize(content, look, size=size, model=model)  # traces and compiles
    ours = style.stylize(content, look, size=size, model=model)
    content = images.read(content, ours.image.shape[:2])
    look = images.read(look, fitted(min(size, max(look.shape)), look.shape[:2]))
    measure = yardstick(model, content, look)
    own_content, own_style = measure(ours.image)
    found = {}
    for weight in CONTENT_WEIGHTS:
        iterates = plain(model, content, look, ours.seconds, content_weight=weight)
        found[weight] = [measure(x) for x in iterates]
        if save:
            images.save(iterates[-1], save / f"{'_'.join(names)}_plain_{weight:g}.png")
    if save:
        images.save(ours.image, save / f"{'_'.join(names)}_ours.png")
    fair = [seen for run in found.values() for kept, seen in run if kept <= own_content]
    return {
        "pair": names,
        "seconds": round(ours.seconds, 2),
        "content": round(own_content, 4),
        "style": round(own_style, 5),
        "plain_style_at_no_more_content": round(min(fair), 5) if fair else None,
        "plain_ends_at": {f"{w:g}": [round(x, 5) for x in run[-1]] for w, run in found.items()},
        "lower": own_style < min(fair, default=np.inf),
    }


def main() -> int:
    """Print one JSON line; 1 if the plain recipe was better somewhere."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--pyramid", type=int, default=1)
    parser.add_argument("--weights", default="auto", help="as for models.vgg16, or random")
    parser.add_argument("--precision")
    parser.add_argument("--content", default=PAIRS[0][0], help="a name in data/pictures, or a path")
    parser.add_argument("--style", default=PAIRS[0][1])
    parser.add_argument("--no-xla", dest="jit_compile", action="store_false")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--save", type=Path, help="a folder for the pictures of --quality")
    args = parser.parse_args()
    args.jit_compile &= training.device().jit_compile
    model = models.vgg16(None if args.weights == "random" else args.weights)
    line = {"device": training.device().name, "weights": str(args.weights)}
    if not args.quality:
        print(json.dumps(line | speed(model, args)))
        return 0
    pairs = [compare(model, names, args.size, args.save) for names in PAIRS]
    lower = all(pair["lower"] for pair in pairs)
    print(json.dumps(line | {"size": args.size, "all_lower": lower, "pairs": pairs}))
    return 0 if lower else 1


if __name__ == "__main__":
    sys.exit(main())
