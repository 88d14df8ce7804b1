"""Somebody else's network put to use: features, probes, a classifier on it, and what of it learns.

Notebook 2 teaches it: features computed once and probes in section 4, fine-tuning in stages in
section 5, the same network from scratch in section 6.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.transfer.classifiers import classifier, enlarge, unfreeze, with_batch_norm
from cnnlab.transfer.features import extract_features, probes

__all__ = ["classifier", "enlarge", "extract_features", "probes", "unfreeze", "with_batch_norm"]
