"""Checks of the arguments of a style transfer, made before any work."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnlab import images, models, training
from cnnlab.style.distances import LOSS_FORMS, STYLE_LOSSES
from cnnlab.style.vgg import PADDINGS, POOLINGS, VGGPlan, device_weights, read_vgg

Picture = str | Path | np.ndarray
Layers = str | Sequence[str] | Mapping[str, float]
# A picture, uint8 (h, w, 3); its share among the styles; and where it applies: uint8 of the
# content's height and width, or None for everywhere.
Style = tuple[np.ndarray, float, np.ndarray | None]
PRECISIONS = ("float32", "mixed_bfloat16")
LARGEST_SEED = 2**32 - 1
INITS = ("content", "noise", "statistics")
NEIGHBOURS = "neighbours"
CHOICES = {
    "style_loss": (*STYLE_LOSSES, NEIGHBOURS),
    "loss_form": LOSS_FORMS,
    "colors": ("style", "content", "matched", "mapped"),
    "optimizer": ("adam", "lbfgs"),
    "precision": (*PRECISIONS, None),
    "pooling": POOLINGS,
    "padding": PADDINGS,
}


def check_choices(given: Mapping[str, object]) -> None:
    """Refuse options whose value isn't among those of `CHOICES` under their name."""
    for name in CHOICES.keys() & given.keys():
        if given[name] not in CHOICES[name]:
            raise ValueError(
                f"Expected {name} to be one of {CHOICES[name]}. Received: {given[name]!r}"
            )


def positive_int(name: str, value: int) -> int:
    """Return the value as a Python int, at least 1."""
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError(f"Expected {name} to be a positive whole number. Received: {value!r}")
    return number


def read_seed(seed: int) -> int:
    """Return the seed as a Python int that every generator takes."""
    number = _whole(seed)
    if number is None or not 0 <= number <= LARGEST_SEED:
        raise ValueError(
            f"Expected seed to be a whole number in 0…{LARGEST_SEED}. Received: {seed!r}"
        )
    return number


