"""Somebody else's network put to use: a classifier on it, what learns, features, probes."""

from cnnlab import _keras  # noqa: F401
from cnnlab.transfer.classifiers import classifier, enlarge, unfreeze, with_batch_norm
from cnnlab.transfer.features import extract, probes

__all__ = ["classifier", "enlarge", "extract", "probes", "unfreeze", "with_batch_norm"]
