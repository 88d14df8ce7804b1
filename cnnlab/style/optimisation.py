"""Neural style transfer: what one picture shows, painted the way another one is.

    result = stylize("portrait.jpg", "waves.jpg")
    images.save(result.image, "portrait in waves.png")

The picture itself is optimised until a VGG's deep layers answer as they do to the content, and its
layers' statistics are those of the style.

Source: Gatys, Ecker and Bethge 2016, Image Style Transfer Using Convolutional Neural Networks.
Where this departs from it: losses are ratios, so weights mean the same at any size and for any
network (see `style_losses`); coarse to fine; the edge is copied outwards rather than framed in
black; the result is an average of iterates. The last three are K. Crowson's, from
style-transfer-pytorch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnlab import models, training
from cnnlab.style import features as style_features
from cnnlab.style import plan as style_plan
from cnnlab.style.goal import COLORS, Scene, Style
from cnnlab.style.losses import STYLE_LOSSES
from cnnlab.style.plan import Estimate, Level
from cnnlab.style.run import Progress, StyleResult, Watch, descend_by_adam, descend_by_lbfgs
from cnnlab.style.steps import Objective, Rates

log = logging.getLogger(__name__)

CONTENT_LAYERS = ("block4_conv2",)
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")
OPTIMIZERS = ("adam", "lbfgs")
INITS = ("content", "noise", "statistics")
PRECISIONS = ("float32", "mixed_bfloat16")
STEPS_ON_CPU, STEPS_ON_GPU = 70, 500
# XLA saves about half of a GPU's time, but takes this long to compile a size first.
SECONDS_WORTH_COMPILING = 30.0

Picture = str | Path | np.ndarray


def stylize(
    content: Picture,
    style: Picture | Sequence[Picture],
    *,
    size: int | tuple[int, int] = 512,
    steps: int | None = None,
    pyramid: int | None = None,
    content_weight: float = 1.0,
    style_weight: float = 30.0,
    tv_weight: float = 50.0,
    content_layers: str | Sequence[str] | Mapping[str, float] = CONTENT_LAYERS,
    style_layers: str | Sequence[str] | Mapping[str, float] = STYLE_LAYERS,
    style_loss: str = "gram",
    style_weights: Sequence[float] | None = None,
    style_scale: float = 1.0,
    masks: Sequence[np.ndarray | None] | None = None,
    colors: str = "style",
    optimizer: str = "adam",
    learning_rate: float = 5.0,
    averaging: float = 0.98,
    init: str | Picture = "content",
    pooling: str = "average",
    padding: str = "first",
    model: keras.Model | str = "vgg16",
    precision: str | None = None,
    jit_compile: bool | None = None,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    callback_every: int = 10,
) -> StyleResult:
    """Paints one picture's content in the style of another, or of several.

    Stop (KeyboardInterrupt, also one raised by the callback) ends it with the best picture so far.

    Args:
        content: What to show: a path, an address, or an array as `images.read` takes it.
        style: How to paint it: one picture or several.
        size: Longer side of the result in pixels, or (height, width): the content is then cropped
            to these proportions.
        steps: Over all sizes together; None takes 70 on a CPU, 500 on a GPU.
        pyramid: Number of sizes, each twice the one before; 1 works at full size only. None starts
            as near to 128 pixels as it can.
        content_weight: Of the content loss; 0 leaves it out.
        style_weight: Of the style loss; 0 leaves it out.
        tv_weight: Of the total variation; raise it against speckle.
        content_layers: Name, names, or name -> weight; the weights are scaled to add up to 1.
        style_layers: Likewise.
        style_loss: "gram"; "wasserstein", by means and covariances; or "moments", by means and
            deviations. See `style_losses.style_distance`.
        style_weights: One a style; None weighs them alike. Styles without masks are mixed into
            one: the style of a collage of them, each with its weight's share of the area.
        style_scale: Size at which styles are looked at, in units of the result's: 2 gives brush
            strokes twice as large. No style is enlarged beyond its own size.
        masks: One a style, where to paint it: None for everywhere, or an array of the content's
            height and width, bool, float in 0…1 or uint8 in 0…255.
        colors: "style" paints with the style's colours; "content" keeps the content's and takes
            only the style's light and dark; "matched" first gives the style the content's palette.
        optimizer: "adam", or "lbfgs" (SciPy's L-BFGS-B).
        learning_rate: Of Adam: about how far a pixel may move in a step, in 0…255.
        averaging: Share of the past in the average of Adam's iterates, 0…1 (1 excluded); 0 takes
            the last iterate.
        init: "content"; "noise"; "statistics", noise with the mean and covariance of the styles'
            colours; or a picture.
        pooling: "average" or "max". Networks are trained with "max", but its gradient reaches one
            pixel of four only, and the picture gets speckled.
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
        ValueError: An argument makes no sense; before any work.
        TypeError: A picture is of a type that `images.read` doesn't take.
        OSError: A picture isn't there.
        MemoryError: The picture is too large for this device.
        FloatingPointError: The losses have become infinite.
    """
    started = time.perf_counter()
    for name, value, options in (
        ("style_loss", style_loss, STYLE_LOSSES),
        ("colors", colors, COLORS),
        ("optimizer", optimizer, OPTIMIZERS),
        ("precision", precision, (*PRECISIONS, None)),
    ):
        if value not in options:
            raise ValueError(f"Expected {name} to be one of {options}. Received: {value!r}")
    weights = style_plan.term_weights(content=content_weight, style=style_weight, tv=tv_weight)
    learning_rate = style_plan.number("learning_rate", learning_rate, 1e-6)
    averaging = style_plan.number("averaging", averaging, 0, 0.9999)
    callback_every = style_plan.positive_int("callback_every", callback_every)
    content = style_plan.picture("content", content)
    styles = _read_styles(style, style_weights, masks, content.shape[:2])
    if not (isinstance(init, str) and init in INITS):
        init = style_plan.picture("init", init)

    content_layers = style_plan.layer_shares("content_layers", content_layers)
    style_layers = style_plan.layer_shares("style_layers", style_layers)
    network = model if isinstance(model, keras.Model) else models.backbone(model)
    chain, kernels = style_features.take_apart(network, pooling=pooling, padding=padding)
    chain = chain.until([*content_layers, *style_layers])

    device = training.device()
    if steps is None:
        steps = STEPS_ON_GPU if device.is_gpu else STEPS_ON_CPU
    plan = style_plan.levels(
        style_plan.target_size(size, content.shape[:2]),
        style_plan.positive_int("steps", steps),
        pyramid,
        [style.picture.shape[:2] for style in styles],
        style_plan.number("style_scale", style_scale, 1e-3),
        chain.smallest_side,
    )
    precision = precision or (device.precision if device.precision in PRECISIONS else "float32")
    dtype = precision.removeprefix("mixed_")
    estimate = style_plan.estimate(plan, chain, dtype, lbfgs=optimizer == "lbfgs")
    if estimate.available is not None and estimate.memory > estimate.available:
        raise MemoryError(_too_large(plan[-1], estimate))
    log.info("%s × %s pixels: %s", plan[-1].height, plan[-1].width, estimate)
    if jit_compile is None:
        jit_compile = device.jit_compile and estimate.seconds > SECONDS_WORTH_COMPILING * len(plan)

    objective = Objective(
        chain,
        tuple(content_layers) if content_weight else (),
        tuple(style_layers) if style_weight else (),
        style_loss,
        jit_compile,
    )
    scene = Scene(
        content,
        styles,
        style_scale,
        colors,
        style_features.to_device(kernels, chain, dtype),
        content_layers,
        style_layers,
        weights,
    )
    watch = Watch(plan, estimate, scene.finish, callback, callback_every, started)
    watch.best = scene.start(init, plan[0], seed)
    stopped = False
    try:
        if optimizer == "adam":
            rates = Rates.of(learning_rate=learning_rate, averaging=averaging)
            descend_by_adam(scene, objective, plan, rates, watch)
        else:
            descend_by_lbfgs(scene, objective, plan, watch)
    except KeyboardInterrupt:
        stopped = True
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(_too_large(plan[-1], estimate)) from error
    return watch.result(stopped)


def _read_styles(
    style: Picture | Sequence[Picture],
    weights: Sequence[float] | None,
    masks: Sequence[np.ndarray | None] | None,
    shape: tuple[int, int],
) -> tuple[Style, ...]:
    pictures = list(style) if isinstance(style, list | tuple) else [style]
    if not pictures:
        raise ValueError(f"Expected at least one style. Received: style={style!r}")
    weights = [1.0] * len(pictures) if weights is None else list(weights)
    if len(weights) != len(pictures):
        raise ValueError(
            f"Expected one weight a style, {len(pictures)}. Received: style_weights={weights}"
        )
    weights = style_plan.shares("style_weights", dict(enumerate(weights)))
    masks = style_plan.read_masks(masks, len(pictures), shape)
    return tuple(
        Style(style_plan.picture("style", pictures[i]), weight, masks[i])
        for i, weight in weights.items()
    )


def _too_large(level: Level, estimate: Estimate) -> str:
    return (
        f"{level.height} × {level.width} pixels need {estimate}. Choose a smaller size, "
        "precision='mixed_bfloat16' or optimizer='adam'"
    )