def _whole(value: int) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def number(name: str, value: float, low: float = 0.0, high: float = math.inf) -> float:
    """Return the value as a finite float in low…high."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not (math.isfinite(result) and low <= result <= high):
        limits = f"at least {low:g}" if high == math.inf else f"in {low:g}…{high:g}"
        raise ValueError(f"Expected {name} to be a finite number {limits}. Received: {value!r}")
    return result


def shares(name: str, weights: Mapping[str, float]) -> dict[str, float]:
    """Scale weights so that they add up to 1, without those that are 0.

    Raises:
        ValueError: There is none, one is negative or not finite, or all are 0.
    """
    checked = {key: number(f"{name}[{key!r}]", weight) for key, weight in weights.items()}
    if not any(checked.values()):
        raise ValueError(f"Expected a positive weight among {name}. Received: {dict(weights)!r}")
    # By a power of two, which rounds nothing, so that the sum of large ones is finite.
    exponent = math.frexp(max(checked.values()))[1]
    scaled = {key: math.ldexp(weight, -exponent) for key, weight in checked.items()}
    total = sum(scaled.values())
    return {key: weight / total for key, weight in scaled.items() if weight}


def read_term_weights(content: float, style: float, tv: float) -> tuple[float, float, float]:
    """Check the weights of the terms: content or style has to count."""
    named = {"content_weight": content, "style_weight": style, "tv_weight": tv}
    content, style, tv = (number(name, weight) for name, weight in named.items())
    if content + style <= 0:
        raise ValueError(f"Expected a positive content_weight or style_weight. Received: {named}")
    return content, style, tv


def layer_shares(name: str, layers: Layers) -> dict[str, float]:
    """Return layers, by name or with weights, as name -> share; the shares add up to 1."""
    if isinstance(layers, str):
        layers = [layers]
    if not isinstance(layers, Iterable):
        raise ValueError(
            f"Expected {name} as a name, a list of names, or name -> weight; leave it out for the "
            f"usual ones. Received: {name}={layers!r:.80}"
        )
    return shares(name, layers if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0))


def read_picture(name: str, source: Picture) -> np.ndarray:
    """Read a content or style picture; an array has to be without alpha."""
    shape = np.shape(source) if hasattr(source, "__array__") else ()
    if len(shape) == 3 and shape[-1] == 4:
        raise ValueError(
            f"Expected {name} without an alpha channel; images.read(…) lays it on white. "
            f"Received: shape={shape}"
        )
    return images.read(source)


def read_init(init: str | Picture) -> str | np.ndarray:
    """Return the name of a way to start, or the picture to start from."""
    if isinstance(init, str) and init in INITS:
        return init
    try:
        return read_picture("init", init)
    except images.NothingToReadError as error:
        raise images.NothingToReadError(
            f"Expected init to be one of {INITS}, or a picture. Received: init={str(init)!r:.200}. "
            f"As a picture: {error}"
        ) from None


def read_precision(precision: str | None) -> str:
    """Return the dtype policy given; None takes what suits the device."""
    if precision is not None:
        return precision
    own = training.device().precision
    return own if own in PRECISIONS else "float32"


def read_masks(
    masks: Sequence[np.ndarray | None] | None, styles: int, shape: tuple[int, int]
) -> list[np.ndarray | None]:
    """Check the masks: one a style, each None or of the content's height and width.

    Returns:
        For each style None or uint8 (h, w) in 0…255.
    """
    if masks is None:
        return [None] * styles
    masks = [masks] if isinstance(masks, np.ndarray) else masks
    if not isinstance(masks, list | tuple):
        raise ValueError(
            f"Expected masks as a list of one array or None a style. Received: {masks=!r:.80}"
        )
    if len(masks) != styles:
        raise ValueError(f"Expected one mask a style, {styles}. Received: {len(masks)}")
    return [None if mask is None else _mask(i, mask, shape) for i, mask in enumerate(masks)]


def _mask(index: int, mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(
            f"Expected each mask to have the content's height and width, {shape}. "
            f"Received: masks[{index}] with shape={mask.shape}"
        )
    top = 255 if mask.dtype == np.uint8 else 1
    values = mask.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and 0 < high <= top):
        raise ValueError(
            "Expected each mask to be bool, float in 0…1, or uint8 in 0…255, and not all 0. "
            f"Received: masks[{index}] with dtype={mask.dtype} and values from {low:g} to {high:g}"
        )
    return np.rint(values * (255 / top)).astype(np.uint8)


def read_styles(
    style: Picture | Sequence[Picture],
    weights: Sequence[float] | None,
    masks: Sequence[np.ndarray | None] | None,
    shape: tuple[int, int],
) -> tuple[Style, ...]:
    """Read the styles with their shares and masks; `shape` is the content's height and width."""
    pictures = list(style) if isinstance(style, list | tuple) else [style]
    if not pictures:
        raise ValueError(f"Expected at least one style. Received: style={style!r}")
    if weights is None:
        weights = [1.0] * len(pictures)
    if np.ndim(weights) != 1 or len(weights) != len(pictures):
        raise ValueError(
            f"Expected a list of one weight a style, {len(pictures)}. "
            f"Received: style_weights={weights!r:.200}"
        )
    weights = shares("style_weights", dict(enumerate(weights)))
    masks = read_masks(masks, len(pictures), shape)
    return tuple(
        (read_picture("style", pictures[i]), weight, masks[i]) for i, weight in weights.items()
    )


def read_network(
    model: keras.Model | str,
    layers: tuple[Layers, Layers],
    *,
    pooling: str = "max",
    padding: str = "first",
    precision: str | None = None,
) -> tuple[VGGPlan, dict[str, tuple[tf.Tensor, ...]], tuple[dict[str, float], dict[str, float]]]:
    """Read a network no deeper than the layers of content and of style.

    Args:
        model: A VGG, or the name of a pretrained one.
        layers: Of content and of style: by name or with weights.
        pooling: As for `read_vgg`.
        padding: Likewise.
        precision: The dtype policy; None takes what suits the device.

    Returns:
        The plan, the weights on the device, and both layers as name -> share.
    """
    content = layer_shares("content_layers", layers[0])
    style = layer_shares("style_layers", layers[1])
    model = model if isinstance(model, keras.Model) else models.backbone(model)
    plan, weights = read_vgg(model, pooling=pooling, padding=padding)
    plan = plan.until([*content, *style])
    dtype = read_precision(precision).removeprefix("mixed_")
    return plan, device_weights(weights, plan, dtype), (content, style)
