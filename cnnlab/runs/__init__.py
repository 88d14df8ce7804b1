"""The log of training runs: a change of a number stands beside what it changed.

Notebook 1 keeps one from section 3, "The ladder", on, notebook 2 from section 5. A log with a
folder outlives its kernel: `earlier` reads it, and a training that was killed goes on from there.
"""

from cnnlab import _keras  # noqa: F401
from cnnlab.runs.callback import Run
from cnnlab.runs.comparison import Comparison
from cnnlab.runs.log import RunLog
from cnnlab.runs.records import EarlierRun, EarlierRuns, earlier

__all__ = ["Comparison", "EarlierRun", "EarlierRuns", "Run", "RunLog", "earlier"]
