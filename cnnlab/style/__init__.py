"""Neural style transfer: what one picture shows, painted the way another one is.

`stylize` optimises the picture itself; `paint` needs one pass of a network that knows some styles,
and `train_painter` trains such a network in a style of yours. The distances that they all use
are public. Taught
in the third notebook: losses in sections 2 and 3, `stylize` in sections 4 to 7, the painter in
section 8.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.style.distances import (
    STYLE_LOSSES,
    content_distance,
    gram_matrix,
    statistics,
    style_distance,
    style_target,
    total_variation,
)
from cnnlab.style.optimisation import stylize
from cnnlab.style.painter import painter_network
from cnnlab.style.painting import paint, painter_styles
from cnnlab.style.perceptual import PerceptualLoss
from cnnlab.style.practice import crops, train_painter
from cnnlab.style.recorder import Progress, StyleResult

__all__ = [
    "STYLE_LOSSES",
    "PerceptualLoss",
    "Progress",
    "StyleResult",
    "content_distance",
    "crops",
    "gram_matrix",
    "paint",
    "painter_network",
    "painter_styles",
    "statistics",
    "style_distance",
    "style_target",
    "stylize",
    "total_variation",
    "train_painter",
]
