"""Every figure of the notebooks: a function of plain arrays that returns a Matplotlib figure.

Nothing is shown, no argument is changed, and a figure knows no other room: its arrays come from
whoever calls it. Where to find which, with the notebook and section that explain it:

- `convolution`, how a convolution computes: `dot_product`, `sliding`, `volumes`, `output_sizes`,
  `matrices`, `areas` (notebook 1, section 1).
- `networks`, a whole network as the volumes that its layers hand on: `architecture` (1, 3).
- `pictures`, pictures and what a model says of them: `gallery`, `grid`, `channels`, `augmented`,
  `mistakes`, `prediction_bars` (1, 2).
- `training`, runs: `learning_curves`, `ladder`, `schedule` (1, 3).
- `scores`, what is taken for what: `confusion`, `reliability` (1, 4).
- `inside`, what layers answer: `filters`, `activation_maps`, `maps`, `receptive_fields`,
  `heatmaps` (1, 1 and 5).
- `charts`, numbers of any origin: `lines`, `signals`, `costs`, `score_lines`, `score_panels`,
  `embedding`, `changes` (1, 1; most of them 2, 1 to 7).
- `style`, painted pictures: `board`, `close_ups`, `contact_sheet`, `gram`, `progress` (2, 1;
  3, 3 and 4).

`canvas` holds the one look that all of them share.
"""

from cnnlab.plots.charts import (
    changes,
    costs,
    embedding,
    lines,
    score_lines,
    score_panels,
    signals,
)
from cnnlab.plots.convolution import (
    areas,
    dot_product,
    matrices,
    output_sizes,
    sliding,
    volumes,
)
from cnnlab.plots.inside import activation_maps, filters, heatmaps, maps, receptive_fields
from cnnlab.plots.networks import architecture
from cnnlab.plots.pictures import augmented, channels, gallery, grid, mistakes, prediction_bars
from cnnlab.plots.scores import confusion, reliability
from cnnlab.plots.style import board, close_ups, contact_sheet, gram, progress
from cnnlab.plots.training import ladder, learning_curves, schedule

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
    "contact_sheet",
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
    "prediction_bars",
    "progress",
    "receptive_fields",
    "reliability",
    "schedule",
    "score_lines",
    "score_panels",
    "signals",
    "sliding",
    "volumes",
]
