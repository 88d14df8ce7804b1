"""What a style transfer is given, and the targets that follow from it at any size."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cnnlab import images
from cnnlab.style.colors import (
    grey,
    grey_like,
    mapped_hues,
    with_colors_of,
    with_hues,
    with_palette_of,
)
from cnnlab.style.distances import Statistics, statistics, style_target
from cnnlab.style.loss import Loss, Region, Targets, loss_of
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
        style_loss: One of `distances.STYLE_LOSSES`, or "neighbours".
        term_weights: Of content, style and total variation; layers of those of 0 are left out.
        loss_form: One of `distances.LOSS_FORMS`.
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
    def loss(self) -> Loss:
        """What is minimised, as a function of pixels and `targets`."""
        return loss_of(self.plan, self.style_loss, self.loss_form)

    @property
    def kind(self) -> tuple:
        """What the time of a step depends on, beside the size."""
        layers = tuple(self.content_layers), tuple(self.style_layers)
        styles = tuple(mask is None for _, _, mask in self.styles)
        return self.plan, self.dtype, self.style_loss, layers, styles, self.style_scale

    def final_loss(self, level: Level) -> tuple[Loss, tuple]:
        """Return the loss that a finished picture is judged by, and its targets."""
        return self.loss, self.targets(level)

    def levels(
        self,
        size: int | tuple[int, int],
        steps: int | Sequence[int],
        count: int | None,
        *,
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
        return [self._style_size(picture, shape) for picture, _, _ in self.styles]

    def _style_size(self, picture: np.ndarray, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width at which a style is used beside a picture of this shape."""
        scale, enlarge = self.style_scale, self.enlarge_style
        return style_size(picture.shape[:2], shape, scale, enlarge=enlarge)

    def content_at(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the content at this height and width, uint8 (h, w, 3)."""
        return images.read(self.content, shape)

    def network_content(self, level: Level) -> tf.Tensor:
        """Return the content as the network's input: see `network_pixels`."""
        return self.network_pixels(self.content_at((level.height, level.width)))

    def network_pixels(self, picture: np.ndarray) -> tf.Tensor:
        """Return a picture as the network's input, float32 (1, h, w, 3) in 0…255.

        With colors="content" that is the luminance, which is all that is painted.
        """
        picture = grey(picture) if self.colors == "content" else picture
        return tf.constant(picture[None], tf.float32)

    def network_style(self, picture: np.ndarray, level: Level) -> tf.Tensor:
        """Return a style's picture as the network's input, float32 (1, h, w, 3) in 0…255."""
        shape = self._style_size(picture, (level.height, level.width))
        picture = images.read(picture, shape)
        if self.colors == "content":
            picture = grey_like(picture, self.content)
        elif self.colors == "matched":
            picture = with_palette_of(picture, self.content)
        return tf.constant(picture[None], tf.float32)

    def to_picture(self, pixels: tf.Tensor) -> np.ndarray:
        """Turn optimised pixels (1, h, w, 3) into a picture, uint8 (h, w, 3)."""
        picture = np.array(pixels)[0]
        shape = picture.shape[:2]
        if self.colors == "content":
            picture = with_colors_of(picture, self.content_at(shape))
        elif self.colors == "mapped":
            if shape not in self._mapped:  # the same at every report of a size
                self._mapped[shape] = mapped_hues(self.content_at(shape), self._palette)
            picture = with_hues(picture, *self._mapped[shape])
        return images.to_uint8(picture)

    @functools.cached_property
    def _palette(self) -> np.ndarray:
        return np.concatenate([picture.reshape(-1, 3) for picture, _, _ in self.styles])

    @functools.cached_property
    def _mapped(self) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
        return {}

    def initial_pixels(self, init: str | np.ndarray, level: Level, seed: int) -> tf.Tensor:
        """Return the pixels to start from, float32 (1, h, w, 3) in 0…255: see `stylize`."""
        shape, random = (level.height, level.width), np.random.default_rng(seed)
        if isinstance(init, np.ndarray):
            picture = images.read(init, shape)
            picture = grey(picture) if self.colors == "content" else picture
        elif init == "content":
            return tf.clip_by_value(self.network_content(level), 0, 255)
        elif init == "noise":
            picture = random.normal(127.5, 50, (*shape, 1 if self.colors == "content" else 3))
            picture = np.broadcast_to(picture, (*shape, 3))
        else:
            picture = self._style_colored_noise(level, random)
        return tf.constant(np.clip(picture, 0, 255)[None], tf.float32)

    def _style_colored_noise(self, level: Level, random: np.random.Generator) -> np.ndarray:
        """Draw noise whose colours have the mean and the covariance of the styles' colours."""
        picture = np.zeros((level.height, level.width, 3))
        for style, weight, _ in self.styles:
            palette = self.network_style(style, level).numpy().reshape(-1, 3).astype(np.float64)
            covariance = np.cov(palette, rowvar=False)
            picture += weight * random.multivariate_normal(
                palette.mean(0), covariance, picture.shape[:2], method="eigh"
            )
        return picture

    def targets(self, level: Level) -> Targets:
        """Compute the features and statistics wanted at this size."""
        content_weight, style_weight, _ = self.term_weights
        features, regions = {}, {}
        if content_weight:
            layers, pixels = self.content_layers, self.network_content(level)
            features = extract_features(pixels, self.weights, self.plan.until(layers), layers)
        if style_weight:
            regions = self._regions(level)
        return Targets(
            weights=self.weights,
            content={
                name: (tf.constant(self.content_layers[name]), wanted)
                for name, wanted in features.items()
            },
            style={
                name: (tf.constant(self.style_layers[name]), wanted)
                for name, wanted in regions.items()
            },
            term_weights=tf.constant(self.term_weights, tf.float32),
        )

    def _regions(self, level: Level) -> dict[str, tuple[Region, ...]]:
        """Return for each layer one region a mask, and one for all styles without a mask."""
        everywhere = [style for style in self.styles if style[2] is None]
        groups = [[style] for style in self.styles if style[2] is not None]
        groups += [everywhere] if everywhere else []
        # In proportion to area, so that a pixel of a small region counts as much as any other.
        sizes = [
            sum(weight for _, weight, _ in group)
            * (1.0 if (mask := group[0][2]) is None else float(mask.mean()) / 255)
            for group in groups
        ]
        regions = {name: [] for name in self.style_layers}
        for group, size in zip(groups, sizes, strict=True):
            share = tf.constant(size / math.fsum(sizes), tf.float32)
            wanted, masks = self._collage(group, level), self._masks(group[0][2], level)
            for name, found in regions.items():
                found.append((share, style_target(wanted[name], self.style_loss), masks.get(name)))
        return {name: tuple(found) for name, found in regions.items()}

    def _collage(self, group: list[Style], level: Level) -> dict[str, Statistics]:
        """Return the statistics of each layer for a collage of these styles."""
        plan = self.plan.until(self.style_layers)
        whole = math.fsum(weight for _, weight, _ in group)
        mixed: dict[str, tuple] = {}
        for picture, weight, _ in group:
            pixels = self.network_style(picture, level)
            features = extract_features(pixels, self.weights, plan, self.style_layers)
            for name, maps in features.items():
                found = statistics(maps, self.style_loss)
                own = (weight / whole * x for x in (found.mean, found.second))
                before = mixed.get(name, (0.0, 0.0))
                mixed[name] = tuple(a + b for a, b in zip(before, own, strict=True))
        return {name: Statistics(*moments) for name, moments in mixed.items()}

    def _masks(self, mask: np.ndarray | None, level: Level) -> dict[str, tf.Tensor]:
        """Return the mask at the resolution of each style layer, float32 in 0…1."""
        if mask is None:
            return {}
        at_size = images.read(mask, (level.height, level.width))
        if not at_size.any():
            raise ValueError(
                "Expected each mask to cover some of the result at every size. Received: one of "
                f"which nothing is left at {level.height} × {level.width}. It lies where the "
                "content is cropped to the result's proportions; or it is too small for that size: "
                "a smaller pyramid starts at a larger one"
            )
        pixels = tf.constant(at_size[None, ..., :1])
        shapes = self.plan.shapes(level.height, level.width)
        return {
            name: tf.image.resize(pixels, shapes[name][:2], "area")[0, ..., 0] / 255
            for name in self.style_layers
        }
