"""From pictures, styles and masks to the numbers that a style transfer steers for, at any size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cnnlab import images
from cnnlab.style import colors
from cnnlab.style.features import features
from cnnlab.style.losses import Statistics, statistics, style_target
from cnnlab.style.plan import Level, style_size
from cnnlab.style.steps import Goal, Objective, Region

COLORS = ("style", "content", "matched")


@dataclass(frozen=True)
class Style:
    """One style: its picture, its weight, and where it goes.

    Attributes:
        picture: uint8 (h, w, 3).
        weight: Its share among the styles, 0…1.
        mask: uint8 (h, w) of the content's shape in 0…255, or None for everywhere.
    """

    picture: np.ndarray
    weight: float
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Scene:
    """Everything that is to be brought together in one picture.

    Attributes:
        content: uint8 (h, w, 3).
        styles: At least one.
        style_scale: Size at which styles are looked at, in units of the result's.
        colors: One of `COLORS`.
        weights: The network's, from `style_features.to_device`.
        content_layers: Name -> share.
        style_layers: Name -> share.
        term_weights: Of content, style and total variation.
    """

    content: np.ndarray
    styles: tuple[Style, ...]
    style_scale: float
    colors: str
    weights: dict[str, tuple[tf.Tensor, ...]]
    content_layers: dict[str, float]
    style_layers: dict[str, float]
    term_weights: tuple[float, float, float]

    def content_at(self, level: Level) -> np.ndarray:
        """The content at this size, uint8."""
        return images.read(self.content, (level.height, level.width))

    def seen_content(self, level: Level) -> np.ndarray:
        """The content as the network gets to see it, (h, w, 3) in 0…255."""
        content = self.content_at(level)
        return colors.grey(content) if self.colors == "content" else content

    def seen_style(self, style: Style, level: Level) -> np.ndarray:
        """A style as the network gets to see it, (h, w, 3) in 0…255."""
        shape = style_size(style.picture.shape[:2], (level.height, level.width), self.style_scale)
        picture = images.read(style.picture, shape)
        if self.colors == "content":
            return colors.grey_like(picture, self.content)
        if self.colors == "matched":
            return colors.with_palette_of(picture, self.content)
        return picture

    def finish(self, pixels: tf.Tensor) -> np.ndarray:
        """Optimised pixels (1, h, w, 3) as a picture, uint8 (h, w, 3)."""
        picture = np.array(pixels)[0]
        if self.colors == "content":
            level = Level(*picture.shape[:2], steps=0)
            picture = colors.with_colors_of(picture, self.content_at(level))
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def start(self, init: str | np.ndarray, level: Level, seed: int) -> tf.Tensor:
        """The picture to start from: see `stylize`. float32 (1, h, w, 3) in 0…255."""
        shape, random = (level.height, level.width), np.random.default_rng(seed)
        if isinstance(init, np.ndarray):
            picture = images.read(init, shape)
            picture = colors.grey(picture) if self.colors == "content" else picture
        elif init == "content":
            picture = self.seen_content(level)
        elif init == "noise":
            picture = random.normal(127.5, 50, (*shape, 1 if self.colors == "content" else 3))
            picture = np.broadcast_to(picture, (*shape, 3))
        else:
            picture = self._noise_like_styles(level, random)
        return tf.constant(np.clip(picture, 0, 255)[None], tf.float32)

    def _noise_like_styles(self, level: Level, random: np.random.Generator) -> np.ndarray:
        """Noise whose colours have the mean and the covariance that the styles' colours have."""
        picture = np.zeros((level.height, level.width, 3))
        for style in self.styles:
            palette = self.seen_style(style, level).reshape(-1, 3).astype(np.float64)
            covariance = np.cov(palette, rowvar=False)
            picture += style.weight * random.multivariate_normal(
                palette.mean(0), covariance, picture.shape[:2], method="eigh"
            )
        return picture

    def goal(self, level: Level, objective: Objective) -> Goal:
        """The features and statistics wanted at this size."""
        wanted = {}
        if objective.content_layers:
            pixels = tf.constant(self.seen_content(level)[None], tf.float32)
            chain = objective.chain.until(objective.content_layers)
            wanted = features(pixels, self.weights, chain, objective.content_layers)
        layers = objective.content_layers + objective.style_layers
        shares = [
            [self.content_layers.get(name, 0.0), self.style_layers.get(name, 0.0)]
            for name in layers
        ]
        return Goal(
            weights=self.weights,
            content=wanted,
            regions=self._regions(level, objective) if objective.style_layers else (),
            layer_weights=dict(
                zip(layers, tf.constant(shares, shape=(len(layers), 2)), strict=True)
            ),
            term_weights=tf.constant(self.term_weights, tf.float32),
        )

    def _regions(self, level: Level, objective: Objective) -> tuple[Region, ...]:
        """One region a mask, and one for all styles that have none."""
        masked = [[style] for style in self.styles if style.mask is not None]
        everywhere = [style for style in self.styles if style.mask is None]
        groups = [*masked, everywhere] if everywhere else masked
        # Area counts, so that each square inch of a small region is painted as firmly as any other.
        sizes = [
            sum(style.weight for style in group)
            * (1.0 if group[0].mask is None else float(group[0].mask.mean()) / 255)
            for group in groups
        ]
        return tuple(
            Region(
                targets=self._targets(group, level, objective),
                weight=tf.constant(size / math.fsum(sizes), tf.float32),
                masks=_masks_at(group[0].mask, level, objective),
            )
            for group, size in zip(groups, sizes, strict=True)
        )

    def _targets(self, group: list[Style], level: Level, objective: Objective) -> dict:
        """The statistics of a collage of these styles, by layer."""
        chain, kind = objective.chain.until(objective.style_layers), objective.style_loss
        whole = math.fsum(style.weight for style in group)
        mixed: dict[str, Statistics] = {}
        for style in group:
            pixels = tf.constant(self.seen_style(style, level)[None], tf.float32)
            answers = features(pixels, self.weights, chain, objective.style_layers)
            for name, answer in answers.items():
                own = (style.weight / whole * x for x in statistics(answer, kind))
                before = mixed.get(name, (0.0, 0.0))
                mixed[name] = Statistics(*(a + b for a, b in zip(before, own, strict=True)))
        return {name: style_target(wanted, kind) for name, wanted in mixed.items()}


def _masks_at(mask: np.ndarray | None, level: Level, objective: Objective) -> dict[str, tf.Tensor]:
    """The mask at the resolution of each style layer, float32 in 0…1."""
    if mask is None:
        return {}
    pixels = tf.constant(images.read(mask, (level.height, level.width))[None, ..., :1])
    shapes = objective.chain.shapes(level.height, level.width)
    return {
        name: tf.image.resize(pixels, shapes[name][:2], "area")[0, ..., 0] / 255
        for name in objective.style_layers
    }
