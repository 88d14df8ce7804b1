"""A whole network drawn as the 3-D volumes that its layers hand on, in oblique projection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon
from matplotlib.transforms import Affine2D

from cnnlab.plots import canvas

if TYPE_CHECKING:
    import keras

KINDS = {
    "input": "#B8B8B8",
    "convolution": canvas.SKY,
    "pooling": canvas.ORANGE,
    "sum": canvas.PURPLE,
    "flatten": "#DDDDDD",
    "fully connected": canvas.GREEN,
    "network": "#F0E442",
}
Layer = tuple[str, str, tuple[int, ...]]  # name, kind, shape
Arc = tuple[str, str, str]  # from, to, what is on the way

TALLEST, AWAY_X, AWAY_Y = 1.6, 0.42, 0.30  # inches; how far depth leads to the right and up
MARGIN, LABEL_SIZE = 0.3, 7.0  # inches, points
LETTER = 0.6 / 72  # inches that a letter of one point takes, about


@dataclass
class _Box:
    """A volume in inches: its front stands at x…x + thick, with its middle at height 0."""

    name: str
    kind: str
    shape: tuple[int, ...]
    height: float
    depth: float
    thick: float
    x: float = 0.0

    @property
    def size(self) -> str:
        return "×".join(map(str, self.shape))

    @property
    def label_width(self) -> float:
        """Return how wide its name, over its size, is below it."""
        size = LETTER * LABEL_SIZE * len(self.size)
        return 0.05 + max(LETTER * canvas.SMALL_SIZE * len(self.name), size)

    @property
    def away(self) -> np.ndarray:
        """Return how far the back lies from the front."""
        return np.array([AWAY_X * self.depth, AWAY_Y * self.depth])

    @property
    def top(self) -> np.ndarray:
        """Return the middle of the upper edge at the back, which no neighbour hides."""
        return np.array([self.x + self.thick / 2, self.height / 2]) + self.away


def architecture(
    layers: keras.Model | Iterable[Layer],
    *,
    skips: Sequence[tuple[str, str]] = (),
    picture: np.ndarray | None = None,
    title: str | None = None,
) -> canvas.Figure:
    """Draw a network as a row of volumes: as high and deep as its maps, as thick as their number.

    Height and depth go with the square root of the size in pixels, thickness with the logarithm
    of the number of channels; a vector is a thin column. Of a Keras model those layers are drawn
    that make something of another kind: convolution, pooling, sum, flatten, fully connected.
    Normalization, activations, dropout and scaling keep a volume's shape and are left out. A
    shortcut is an arrow over what it skips, with the size of the filters that are on it, if any.

    Args:
        layers: A Keras model, or (name, kind, shape) for each volume in order; the kind is one of
            `KINDS`, the shape is without the batch: (h, w, c), (steps, c) or (n,).
        skips: For a list, names of the volumes that a shortcut leads from and to.
        picture: (h, w, 3) shown on the face of the first volume.
        title: Figure title.

    Raises:
        ValueError: If there is nothing to draw, or a kind or a name is unknown.
    """
    arcs: list[Arc] = [(start, end, "") for start, end in skips]
    if hasattr(layers, "layers"):
        layers, arcs = _read(layers)
    boxes = _stand([(name, kind, tuple(shape)) for name, kind, shape in layers])
    upright = any(b.x - a.x < (a.label_width + b.label_width) / 2 for a, b in pairwise(boxes))
    longest = max(len(box.name) + len(box.size) + 2 for box in boxes)
    below = LETTER * LABEL_SIZE * longest + 0.15 if upright else 0.36
    floor = -max(box.height for box in boxes) / 2 - 0.12
    ceiling = 0.4 + max([box.top[1] for box in boxes] + [_rise(boxes, arc) + 0.1 for arc in arcs])
    figure = canvas.new_figure(ceiling - floor + below, title)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, (ceiling - floor + below) / figure.get_figheight()))
    ax.set_axis_off()
    for box in boxes:
        _draw(ax, box)
        _label(ax, box, floor, upright=upright)
    if picture is not None:
        _draw_face(ax, boxes[0], picture)
    for arc in arcs:
        _draw_arc(ax, boxes, arc)
    _draw_legend(ax, boxes, shortcuts=bool(arcs))
    ax.set(xlim=(0, canvas.WIDTH), ylim=(floor - below, ceiling))
    return figure


def _stand(layers: list[Layer]) -> list[_Box]:
    """Give every volume its size and its place, so that the row fills the figure's width."""
    if not layers:
        raise ValueError("Expected at least one layer. Received: layers of length 0")
    largest = max(max(shape[:-1], default=1) for _, _, shape in layers)
    boxes = []
    for name, kind, shape in layers:
        if kind not in KINDS:
            raise ValueError(
                f"Expected a kind of {list(KINDS)}. Received: kind={kind!r} of layer {name!r}"
            )
        if len(shape) == 1:
            height = TALLEST * min(0.75, 0.15 + 0.05 * math.log2(shape[0] + 1))
            boxes.append(_Box(name, kind, shape, height, 0.08, 2.0))
        else:
            h, w = shape[-3:-1] if len(shape) > 2 else (shape[0], 1)
            height, depth = (max(0.1, TALLEST * math.sqrt(side / largest)) for side in (h, w))
            boxes.append(_Box(name, kind, shape, height, depth, math.log2(1 + shape[-1])))
    # Volumes of one size stand close, like slices of a loaf; before a change a whole side shows.
    gaps = []
    for a, b in pairwise(boxes):
        slices = len(a.shape) > 1 and a.shape[:-1] == b.shape[:-1] and a.kind != "input"
        gaps.append(0.06 if slices else 0.1 + (1.0 if a.kind == "input" else 0.8) * a.away[0])
    room = canvas.WIDTH - 2 * MARGIN - boxes[-1].away[0] - sum(gaps)
    thickness = sum(box.thick for box in boxes)
    unit = max(0.005, min(0.05, room / thickness))
    more = min(0.45, max(0.0, room - unit * thickness) / max(1, len(gaps)))
    x = MARGIN
    for box, gap in zip(boxes, [*gaps, 0.0], strict=True):
        box.x, box.thick = x, unit * box.thick
        x += box.thick + gap + more
    return boxes


