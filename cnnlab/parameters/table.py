"""The table of all notebooks' parameters, and the check of a notebook's values against it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from numbers import Integral

from cnnlab._notebook import ShortTraceback
from cnnlab.parameters.kinds import (
    BUILT_IN,
    Kind,
    choice,
    each,
    either,
    flag,
    for_each,
    for_each_share,
    for_some,
    number,
    part,
    picture,
    pictures,
    require,
    weights,
    whole,
)

BUILT_IN_SIDE, FOLDER_SIDE = 32, 64  # in pixels, unless FOLDER_SIZE says otherwise
SEEDS = 2**32  # what Keras takes: 0…2³²−1
SMALLEST_SIDE = 32  # of a picture in VGG-16, which halves it five times
STAGES = ("head", "blocks 4 and 5", "all")  # of notebook 2's fine-tuning
VGG_LAYERS = tuple(
    f"block{block}_{layer}"
    for block, convolutions in enumerate((2, 2, 3, 3, 3), 1)
    for layer in (*(f"conv{i + 1}" for i in range(convolutions)), "pool")
)


class ParameterError(ShortTraceback, ValueError):
    """A parameter is of another kind or out of its range."""


def settle(
    namespace: MutableMapping[str, object],
    presets: Mapping[str, Mapping[str, object]],
    *,
    auto: str,
) -> str:
    """Fill in what a preset says where a parameter is None, and check them all, where they stand.

    Args:
        namespace: Holds the parameters, PRESET among them, as `globals()` of a notebook does. Their
            values are replaced: None by the preset's, lists by tuples, NumPy's numbers by plain
            ones, a number of SEEDS by that many, from SEED on.
        presets: By name of a preset, its values by name of a parameter.
        auto: The preset that "auto" stands for.

    Returns:
        The name of the preset.

    Raises:
        ParameterError: A value isn't of its kind, or is out of its range.
    """
    preset = str(_read("PRESET", choice("auto", *presets), namespace["PRESET"]))
    preset = auto if preset == "auto" else preset
    filling, values = presets[preset], {}
    for name in [name for name in KINDS if name in namespace]:
        kind, value = KINDS[name], namespace[name]
        kind = kind if isinstance(kind, Kind) else kind(values)
        if name in filling:
            value = filling[name] if value is None else value
            kind = kind._replace(expected=f"{kind.expected}, or None for what the preset says")
        values[name] = _read(name, kind, value)
    namespace.update(values)
    return preset


def _read(name: str, kind: Kind, value: object) -> object:
    if value is None and kind.optional:
        return None
    try:
        return kind.read(value)
    except (ValueError, TypeError, OSError, MemoryError, OverflowError) as error:
        received = f"{name}={value!r}"
        received = received if len(received) <= 200 else f"{received[:199]}…"
        if str(error):  # it says what was expected of a file
            raise ParameterError(f"{received} can't be used. {error}") from None
        raise ParameterError(
            f"Expected {name} to be {kind.expected}. Received: {received}"
        ) from None


# ---- Kinds that depend on other values ---------------------------------------------------------


def _seeds(values: Mapping[str, object]) -> Kind:
    """Return the kind of a list of seeds, or of their number; it is read as a list."""
    first, listed = values["SEED"], each(whole(0, SEEDS - 1), "(0, 1)")

    def read(value: object) -> tuple:
        if isinstance(value, Integral):
            return tuple((int(first) + i) % SEEDS for i in range(whole(1, 1000).read(value)))
        seeds = listed.read(value)
        require(len(set(seeds)) == len(seeds))
        return seeds

    return Kind("a list of different seeds, such as (0, 1), or how many from SEED on", read)


def _dataset(values: Mapping[str, object]) -> Kind:
    """Return the kind of a set that has as many pictures as the numbers of pictures ask for."""
    names = ("TRAIN_PICTURES", "VAL_PICTURES", "TEST_PICTURES")
    return pictures({name: values[name] for name in names if name in values})


def _picture_side(values: Mapping[str, object]) -> int:
    """Return the side of the pictures in pixels, which follows from where they come from."""
    if values.get("DATASET", "auto") in BUILT_IN:
        return BUILT_IN_SIDE
    return int(values.get("FOLDER_SIZE", FOLDER_SIDE))


def _up_to_side(less: int, values: Mapping[str, object]) -> Kind:
    """Return the kind of pixels in 0…side - less."""
    side = _picture_side(values)
    kind = whole(0, side - less)
    return kind._replace(expected=f"{kind.expected} (the pictures have {side} pixels a side)")


def _plain_widths(values: Mapping[str, object]) -> Kind:
    """Return the kind of the widths of `models.plain_cnn`: each convolution needs 3 pixels."""
    most, side = 0, _picture_side(values)
    while side >= 3:
        most, side = most + 1, (side - 2) // 2
    return each(_COUNT, "(32, 64, 64)", most=most)


def _stem_stride(values: Mapping[str, object]) -> Kind:
    """Return the kind of a stride that leaves the stem's map 4 pixels a side, for three groups."""
    side = _picture_side(values)
    kind = whole(1, side // 4)
    return kind._replace(expected=f"{kind.expected}, a quarter of the pictures' {side} pixels")


def _residual_widths(values: Mapping[str, object]) -> Kind:
    """Return the kind of the widths of `models.resnet`: the stem, and groups that halve its map."""
    stride = int(values["STEM_STRIDE"])
    side = math.ceil(_picture_side(values) / stride)
    kind = each(_COUNT, "(16, 32, 64)", most=side.bit_length())
    why = f"{kind.expected} (with STEM_STRIDE={stride} the first map has {side} pixels a side)"
    return kind._replace(expected=why)


# ---- The parameters ----------------------------------------------------------------------------

_AMOUNT, _COUNT, _SIDE = number(0), whole(1), whole(SMALLEST_SIDE)
_RATE = number(0, above=True)
_LAYERS = each(choice(*VGG_LAYERS), "('block4_conv2',)", what="names of layers of VGG-16")
_SHARES = for_some(VGG_LAYERS, _AMOUNT, "layers of VGG-16")

# By name, for all notebooks: a name means one thing. They are checked in this order: what another
# depends on comes first. Those that depend on others are functions of the values read so far.
KINDS: dict[str, Kind | Callable[[Mapping[str, object]], Kind]] = {
    "SEED": whole(0, SEEDS - 1),
    "SEEDS": _seeds,
    "TRAIN_PICTURES": part(),
    "VAL_PICTURES": part()._replace(optional=True),  # None: what suits the set
    "TEST_PICTURES": part(),
    "FOLDER_SIZE": _SIDE,
    "DEVICES": _COUNT._replace(optional=True),  # None: all
    "BATCH_SIZE": _COUNT,
    "EPOCHS": _COUNT,
    "FAST_EPOCHS": whole(0),
    "BEST_EPOCHS": whole(0),
    "PROBE_EPOCHS": _COUNT,
    "STAGE_EPOCHS": each(_COUNT, "(1, 1, 8)", least=3, most=3),
    "LEARNING_RATE": _RATE,
    "PEAK_LEARNING_RATE": _RATE,
    "RATE_FACTORS": each(_RATE, "(0.3, 1, 3)"),
    "RATES": for_each(STAGES, _AMOUNT),
    "WEIGHT_DECAY": _AMOUNT,
    "LABEL_SMOOTHING": number(0, below=1),
    "MIRROR": flag(),
    "RESUME": flag(),
    "DEPTH": _COUNT,
    "PAINT_SIZE": _SIDE,
    "PAINT_STEPS": _COUNT,
    "SIZES": each(_SIDE, "(32, 64)"),
    "SHARE_STEPS": for_each_share(each(_COUNT, "(5, 20)"), "{0.1: (5, 20)}"),
    "SHARE_RATES": each(_RATE, "(0.03, 0.1)"),
    "SIZE": _SIDE,
    "HAND_SIZE": _SIDE,
    "HAND_STEPS": _COUNT,
    "STEPS": _COUNT,
    "START": choice("content", "painter"),
    "LARGE_SIZE": _SIDE,
    "FACTORS": each(_RATE, "(0.1, 10)", least=2, most=2),
    "NETWORK_STEPS": _COUNT,
    "CONTENT_LAYERS": _LAYERS,
    "STYLE_LAYERS": either(_SHARES, _LAYERS),
    "STYLE_LOSS": choice("gram", "wasserstein", "moments"),
    "CONTENT_WEIGHT": _AMOUNT,
    "STYLE_WEIGHT": _AMOUNT,
    "TV_WEIGHT": _AMOUNT,
    "WEIGHTS": weights(),
    "CONTENT": picture(),
    "STYLE": picture(),
    "SECOND_STYLE": picture(),
    "PICTURE": picture()._replace(optional=True),  # None: a portrait
    "PICTURE_STYLE": picture(),
    "DATASET": _dataset,
    "CROP": partial(_up_to_side, 1),
    "CUTOUT": partial(_up_to_side, 0),
    "CNN_WIDTHS": _plain_widths,
    "STEM_STRIDE": _stem_stride,
    "WIDTHS": _residual_widths,
    "FAST_WIDTHS": each(_COUNT, "(64, 256, 256)", least=3, most=3),
    "BEST_WIDTHS": each(_COUNT, "(64, 256, 256)", least=3, most=3),
}
