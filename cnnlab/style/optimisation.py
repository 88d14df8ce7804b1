"""Neural style transfer by optimising the picture itself.

    result = stylize("portrait.jpg", "waves.jpg")
    images.save(result.image, "portrait in waves.png")

The pixels are optimised until a VGG's deep layers have the content's features, and its layers'
statistics are those of the style.

Source: Gatys, Ecker and Bethge 2016, Image Style Transfer Using Convolutional Neural Networks.
Where this departs from it: losses are ratios, so weights mean the same at any size and for any
network (see `distances`); style is compared as normal distributions rather than Gram matrices;
coarse to fine; the edge is copied outwards rather than framed in black; the result is an average of
iterates. The last four are K. Crowson's, from style-transfer-pytorch, and so are the layers'
weights, in our units. Defaults are what vision models preferred that were told nothing of the
methods; `tests/benchmarks/style.py` makes such pictures.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnlab import training
from cnnlab.style import notebook
from cnnlab.style.curvature import descend_by_lbfgs
from cnnlab.style.descent import descend_by_adam
from cnnlab.style.matching import LAYERS
from cnnlab.style.neighbours import NeighbourProblem, descend_by_neighbours
from cnnlab.style.problem import StyleProblem
from cnnlab.style.recorder import Progress, Recorder, StyleResult
from cnnlab.style.settings import (
    NEIGHBOURS,
    Picture,
    check_choices,
    number,
    positive_int,
    read_init,
    read_network,
    read_picture,
    read_seed,
    read_styles,
    read_term_weights,
)

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
# By whether it is by neighbours: steps on a CPU and on a GPU, and the learning rate.
STEPS = {False: (60, 700), True: (100, 1000)}
LEARNING_RATES = {False: 5.0, True: 0.5}
# What neighbours have no use for: refused, since the picture would miss it; told of in a warning.
REFUSED_BY_NEIGHBOURS = ("style_weights", "masks", "optimizer")
UNUSED_BY_NEIGHBOURS = ("style_weight", "content_weight", "tv_weight", "content_layers")
UNUSED_BY_NEIGHBOURS += ("style_layers", "loss_form", "averaging")
# XLA saves about half of a GPU's time, but takes this long to compile a size first.
SECONDS_WORTH_COMPILING = 30.0


def stylize(
    content: Picture,
    style: Picture | Sequence[Picture],
    *,
    size: int | tuple[int, int] = 512,
    style_weight: float = 6.0,
    style_scale: float = 1.0,
    colors: str = "style",
    steps: int | Sequence[int] | None = None,
    style_weights: Sequence[float] | None = None,
    masks: Sequence[np.ndarray | None] | None = None,
    init: str | Picture = "content",
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
    callback_every: int = 10,
    # For experts:
    style_loss: str = "wasserstein",
    content_weight: float = 1.0,
    tv_weight: float = 0.5,
    content_layers: str | Sequence[str] | Mapping[str, float] = CONTENT_LAYERS,
    style_layers: str | Sequence[str] | Mapping[str, float] = STYLE_LAYERS,
    loss_form: str = "squared",
    content_share: float = 0.75,
    enlarge_style: bool = False,
    pyramid: int | None = None,
    pyramid_ratio: float = 2**0.5,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    averaging: float = 0.99,
    model: keras.Model | str = "vgg16",
    pooling: str = "max",
    padding: str = "first",
    precision: str | None = None,
    jit_compile: bool | None = None,
) -> StyleResult:
    """Paint one picture's content in the style of another, or of several.

    In a notebook Stop ends the run with the picture so far, and any later run in the same cell
    doesn't begin. Elsewhere the KeyboardInterrupt rises, and its `result` is the picture so far. A
    callback ends the run by `raise StopIteration`: it then returns as it does at its end.

    Args:
        content: The picture to show: a path, an address, or an array as `images.read` takes it.
        style: The picture, or several, whose style to take.
        size: Longer side of the result in pixels, or (height, width): the content is then cropped
            to these proportions.
        style_weight: Of the style loss; 0 leaves it out.
        style_scale: Size at which styles are used, in units of the result's: 2 gives brush
            strokes twice as large.
        colors: "style" paints with the style's colours; "content" keeps the content's and takes
            only the style's light and dark; "matched" first gives the style the content's palette;
            "mapped" ends with the content's hues, mapped to the style's palette.
        steps: Over all sizes together, or one number a size, from coarse to fine (neighbours: and
            one for the last steps); None takes 60 on a CPU, 700 on a GPU (neighbours: 100, 1000).
        style_weights: One a style; None weighs them alike. Styles without masks are mixed into
            one: the style of a collage of them, each with its weight's share of the area.
        masks: One a style, where it applies: None for everywhere, or an array of the content's
            height and width, bool, float in 0…1 or uint8 in 0…255.
        init: "content"; "noise"; "statistics", noise with the mean and covariance of the styles'
            colours; or a picture.
        seed: Of the noise, and of the places that neighbours draw.
        callback: Is given a `Progress` every `callback_every` steps and after the last.
        callback_every: Steps between two calls.

    Other Args:
        style_loss: "gram"; "wasserstein", by means and covariances; or "moments", by means and
            deviations: see `style_distance`. Or "neighbours", each place borrows from one of the
            style: see `neighbours`. That takes no masks, style weights or optimizer; and it has no
            terms and layers to weigh and no average, so a warning names options of these.
        content_weight: Of the content loss; 0 leaves it out.
        tv_weight: Of the total variation; raise it against speckle.
        content_layers: Name, names, or name -> weight; the weights are scaled to add up to 1.
        style_layers: Likewise.
        loss_form: "squared", ratios of squared errors; or "scaled", of errors, which pull as hard
            near their target as far from it.
        content_share: Of the content in the picture that neighbours are looked for by, 0…1; the
            rest is the picture so far. For style_loss="neighbours" alone.
        enlarge_style: Whether a style may be enlarged beyond its own size: blurred, but its strokes
            keep their proportion to a picture larger than it.
        pyramid: Number of sizes; 1 works at full size only. None starts as near to 128 pixels as it
            can (neighbours: 64).
        pyramid_ratio: Of each size to the one before.
        optimizer: "adam", or "lbfgs", whose steps are evaluations of the gradient.
        learning_rate: Of Adam: about how far a pixel may move in a step, in 0…255; None takes 5
            (neighbours: 0.5).
        averaging: Share of the past in the average of Adam's iterates, 0…1 (1 excluded); 0 takes
            the last iterate.
        model: "vgg16", "vgg19", or such a model that takes pixels in 0…255.
        pooling: "max", as the network was trained; or "average", whose gradient reaches every
            pixel: smoother, and blurred.
        padding: What lies beyond the edges: "zeros", as the network was trained, which frames the
            picture in black; "first" copies the edge outwards before the first layer, "replicate"
            before every layer, which takes a sixth longer.
        precision: "float32" or "mixed_bfloat16"; None takes what suits the device.
        jit_compile: Whether to compile with XLA. None does on a GPU where the run is long enough
            to win back the time that it takes.

    Returns:
        The picture, its distances, and how losses and time went.

    Raises:
        ValueError: An argument is invalid; before the first step.
        TypeError: A picture is of a type that `images.read` doesn't take.
        OSError: A picture isn't there.
        MemoryError: Memory ran out. The message names a size to try; `result` is the picture so
            far, at the size that it had, or None.
        FloatingPointError: The losses have become infinite.
    """
    given, started = dict(locals()), time.perf_counter()
    notebook.go_on()
    _check(given)
    descend, by_neighbours = _descent(given), style_loss == NEIGHBOURS
    every, init = positive_int("callback_every", callback_every), read_init(init)
    content = read_picture("content", content)
    network = {"pooling": pooling, "padding": padding, "precision": precision}
    layers = (LAYERS[-1:], LAYERS) if by_neighbours else (content_layers, style_layers)
    plan, weights, layers = read_network(model, layers, **network)
    problem = (NeighbourProblem if by_neighbours else StyleProblem)(
        content, read_styles(style, style_weights, masks, content.shape[:2]),
        style_scale=number("style_scale", style_scale, 1e-3), enlarge_style=enlarge_style,
        colors=colors, plan=plan, weights=weights, content_layers=layers[0],
        style_layers=layers[1], style_loss=style_loss, loss_form=loss_form,
        term_weights=read_term_weights(content_weight, style_weight, tv_weight),
    )  # fmt: skip
    ratio = number("pyramid_ratio", pyramid_ratio, 1.1)
    steps = STEPS[by_neighbours][training.device().is_gpu] if steps is None else steps
    levels = problem.levels(size, steps, pyramid, ratio=ratio)
    report = {"callback": callback, "every": every, "started": started}
    report["kind"] = optimizer, jit_compile
    start = problem.initial_pixels(init, levels[0], seed)
    return _run(descend, problem, Recorder(problem, levels, start, **report), jit_compile)


def _check(given: dict) -> None:
    """Check what needs no picture and no network, and say what has no effect."""
    check_choices(given)
    read_seed(given["seed"])
    if not (given["callback"] is None or callable(given["callback"])):
        raise ValueError(
            f"Expected callback as a function of a Progress. Received: {given['callback']!r:.80}"
        )
    if given["style_loss"] == NEIGHBOURS:
        _check_neighbours(given)


def _descent(given: dict) -> Callable[..., None]:
    """Return the function that descends, with its settings, from the options of `stylize`."""
    by_neighbours = given["style_loss"] == NEIGHBOURS
    rate = given["learning_rate"]
    rate = LEARNING_RATES[by_neighbours] if rate is None else rate
    rate = number("learning_rate", rate, 1e-6)
    averaging = number("averaging", given["averaging"], 0, 0.9999)
    share = number("content_share", given["content_share"], 0, 1)
    if by_neighbours:
        more = {"content_share": share, "seed": given["seed"]}
        return functools.partial(descend_by_neighbours, learning_rate=rate, **more)
    if given["optimizer"] == "lbfgs":
        return descend_by_lbfgs
    return functools.partial(descend_by_adam, learning_rate=rate, averaging=averaging)


def _check_neighbours(given: dict) -> None:
    """Refuse or name the options that neighbours have no use for."""
    default = {name: p.default for name, p in inspect.signature(stylize).parameters.items()}
    for name in REFUSED_BY_NEIGHBOURS:
        if given[name] is not default[name] and given[name] != default[name]:
            raise ValueError(
                f'Expected no {name} with style_loss="{NEIGHBOURS}". Received: '
                f"{name}={given[name]!r:.80}"
            )
    unused = [name for name in UNUSED_BY_NEIGHBOURS if given[name] != default[name]]
    if unused:
        log.warning('style_loss="%s" has no use for %s', NEIGHBOURS, ", ".join(unused))


def _run(
    descend: Callable[..., None],
    problem: StyleProblem,
    recorder: Recorder,
    jit_compile: bool | None,
) -> StyleResult:
    """Descend until all steps are taken, the run is stopped or memory runs out."""
    last, seconds = recorder.levels[-1], recorder.timer.expected
    log.info("%s × %s pixels, about %.0f s", last.width, last.height, seconds)
    if jit_compile is None:
        # By the guess: what a run took may be less because it was compiled.
        enough = SECONDS_WORTH_COMPILING * len(recorder.levels)
        jit_compile = training.device().jit_compile and recorder.timer.guessed > enough
    try:
        try:
            descend(problem, recorder, jit_compile=jit_compile)
        except StopIteration:
            return recorder.result(stopped=True)
        except KeyboardInterrupt as stop:
            return notebook.stopped(stop, recorder.result(stopped=True))
        return recorder.result()
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        ran_out = MemoryError(_out_of_memory(recorder))
        ran_out.result = recorder.result_as_it_is() if recorder.step else None
        raise ran_out from error


def _out_of_memory(recorder: Recorder) -> str:
    """Name the size to try: the last one that worked, else half of the one that didn't."""
    level, number = recorder.level, recorder.levels.index(recorder.level)
    smaller = [max(lv.height, lv.width) for lv in recorder.levels[:number]]
    longer = max(level.height, level.width)
    fits = max((side for side in smaller if side < longer), default=longer // 2)
    return (
        f"Expected memory for {level.height} × {level.width} pixels, but it ran out. Try "
        f"size={fits}; precision='mixed_bfloat16' needs less too"
    )
