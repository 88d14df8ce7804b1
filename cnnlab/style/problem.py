"""What a style transfer is given, and the targets that follow from it at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cnnlab import images
from cnnlab.style.colors import (
    grey,
    grey_like,
    with_colors_of,
    with_hues_mapped,
    with_palette_of,
)
from cnnlab.style.losses import Statistics, StyleTarget, statistics, style_target
from cnnlab.style.objective import Objective, Region, Targets
from cnnlab.style.pyramid import SMALLEST_LEVEL, Level, pyramid_levels, style_size, target_size
from cnnlab.style.settings import Style
from cnnlab.style.vgg import VGGPlan, extract_features


@dataclass(frozen=True)
class StyleProblem:
    """What a style transfer is given, for any size.

    Attributes:
        content: uint8 (h, w, 3).
        styles: At least one.
        style_scale: Size at which styles are used, in units of the result's.
        enlarge_style: Whether a style may be enlarged beyond its own size.
        colors: "style", "content", "matched" or "mapped".
        plan: The network, to the deepest layer compared.
        weights: The network's, from `vgg.device_weights`.
        content_layers: Name -> share.
        style_layers: Name -> share.
        style_loss: One of `losses.STYLE_LOSSES`, or "neighbours".
        term_weights: Of content, style and total variation.
        loss_form: One of `losses.LOSS_FORMS`.
    """

    content: np.ndarray
    styles: tuple[Style, ...]
    style_scale: float
    colors: str
    plan: VGGPlan
    weights: dict[str, tuple[tf.Tensor, ...]]
    content_layers: dict[str, float]
    style_layers: dict[str, float]
    style_loss: str
    term_weights: tuple[float, float, float]
    loss_form: str = "squared"
    enlarge_style: bool = False

    @property
    def dtype(self) -> str:
        """The precision computed in, "float32" or "bfloat16"."""
        return self.weights[self.plan.layers[0][0]][0].dtype.name

    @property
    def objective(self) -> Objective:
        """What is compared: layers of terms whose weight is 0 are left out."""
        content_weight, style_weight, _ = self.term_weights
        return Objective(
            self.plan,
            tuple(self.content_layers) if content_weight else (),
            tuple(self.style_layers) if style_weight else (),
            self.style_loss,
            self.loss_form,
        )

    def levels(
        self,
        size: int | tuple[int, int],
        steps: int | Sequence[int],
        count: int | None,
        ratio: float = 2.0,
        coarsest: int = SMALLEST_LEVEL,
    ) -> tuple[Level, ...]:
        """Return the sizes to work at with their steps: see `pyramid_levels`."""
        return pyramid_levels(
            target_size(size, self.content.shape[:2]),
            steps,
            count,
            ratio=ratio,
            coarsest=coarsest,
            smallest_side=self.plan.smallest_side,
            style_sizes=self._style_sizes,
        )

    def _style_sizes(self, shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the size at which each style is used beside a picture of this height and width."""
        return [
            style_size(style.picture.shape[:2], shape, self.style_scale, enlarge=self.enlarge_style)
            for style in self.styles
        ]

    def content_at(self, level: Level) -> np.ndarray:
        """Return the content at this size, uint8 (h, w, 3)."""
        return images.read(self.content, (level.height, level.width))

    def network_content(self, level: Level) -> np.ndarray:
        """Return the content as the network's input, (h, w, 3) in 0…255."""
        content = self.content_at(level)
        return grey(content) if self.colors == "content" else content

    def network_style(self, style: Style, level: Level) -> np.ndarray:
        """Return a style as the network's input, (h, w, 3) in 0…255."""
        shape = style_size(
            style.picture.shape[:2],
            (level.height, level.width),
            self.style_scale,
            enlarge=self.enlarge_style,
        )
        picture = images.read(style.picture, shape)
        if self.colors == "content":
            return grey_like(picture, self.content)
        if self.colors == "matched":
            return with_palette_of(picture, self.content)
        return picture

    def to_picture(self, pixels: tf.Tensor) -> np.ndarray:
        """Turn optimised pixels (1, h, w, 3) into a picture, uint8 (h, w, 3)."""
        picture = np.array(pixels)[0]
        level = Level(*picture.shape[:2], steps=0)
        if self.colors == "content":
            picture = with_colors_of(picture, self.content_at(level))
        elif self.colors == "mapped":
            palette = np.concatenate([style.picture.reshape(-1, 3) for style in self.styles])
            picture = with_hues_mapped(picture, self.content_at(level), palette)
        return images.to_uint8(picture)

    def initial_pixels(self, init: str | np.ndarray, level: Level, seed: int) -> tf.Tensor:
        """Return the pixels to start from, float32 (1, h, w, 3) in 0…255: see `stylize`."""
        shape, random = (level.height, level.width), np.random.default_rng(seed)
        if isinstance(init, np.ndarray):
            picture = images.read(init, shape)
            picture = grey(picture) if self.colors == "content" else picture
        elif init == "content":
            picture = self.network_content(level)
        elif init == "noise":
            picture = random.normal(127.5, 50, (*shape, 1 if self.colors == "content" else 3))
            picture = np.broadcast_to(picture, (*shape, 3))
        else:
            picture = self._style_colored_noise(level, random)
        return tf.constant(np.clip(picture, 0, 255)[None], tf.float32)

    def _style_colored_noise(self, level: Level, random: np.random.Generator) -> np.ndarray:
        """Draw noise whose colours have the mean and the covariance of the styles' colours."""
        picture = np.zeros((level.height, level.width, 3))
        for style in self.styles:
            palette = self.network_style(style, level).reshape(-1, 3).astype(np.float64)
            covariance = np.cov(palette, rowvar=False)
            picture += style.weight * random.multivariate_normal(
                palette.mean(0), covariance, picture.shape[:2], method="eigh"
            )
        return picture

    def targets(self, level: Level) -> Targets:
        """Compute the features and statistics wanted at this size."""
        objective, wanted = self.objective, {}
        if objective.content_layers:
            pixels = tf.constant(self.network_content(level)[None], tf.float32)
            plan = self.plan.until(objective.content_layers)
            wanted = extract_features(pixels, self.weights, plan, objective.content_layers)
        layers = objective.content_layers + objective.style_layers
        shares = [
            [self.content_layers.get(name, 0.0), self.style_layers.get(name, 0.0)]
            for name in layers
        ]
        return Targets(
            weights=self.weights,
            content=wanted,
            regions=self._regions(level) if objective.style_layers else (),
            layer_weights=dict(
                zip(layers, tf.constant(shares, shape=(len(layers), 2)), strict=True)
            ),
            term_weights=tf.constant(self.term_weights, tf.float32),
        )

    def _regions(self, level: Level) -> tuple[Region, ...]:
        """Return one region a mask, and one for all styles without a mask."""
        masked = [[style] for style in self.styles if style.mask is not None]
        everywhere = [style for style in self.styles if style.mask is None]
        groups = [*masked, everywhere] if everywhere else masked
        # In proportion to area, so that a pixel of a small region counts as much as any other.
        sizes = [
            sum(style.weight for style in group)
            * (1.0 if group[0].mask is None else float(group[0].mask.mean()) / 255)
            for group in groups
        ]
        return tuple(
            Region(
                targets=self._style_targets(group, level),
                weight=tf.constant(size / math.fsum(sizes), tf.float32),
                masks=_masks_at(group[0].mask, level, self.objective),
            )
            for group, size in zip(groups, sizes, strict=True)
        )

    def _style_targets(self, group: list[Style], level: Level) -> dict[str, StyleTarget]:
        """Return the style wanted in each layer: that of a collage of these styles."""
        layers, kind = tuple(self.style_layers), self.style_loss
        plan = self.plan.until(layers)
        whole = math.fsum(style.weight for style in group)
        mixed: dict[str, Statistics] = {}
        for style in group:
            pixels = tf.constant(self.network_style(style, level)[None], tf.float32)
            features = extract_features(pixels, self.weights, plan, layers)
            for name, maps in features.items():
                own = (style.weight / whole * x for x in statistics(maps, kind))
                before = mixed.get(name, (0.0, 0.0))
                mixed[name] = Statistics(*(a + b for a, b in zip(before, own, strict=True)))
        return {name: style_target(wanted, kind) for name, wanted in mixed.items()}


def _masks_at(mask: np.ndarray | None, level: Level, objective: Objective) -> dict[str, tf.Tensor]:
    """Return the mask at the resolution of each style layer, float32 in 0…1."""
    if mask is None:
        return {}
    cropped = images.read(mask, (level.height, level.width))
    if not cropped.any():
        raise ValueError(
            "Expected each mask to cover some of the result. Received: one that is all 0 where the "
            f"content is cropped to the result's proportions, {level.height} × {level.width}"
        )
    pixels = tf.constant(cropped[None, ..., :1])
    shapes = objective.plan.shapes(level.height, level.width)
    return {
        name: tf.image.resize(pixels, shapes[name][:2], "area")[0, ..., 0] / 255
        for name in objective.style_layers
    }
