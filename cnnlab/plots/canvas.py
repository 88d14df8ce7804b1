"""The one look of every figure: its palette, type sizes and axes, and a figure that shows itself.

Colours and sizes are set on the artists, never in ``rcParams``, and figures are made without
pyplot: drawing one changes nothing for the reader's own plots, and nothing has to be closed.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Sequence

import matplotlib.figure
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image
from scipy.optimize import isotonic_regression

from cnnlab.plots.descriptions import describe
from cnnlab.plots.fonts import make_legible

WIDTH = 8.5  # inches: at 100 dots an inch a figure fills a page of 900 pixels without scaling
DPI = 100
LABEL_WIDTH = 1.9  # inches for names at the ends of lines
FRAME_HEIGHT = 0.95  # inches that title, heading and axis labels take from a panel, about
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12.0, 9.5, 8.5  # points

# Okabe and Ito's colours, told apart with any kind of colour vision: jfly.uni-koeln.de/color
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, PALE_BLUE = "#CC79A7", "#56B4E9", "#A9CFE8"
PALE_VERMILLION = "#FBE3D3"
INK, MUTED, RULE, FAINT = "#222222", "#6B6B6B", "#C4C4C4", "#ECECEC"
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, INK, "#8C6D31")


class Figure(matplotlib.figure.Figure):
    """A Matplotlib figure that a notebook shows, with or without ``%matplotlib inline``."""

    def draw(self, renderer: RendererBase) -> None:
        make_legible(self)
        super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=self.dpi, facecolor=self.get_facecolor())
        picture = Image.open(drawn).convert("RGB")
        # Charts need a third of the bytes with a palette; pictures keep every colour they have.
        if not any(ax.images for ax in self.axes):
            picture = picture.quantize(256, dither=Image.Dither.NONE)
        picture.save(small, format="png", optimize=True)
        return small.getvalue(), {"alt": describe(self)}


def new_figure(
    height: float, title: str | None = None, *, width: float = WIDTH, kind: type[Figure] = Figure
) -> Figure:
    """Make an empty white figure with its title at the left.

    Args:
        height: Inches, title not counted.
        title: Sentence, wrapped to the figure's width, or None.
        width: Inches.
        kind: The figure's class.

    Returns:
        A figure that pyplot doesn't know.
    """
    text = wrap(title, width, size=TITLE_SIZE) if title else ""
    lines = text.count("\n") + 1 if title else 0
    size = (width, height + 0.28 * lines)
    figure = kind(size, dpi=DPI, layout="constrained", facecolor="white")
    if title:
        figure.suptitle(text, x=0.005, ha="left", fontsize=TITLE_SIZE, color=INK)
    return figure


def style_axes(ax: Axes, *, xlabel: str = "", ylabel: str = "", rules: str = "y") -> Axes:
    """Give axes with scales the house look: two thin spines, faint rules, no tick marks."""
    ax.set_facecolor("white")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=RULE, visible=True)
    ax.tick_params(which="both", length=0, labelsize=SMALL_SIZE, labelcolor=MUTED)
    ax.grid(False)
    if rules:
        ax.grid(True, axis=rules, color=FAINT, linewidth=0.8, linestyle="-", alpha=1)
    ax.set_axisbelow(True)
    ax.set_xlabel(xlabel, fontsize=TEXT_SIZE, color=MUTED)
    ax.set_ylabel(ylabel, fontsize=TEXT_SIZE, color=MUTED)
    return ax


def write(
    ax: Axes, text: str, point: tuple[float, float], *, beside: float = 0, **look: object
) -> Text:
    """Write a small text on a point of the data, or beside it.

    Args:
        ax: Axes that the point is in.
        text: What to write.
        point: The middle of the text, in data coordinates.
        beside: How many points to the right of that it begins; below 0, to the left, that it ends.
        **look: What else `Text` takes.

    Returns:
        The text.
    """
    side = "center" if not beside else "left" if beside > 0 else "right"
    look = {"ha": side, "va": "center", "size": SMALL_SIZE, "color": INK} | look
    if not beside:
        return ax.text(*point, text, **look)
    return ax.annotate(text, point, (beside, 0), textcoords="offset points", **look)


def head(ax: Axes, text: str, **look: object) -> None:
    """Write a panel's heading above its left edge."""
    ax.set_title(text, loc="left", **{"size": TEXT_SIZE, "color": INK} | look)


