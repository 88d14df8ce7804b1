"""The sizes of a style transfer, from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cnnlab.style.settings import positive_int

SMALLEST_LEVEL = 128
MOST_LEVELS = 16


@dataclass(frozen=True)
class Level:
    """One size of the pyramid, in pixels, and the number of steps taken at it."""

    height: int
    width: int
    steps: int


def target_size(size: int | tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the result's height and width: as given, or with the content's proportions."""
    if isinstance(size, tuple | list):
        if len(size) != 2:
            raise ValueError(f"Expected size as a number or (height, width). Received: {size!r}")
        return tuple(positive_int("size", side) for side in size)
    return fitted(positive_int("size", size), shape)


def fitted(longer: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the same proportions with the longer side given."""
    return tuple(max(1, round(side * longer / max(shape))) for side in shape)


def pyramid_levels(
    size: tuple[int, int],
    steps: int | Sequence[int],
    count: int | None = None,
    *,
    ratio: float = 2.0,
    coarsest: int = SMALLEST_LEVEL,
    smallest_side: int = 1,
    style_sizes: Callable[[tuple[int, int]], Sequence[tuple[int, int]]] = lambda shape: (),
) -> tuple[Level, ...]:
    """List the sizes from coarse to fine, each `ratio` times the one before, with their steps.

    Args:
        size: The last one.
        steps: Over all sizes, of which the coarsest gets two shares and every other one: most of
            the change happens there. Or one number a size, from coarse to fine.
        count: How many sizes; None takes as many as there are steps listed, else those with a
            longer side of about `coarsest` or more where no picture's side is under twice what the
            network needs.
        ratio: Over 1.
        coarsest: See `count`.
        smallest_side: What the network needs.
        style_sizes: From a size to those of the style pictures there.

    Raises:
        ValueError: At one of the sizes a picture is too small for the network; or there are more or
            fewer steps listed than sizes.
    """
    if isinstance(steps, Sequence):
        listed = [positive_int("steps", n) for n in steps]
        if not listed or count not in (None, len(listed)):
            raise ValueError(
                f"Expected one number of steps a size. Received: steps={list(steps)}, "
                f"pyramid={count}"
            )
        count, most = len(listed), len(listed)
    else:
        listed, most = None, positive_int("steps", steps)

    def good(shape: tuple[int, int]) -> bool:
        shortest = min(min(s) for s in (shape, *style_sizes(shape)))
        return max(shape) >= 0.9 * coarsest and shortest >= 2 * smallest_side

    sizes = [size]
    while len(sizes) < (MOST_LEVELS if count is None else positive_int("pyramid", count)):
        coarser = fitted(max(1, round(max(size) / ratio ** len(sizes))), size)
        if len(sizes) == most or (count is None and not good(coarser)):
            break
        sizes.insert(0, coarser)
    hint = f". Take a larger size, or fewer than the {count} sizes that steps lists" * bool(listed)
    for shape in sizes:
        _check_sides(shape, style_sizes(shape), smallest_side, hint)
    return tuple(
        Level(*shape, n)
        for shape, n in zip(sizes, listed or _shares(most, len(sizes)), strict=True)
    )


def _check_sides(
    shape: tuple[int, int], styles: Sequence[tuple[int, int]], smallest_side: int, hint: str
) -> None:
    """Refuse a size at which the network's deepest layer is left without a position."""
    named = {"content": shape, **{f"style {i}": own for i, own in enumerate(styles)}}
    for name, (height, width) in named.items():
        if min(height, width) < smallest_side:
            raise ValueError(
                f"Expected sides of at least {smallest_side} pixels, which the deepest layer "
                f"needs. Received: {name} of {height} × {width} pixels, at the size "
                f"{shape[0]} × {shape[1]} of the pyramid{hint}"
            )


def _shares(steps: int, count: int) -> list[int]:
    """Share steps out among sizes: two shares for the first, one for every other."""
    share = max(1, steps // (count + 1))
    return [steps - share * (count - 1), *[share] * (count - 1)]


def style_size(
    shape: tuple[int, int], picture: tuple[int, int], scale: float, *, enlarge: bool = False
) -> tuple[int, int]:
    """Return the size at which a style is used: the picture's longer side times scale.

    Unless told to, it isn't enlarged: an enlarged picture has blur for detail, and blur would be
    taken for its style. But in a picture that is larger than its style, strokes then are too fine.
    """
    longer = max(1, round(max(picture) * scale))
    return fitted(longer if enlarge else min(longer, max(shape)), shape)
