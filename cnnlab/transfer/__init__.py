"""Somebody else's network put to use: features, probes, a classifier, and what of it learns.

Notebook 2 teaches it: features computed once and probes in section 4, nearest neighbours in 8,
fine-tuning in stages in section 5, the same network from scratch in section 6.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.transfer.classifiers import classifier, enlarge, unfreeze, with_batch_norm
from cnnlab.transfer.features import extract_features, probes
from cnnlab.transfer.neighbours import nearest_neighbours

__all__ = [
    "classifier",
    "enlarge",
    "extract_features",
    "nearest_neighbours",
    "probes",
    "unfreeze",
    "with_batch_norm",
]