def note(ax: Axes, text: str) -> None:
    """Write a small text under the left edge of a panel."""
    ax.set_xlabel(text, fontsize=SMALL_SIZE, color=MUTED, loc="left")


def name_row(ax: Axes, text: str, **look: object) -> None:
    """Write the name of a row of panels to the left of its first one."""
    place = {"rotation": 0, "ha": "right", "va": "center", "labelpad": 6}
    ax.set_ylabel(text, **place | {"size": TEXT_SIZE, "color": INK} | look)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart whose row 0 is the top one."""
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", labelsize=TEXT_SIZE, labelcolor=INK)
    ax.set_ylim(len(names) - 0.5, -0.5)


def percent(axis: Axis) -> None:
    """Label an axis of shares with per cent, without decimals that say nothing."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")


def shorten(text: str, characters: int) -> str:
    """Cut a text that is too long, marked by an ellipsis."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def wrap(text: str, inches: float, *, size: float = SMALL_SIZE) -> str:
    """Break a text into lines that fit a width, keeping the line breaks that it has."""
    characters = max(4, int(inches * 72 / (0.62 * size)))
    return "\n".join(textwrap.fill(line, characters) for line in text.split("\n"))


def ink_on(color: Sequence[float] | str) -> str:
    """Choose black or white text for a background: contrast of at least 4.5 (WCAG 2.1, AA)."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    # At a luminance of 0.179 black and white have the same contrast: (L + 0.05)² = 0.05 · 1.05.
    return "black" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 else "white"


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> np.ndarray:
    """Move boxes as little as possible (least squares) until none overlaps another.

    Args:
        wanted: (n,) where the boxes' centres would best be.
        sizes: (n,) sizes of the boxes.
        low: Lower bound of the centres.
        high: Upper bound of the centres, given up where n boxes don't fit.

    Returns:
        float64 (n,): the centres, in the order given.
    """
    wanted, sizes = np.asarray(wanted, dtype=float), np.asarray(sizes, dtype=float)
    order = np.argsort(wanted, kind="stable")
    ranked = sizes[order]
    offsets = np.cumsum(ranked) - ranked / 2 - ranked[:1].sum() / 2
    highest = max(low, high - offsets.max(initial=0.0))
    # After taking the sizes away, the centres only must not decrease.
    rising = isotonic_regression(wanted[order] - offsets).x
    centres = np.empty_like(wanted)
    centres[order] = np.clip(rising, low, highest) + offsets
    return centres


def draw_line(ax: Axes, x: Sequence[float], y: Sequence[float], color: str, **look: object) -> None:
    """Draw a curve with a dot at its end; one point is a dot, none is nothing."""
    look = {"linewidth": 2.0, "marker": "o", "markevery": [-1], "markersize": 4} | look
    if len(y):
        ax.plot(x, y, color=color, **look)


def line_end(
    x: Sequence[float], y: Sequence[float], name: str, color: str
) -> list[tuple[float, float, str, str]]:
    """Return the last finite point of a line as one entry for `label_ends`, or nothing."""
    finite = np.flatnonzero(np.isfinite(y))
    return [(x[finite[-1]], y[finite[-1]], name, color)] if finite.size else []