def _draw(ax: Axes, box: _Box) -> None:
    """Draw the front, the side and the top of a volume."""
    color, (dx, dy) = KINDS[box.kind], box.away
    left, right, low, high = box.x, box.x + box.thick, -box.height / 2, box.height / 2
    front = [(left, low), (right, low), (right, high), (left, high)]
    side = [(right, low), (right + dx, low + dy), (right + dx, high + dy), (right, high)]
    above = [(left, high), (right, high), (right + dx, high + dy), (left + dx, high + dy)]
    for corners, tone in ((front, 1.0), (side, 0.82), (above, 1.25)):
        ax.add_patch(Polygon(corners, fc=_tone(color, tone), ec=_tone(color, 0.55), lw=0.6))


def _draw_face(ax: Axes, box: _Box, picture: np.ndarray) -> None:
    """Draw a picture on the side of a volume."""
    face = ax.imshow(canvas.pixels(picture), extent=(0, 1, 0, 1), aspect="auto", zorder=1)
    (dx, dy), right, low = box.away, box.x + box.thick, -box.height / 2
    lean = Affine2D(np.array([[dx, 0, right], [dy, box.height, low], [0, 0, 1]]))
    face.set_transform(lean + ax.transData)


def _label(ax: Axes, box: _Box, y: float, *, upright: bool) -> None:
    """Write a volume's name and shape below it; upright where there is no room."""
    x, style = box.x + box.thick / 2, {"ha": "center", "va": "top"}
    if upright:
        text = f"{box.name}  {box.size}"
        ax.text(x, y, text, rotation=90, size=LABEL_SIZE, color=canvas.INK, **style)
    else:
        ax.text(x, y, box.name, size=canvas.SMALL_SIZE, color=canvas.INK, **style)
        ax.text(x, y - 0.16, box.size, size=LABEL_SIZE, color=canvas.MUTED, **style)


def _draw_arc(ax: Axes, boxes: list[_Box], arc: Arc) -> None:
    """Draw a shortcut: up from one volume, over those between, and down on another."""
    over, height = _under(boxes, arc), _rise(boxes, arc)
    (x0, y0), (x1, y1) = over[0].top, over[-1].top
    x0, x1 = x0 + 0.05, x1 - 0.05  # so that one may end where the next begins
    ax.plot([x0, x0, x1], [y0, height, height], color=canvas.VERMILLION, lw=1.1)
    arrow = {"arrowstyle": "-|>", "color": canvas.VERMILLION, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x1, y1), (x1, height), arrowprops=arrow)
    style = {"ha": "center", "size": LABEL_SIZE, "color": canvas.VERMILLION}
    ax.text((x0 + x1) / 2, height + 0.03, arc[2], **style)


