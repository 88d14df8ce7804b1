"""Every figure of the notebooks: a function of plain arrays that returns a Matplotlib figure."""

from cnnlab.plots.diagrams import (
    areas,
    dot_product,
    maps,
    matrices,
    output_sizes,
    receptive_fields,
    signals,
    sliding,
    volumes,
)
from cnnlab.plots.inside import activation_maps, filters, heatmaps
from cnnlab.plots.networks import architecture
from cnnlab.plots.pictures import augmented, channels, gallery, grid, mistakes, prediction_bars
from cnnlab.plots.scores import confusion, per_class, reliability
from cnnlab.plots.style import board, close_ups, gram, progress
from cnnlab.plots.training import ladder, learning_curves, lines, schedule
from cnnlab.plots.transfer import changes, costs, embedding, score_lines

__all__ = [
    "activation_maps",
    "architecture",
    "areas",
    "augmented",
    "board",
    "changes",
    "channels",
    "close_ups",
    "confusion",
    "costs",
    "dot_product",
    "embedding",
    "filters",
    "gallery",
    "gram",
    "grid",
    "heatmaps",
    "ladder",
    "learning_curves",
    "lines",
    "maps",
    "matrices",
    "mistakes",
    "output_sizes",
    "per_class",
    "prediction_bars",
    "progress",
    "receptive_fields",
    "reliability",
    "schedule",
    "score_lines",
    "signals",
    "sliding",
    "volumes",
]