def label_heights(names: Iterable[str]) -> list[float]:
    """Return how many inches high each name is when `label_ends` writes it."""
    lines = [wrap(name, LABEL_WIDTH).count("\n") + 1 for name in names]
    return [(1.2 * n + 0.2) * SMALL_SIZE / 72 for n in lines]


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Name lines at the right edge of their axes, each tied to the end of its line.

    Call it when everything is drawn: it fixes the axes' limits.

    Args:
        ax: Axes whose lines are drawn, in a figure one panel high.
        ends: (x, y, name, colour) for each line, in data coordinates.
    """
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    to_axes = ax.transScale + ax.transLimits
    wanted = [to_axes.transform((x, y))[1] for x, y, _, _ in ends]
    axes_height = ax.figure.get_figheight() - FRAME_HEIGHT
    sizes = np.array(label_heights(name for _, _, name, _ in ends)) / axes_height
    for (x, y, name, color), height in zip(ends, spread(wanted, sizes, 0.0, 1.0), strict=True):
        ax.annotate(
            wrap(name, LABEL_WIDTH),
            (x, y),
            (1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=SMALL_SIZE,
            color=[0.75 * c for c in to_rgb(color)],  # darker: thin letters need more contrast
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.7, "shrinkA": 1, "shrinkB": 3},
        )


def pixels(images: np.ndarray) -> np.ndarray:
    """Return RGB pictures as uint8: themselves if they are, else rounded and clipped."""
    array = np.asarray(images)
    if array.ndim < 3 or array.shape[-1] != 3:
        raise ValueError(
            "Expected RGB pictures, (h, w, 3) or a batch (n, h, w, 3), in 0…255. "
            f"Received: shape={array.shape}. images.read makes any picture RGB."
        )
    if array.dtype != np.uint8 and array.any() and array.max() <= 1:
        raise ValueError(
            "Expected pixels in 0…255. Received: pictures with values from "
            f"{array.min():g} to {array.max():g}, scaled already, which would be drawn black"
        )
    return array if array.dtype == np.uint8 else np.clip(np.rint(array), 0, 255).astype(np.uint8)


def mosaic(tiles: np.ndarray, columns: int, *, fill: float) -> np.ndarray:
    """Join (n, h, w, …) tiles in rows with gaps, enlarging small ones by a whole factor."""
    zoom = max(1, 32 // max(tiles.shape[1:3]))
    tiles = tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)
    n, h, w = tiles.shape[:3]
    gap = max(1, h // 16)
    shape = (math.ceil(n / columns) * (h + gap) - gap, columns * (w + gap) - gap)
    sheet = np.full((*shape, *tiles.shape[3:]), fill, tiles.dtype)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        sheet[y : y + h, x : x + w] = tile
    return sheet


def show(ax: Axes, array: np.ndarray, *, anchor: str = "NW", **colors: object) -> None:
    """Draw an array at the top left of its cell, or elsewhere in it, without ticks or frame."""
    # Large pictures are shrunk, and shrinking without smoothing makes stripes of fine detail.
    ax.imshow(array, interpolation="nearest" if array.shape[1] <= 800 else "antialiased", **colors)
    ax.set(xticks=[], yticks=[], facecolor="white", anchor=anchor)
    ax.spines[:].set_visible(False)


def show_map(ax: Axes, values: np.ndarray, colors: Colormap, norm: Normalize) -> None:
    """Draw a map with a thin frame; what is NaN stays grey."""
    ax.imshow(values, colors, norm, interpolation="nearest")
    ax.set(xticks=[], yticks=[], facecolor=FAINT)
    ax.spines[:].set_color(RULE)


def frame(
    ax: Axes, row: int, column: int, height: int, width: int, *, color: str = VERMILLION
) -> None:
    """Outline pixels of what is drawn on these axes."""
    corner = (column - 0.5, row - 0.5)
    ax.add_patch(Rectangle(corner, width, height, fill=False, ec=color, lw=2))


def shades(*colors: str) -> LinearSegmentedColormap:
    """Make a colour map that runs evenly through some colours."""
    return LinearSegmentedColormap.from_list(" to ".join(colors), colors)


def scale(values: np.ndarray, stretch: float = 1) -> tuple[Colormap, Normalize]:
    """Choose colours: white to black for numbers from 0 up, blue to vermillion with negatives.

    White is 0 in both. A stretch above 1 keeps the colours pale enough to write on.
    """
    peak = stretch * float(np.nanmax(np.abs(values))) or 1.0
    if np.nanmin(values) < 0:
        return shades(BLUE, "white", VERMILLION), Normalize(-peak, peak)
    return colormaps["gray_r"], Normalize(0, peak)


def color_bar(
    figure: Figure, colors: ScalarMappable, axes: Axes | Sequence[Axes], label: str, **place: object
) -> Colorbar:
    """Put a slim colour bar beside axes; `place` goes to `Figure.colorbar`."""
    look = {"shrink": 0.75, "aspect": 25, "pad": 0.02, "ticks": MaxNLocator(5)} | place
    bar = figure.colorbar(colors, ax=axes, **look)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=SMALL_SIZE, labelcolor=MUTED)
    bar.set_label(label, fontsize=SMALL_SIZE, color=MUTED)
    return bar