def _under(boxes: list[_Box], arc: Arc) -> list[_Box]:
    """List the volumes from a shortcut's start to its end."""
    names = [box.name for box in boxes]
    for name in arc[:2]:
        if name not in names:
            raise ValueError(f"Expected a name of {names}. Received: {name!r} in a shortcut")
    return boxes[names.index(arc[0]) : names.index(arc[1]) + 1]


def _rise(boxes: list[_Box], arc: Arc) -> float:
    """Return how high a shortcut goes."""
    return max(box.top[1] for box in _under(boxes, arc)) + 0.16


def _draw_legend(ax: Axes, boxes: list[_Box], *, shortcuts: bool) -> None:
    used = {kind: color for kind, color in KINDS.items() if any(b.kind == kind for b in boxes)}
    keys: list = [Patch(fc=color, ec=_tone(color, 0.55), lw=0.6) for color in used.values()]
    names = list(used)
    if shortcuts:
        keys, names = [*keys, Line2D([], [], color=canvas.VERMILLION, lw=1.1)], [*names, "shortcut"]
    place = {"loc": "upper left", "ncols": len(names), "handlelength": 1, "handleheight": 1}
    look = {"frameon": False, "fontsize": canvas.SMALL_SIZE, "labelcolor": canvas.MUTED}
    ax.legend(keys, names, borderaxespad=0.1, **place, **look)


def _tone(color: str, factor: float) -> tuple[float, ...]:
    """Darken a colour (factor below 1) or mix it with white (above 1)."""
    if factor <= 1:
        return tuple(factor * c for c in to_rgb(color))
    return tuple(1 - (1 - c) / factor for c in to_rgb(color))


def _read(model: keras.Model) -> tuple[list[Layer], list[Arc]]:
    """List the volumes on a Keras model's longest path, and the shortcuts that join it.

    Only what Keras documents is read: `layers`, and their `input` and `output`, which are tensors
    shared by the layer that makes them and those that take them. Keras lists a layer after those
    that it takes from.
    """
    if not model.built:
        raise ValueError(
            "Expected a model that knows its shapes: give it an Input, or call it once. "
            f"Received: model {model.name!r}, which isn't built"
        )
    maker = {id(tensor): layer for layer in model.layers for tensor in _tensors(layer.output)}
    kinds = {layer.name: _kind(layer) for layer in model.layers}
    feeds: dict[str, list[keras.Layer]] = {}
    length: dict[str, int] = {}
    for before, layer in zip([None, *model.layers], model.layers, strict=False):
        inputs = [] if kinds[layer.name] == "input" else _tensors(layer.input)
        makers = [maker[id(tensor)] for tensor in inputs if id(tensor) in maker]
        if inputs and not makers and before:  # a Sequential model that grew by `add`
            makers = [before]
        feeds[layer.name] = sorted(makers, key=lambda maker: -length[maker.name])
        longest = max((length[maker.name] for maker in makers), default=0)
        length[layer.name] = longest + (kinds[layer.name] is not None)
    path = [maker[id(model.outputs[0])]]
    while feeds[path[0].name]:
        path.insert(0, feeds[path[0].name][0])
    volumes = [
        (layer.name, kinds[layer.name], tuple(_tensors(layer.output)[0].shape[1:]))
        for layer in path
        if kinds[layer.name]
    ]
    if volumes[0][1] != "input":  # a Sequential model doesn't list its input
        volumes.insert(0, ("input", "input", tuple(model.inputs[0].shape[1:])))
    drawn = {name for name, _, _ in volumes}
    arcs = []
    for layer in path:
        for source in feeds[layer.name][1:]:
            passed = []
            while source.name not in drawn:
                passed += [_filter(source)] if kinds[source.name] else []
                source = feeds[source.name][0]
            arcs.append((source.name, layer.name, ", ".join(passed)))
    return volumes, arcs


def _kind(layer: keras.Layer) -> str | None:
    """Name what a layer makes, or None for one that leaves the volume's shape alone."""
    if hasattr(layer, "layers"):
        return None if layer.input_shape == layer.output_shape else "network"
    name = type(layer).__name__
    parts = {"InputLayer": "input", "Conv": "convolution", "Pooling": "pooling"}
    parts |= {"Dense": "fully connected", "Flatten": "flatten", "Add": "sum"}
    return next((kind for part, kind in parts.items() if part in name), None)


def _filter(layer: keras.Layer) -> str:
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", ())
    return "×".join(map(str, size)) or layer.name


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
