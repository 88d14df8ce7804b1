"""Neural style transfer by optimising the picture itself.

    result = stylize("portrait.jpg", "waves.jpg")
    images.save(result.image, "portrait in waves.png")

The pixels are optimised until a VGG's deep layers have the content's features, and its layers'
statistics are those of the style.

Source: Gatys, Ecker and Bethge 2016, Image Style Transfer Using Convolutional Neural Networks.
Where this departs from it: losses are ratios, so weights mean the same at any size and for any
network (see `losses`); style is compared as normal distributions rather than Gram matrices; coarse
to fine; the edge is copied outwards rather than framed in black; the result is an average of
iterates. The last four are K. Crowson's, from style-transfer-pytorch, and so are the layers'
weights, in our units. Defaults are what vision models preferred that were told nothing of the
methods; `tests/benchmarks/style.py` makes such pictures.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnlab import training
from cnnlab.style.descent import AdamSettings, descend_by_adam, descend_by_lbfgs
from cnnlab.style.losses import STYLE_LOSSES
from cnnlab.style.matching import LAYERS
from cnnlab.style.neighbours import descend_by_neighbours, neighbour_levels
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Estimate, Level, estimate
from cnnlab.style.recorder import Progress, Recorder, StyleResult
from cnnlab.style.settings import (
    Layers,
    Picture,
    check_choice,
    check_choices,
    layer_shares,
    network_of,
    number,
    positive_int,
    read_init,
    read_picture,
    read_precision,
    read_styles,
    read_term_weights,
)
from cnnlab.style.vgg import VGGPlan, device_weights, read_vgg

log = logging.getLogger(__name__)

CONTENT_LAYERS = ("block4_conv2",)
# style-transfer-pytorch's weights times the sizes of VGG-19's features there, which it doesn't
# divide by as we do; its fifth layer would have a five-hundredth.
STYLE_LAYERS = {
    "block1_conv1": 0.05,
    "block2_conv1": 0.36,
    "block3_conv1": 0.17,
    "block4_conv1": 0.42,
}
STEPS_ON_CPU, STEPS_ON_GPU = 70, 700
LEARNING_RATE = 5.0
NEIGHBOURS = "neighbours"
NEIGHBOURS_STEPS_ON_CPU, NEIGHBOURS_STEPS_ON_GPU = 100, 1000
NEIGHBOURS_LEARNING_RATE = 0.5
# XLA saves about half of a GPU's time, but takes this long to compile a size first.
SECONDS_WORTH_COMPILING = 30.0


def stylize(
    content: Picture,
    style: Picture | Sequence[Picture],
    *,
    size: int | tuple[int, int] = 512,
    steps: int | Sequence[int] | None = None,
    pyramid: int | None = None,
    pyramid_ratio: float = 2**0.5,
    content_weight: float = 1.0,
    style_weight: float = 6.0,
    tv_weight: float = 0.5,
    content_layers: str | Sequence[str] | Mapping[str, float] = CONTENT_LAYERS,
    style_layers: str | Sequence[str] | Mapping[str, float] = STYLE_LAYERS,
    style_loss: str = "wasserstein",
    loss_form: str = "squared",
    content_share: float = 0.75,
    style_weights: Sequence[float] | None = None,
    style_scale: float = 1.0,
    enlarge_style: bool = False,
    masks: Sequence[np.ndarray | None] | None = None,
    colors: str = "style",
    optimizer: str = "adam",
    learning_rate: float | None = None,
    averaging: float = 0.99,
    init: str | Picture = "content",
    pooling: str = "max",
    padding: str = "first",
    model: keras.Model | str = "vgg16",
    precision: str | None = None,
    jit_compile: bool | None = None,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    callback_every: int = 10,
) -> StyleResult:
    """Paint one picture's content in the style of another, or of several.

    Stop (KeyboardInterrupt, also one raised by the callback) ends the run with the best picture so
    far.

    Args:
        content: The picture to show: a path, an address, or an array as `images.read` takes it.
        style: The picture, or several, whose style to take.
        size: Longer side of the result in pixels, or (height, width): the content is then cropped
            to these proportions.
        steps: Over all sizes together, or one number a size, from coarse to fine (neighbours: and
            one for the last steps); None takes 70 on a CPU, 700 on a GPU (neighbours: 100, 1000).
        pyramid: Number of sizes; 1 works at full size only. None starts as near to 128 pixels as it
            can (neighbours: 64).
        pyramid_ratio: Of each size to the one before.
        content_weight: Of the content loss; 0 leaves it out.
        style_weight: Of the style loss; 0 leaves it out.
        tv_weight: Of the total variation; raise it against speckle.
        content_layers: Name, names, or name -> weight; the weights are scaled to add up to 1.
        style_layers: Likewise.
        style_loss: "gram"; "wasserstein", by means and covariances; or "moments", by means and
            deviations: see `losses.style_distance`. Or "neighbours", each place borrows from one of
            the style: see `neighbours`. That has no masks and no optimizer to choose, and doesn't
            use weights and layers.
        loss_form: "squared", ratios of squared errors; or "scaled", of errors, which pull as hard
            near their target as far from it.
        content_share: Of the content in the picture that neighbours are looked for by, 0…1; the
            rest is the picture so far. For style_loss="neighbours" alone.
        style_weights: One a style; None weighs them alike. Styles without masks are mixed into
            one: the style of a collage of them, each with its weight's share of the area.
        style_scale: Size at which styles are used, in units of the result's: 2 gives brush
            strokes twice as large.
        enlarge_style: Whether a style may be enlarged beyond its own size: blurred, but its strokes
            keep their proportion to a picture larger than it.
        masks: One a style, where it applies: None for everywhere, or an array of the content's
            height and width, bool, float in 0…1 or uint8 in 0…255.
        colors: "style" paints with the style's colours; "content" keeps the content's and takes
            only the style's light and dark; "matched" first gives the style the content's palette;
            "mapped" ends with the content's hues, mapped to the style's palette.
        optimizer: "adam", or "lbfgs" (SciPy's L-BFGS-B).
        learning_rate: Of Adam: about how far a pixel may move in a step, in 0…255; None takes 5
            (neighbours: 0.5).
        averaging: Share of the past in the average of Adam's iterates, 0…1 (1 excluded); 0 takes
            the last iterate.
        init: "content"; "noise"; "statistics", noise with the mean and covariance of the styles'
            colours; or a picture.
        pooling: "max", as the network was trained; or "average", whose gradient reaches every
            pixel: smoother, and blurred.
        padding: What lies beyond the edges: "zeros", as the network was trained, which frames the
            picture in black; "first" copies the edge outwards before the first layer, "replicate"
            before every layer, which takes a sixth longer.
        model: "vgg16", "vgg19", or such a model that takes pixels in 0…255.
        precision: "float32" or "mixed_bfloat16"; None takes what suits the device.
        jit_compile: Whether to compile with XLA. None does on a GPU where the run is long enough
            to win back the time that it takes.
        seed: Of the noise.
        callback: Is given a `Progress` every `callback_every` steps and after the last.
        callback_every: Steps between two calls.

    Returns:
        The picture with its losses by term.

    Raises:
        ValueError: An argument is invalid; before the first step.
        TypeError: A picture is of a type that `images.read` doesn't take.
        OSError: A picture isn't there.
        MemoryError: The device ran out of memory; the message names a size to try.
        FloatingPointError: The losses have become infinite.
    """
    started = time.perf_counter()
    check_choice("style_loss", style_loss, (*STYLE_LOSSES, NEIGHBOURS))
    check_choices(loss_form=loss_form, colors=colors, optimizer=optimizer, precision=precision)
    if style_loss == NEIGHBOURS:
        _check_neighbours(style_weights=style_weights, masks=masks, optimizer=optimizer)
        content_layers, style_layers = LAYERS[-1:], LAYERS
        descend = _descent_by_neighbours(learning_rate, content_share, seed)
    else:
        descend = _descent(optimizer, learning_rate, averaging)
    every, init = positive_int("callback_every", callback_every), read_init(init)
    content = read_picture("content", content)
    styles = read_styles(style, style_weights, masks, content.shape[:2])
    scale = number("style_scale", style_scale, 1e-3)
    term_weights = read_term_weights(content=content_weight, style=style_weight, tv=tv_weight)
    look = {"style_scale": scale, "enlarge_style": enlarge_style, "colors": colors}
    loss = {"style_loss": style_loss, "loss_form": loss_form, "term_weights": term_weights}
    layers = _layers(content_layers, style_layers)
    network = read_vgg(network_of(model), pooling=pooling, padding=padding)
    network = _on_device(*network, precision, layers)
    problem = StyleProblem(content=content, styles=styles, **look, **loss, **layers, **network)
    levels = _levels(problem, size, steps, pyramid, number("pyramid_ratio", pyramid_ratio, 1.1))
    expected = estimate(levels, problem.plan, problem.dtype, lbfgs=descend is descend_by_lbfgs)
    start = problem.initial_pixels(init, levels[0], seed)
    report = {"callback": callback, "every": every, "started": started}
    recorder = Recorder(start, levels, expected, problem.to_picture, **report)
    return _run(descend, problem, recorder, jit_compile)


def _layers(content_layers: Layers, style_layers: Layers) -> dict[str, dict[str, float]]:
    """Return both with their shares."""
    return {
        "content_layers": layer_shares("content_layers", content_layers),
        "style_layers": layer_shares("style_layers", style_layers),
    }


def _on_device(
    plan: VGGPlan,
    weights: dict[str, tuple[np.ndarray, ...]],
    precision: str | None,
    layers: dict[str, dict[str, float]],
) -> dict[str, object]:
    """Return a network's plan, no deeper than these layers, and its weights on the device."""
    plan = plan.until(name for shares in layers.values() for name in shares)
    dtype = read_precision(precision).removeprefix("mixed_")
    return {"plan": plan, "weights": device_weights(weights, plan, dtype)}


def _levels(
    problem: StyleProblem,
    size: int | tuple[int, int],
    steps: int | Sequence[int] | None,
    count: int | None,
    ratio: float,
) -> tuple[Level, ...]:
    """Return the sizes to work at, with the steps given or those that suit the device."""
    by_neighbours, on_gpu = problem.style_loss == NEIGHBOURS, training.device().is_gpu
    if steps is None and by_neighbours:
        steps = NEIGHBOURS_STEPS_ON_GPU if on_gpu else NEIGHBOURS_STEPS_ON_CPU
    elif steps is None:
        steps = STEPS_ON_GPU if on_gpu else STEPS_ON_CPU
    levels = neighbour_levels if by_neighbours else StyleProblem.levels
    return levels(problem, size, steps, count, ratio)


def _descent(optimizer: str, learning_rate: float | None, averaging: float) -> Callable[..., None]:
    """Return the function that descends, with its settings."""
    rate = LEARNING_RATE if learning_rate is None else learning_rate
    settings = AdamSettings.of(
        learning_rate=number("learning_rate", rate, 1e-6),
        averaging=number("averaging", averaging, 0, 0.9999),
    )
    if optimizer == "lbfgs":
        return descend_by_lbfgs
    return functools.partial(descend_by_adam, settings=settings)


def _check_neighbours(**options) -> None:
    """Refuse options that neighbours have no use for."""
    for name, value in options.items():
        if not (value is None or (isinstance(value, str) and value == "adam")):
            raise ValueError(
                f'Expected no {name} with style_loss="{NEIGHBOURS}". Received: {name}={value!r}'
            )


def _descent_by_neighbours(
    learning_rate: float | None, content_share: float, seed: int
) -> Callable[..., None]:
    """Return the function that descends by neighbours, with its settings."""
    rate = NEIGHBOURS_LEARNING_RATE if learning_rate is None else learning_rate
    return functools.partial(
        descend_by_neighbours,
        learning_rate=number("learning_rate", rate, 1e-6),
        content_share=number("content_share", content_share, 0, 1),
        seed=seed,
    )


def _is_worth_compiling(expected: Estimate, levels: Sequence[Level]) -> bool:
    """Tell whether XLA, which compiles each size anew, is likely to win its time back."""
    return training.device().jit_compile and expected.seconds > SECONDS_WORTH_COMPILING * len(
        levels
    )


def _run(
    descend: Callable[..., None],
    problem: StyleProblem,
    recorder: Recorder,
    jit_compile: bool | None,
) -> StyleResult:
    """Descend until all steps are taken or the run is stopped."""
    last, stopped = recorder.levels[-1], False
    log.info("%s × %s pixels: %s", last.height, last.width, recorder.estimate)
    if jit_compile is None:
        jit_compile = _is_worth_compiling(recorder.estimate, recorder.levels)
    try:
        descend(problem, recorder, jit_compile=jit_compile)
    except KeyboardInterrupt:
        stopped = True
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(_out_of_memory(recorder)) from error
    return recorder.result(stopped=stopped)


def _out_of_memory(recorder: Recorder) -> str:
    """Name half the size to try: by the estimate, memory is in proportion to area."""
    level, last = recorder.level, recorder.levels[-1]
    share = level.height * level.width / (last.height * last.width)
    return (
        f"Expected memory for {level.height} × {level.width} pixels, about "
        f"{share * recorder.estimate.memory / 1e9:.2g} GB, but it ran out. Try "
        f"size={max(level.height, level.width) // 2}, which needs about a quarter of it; "
        "precision='mixed_bfloat16' and optimizer='adam' need less too"
    )
