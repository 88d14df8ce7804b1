"""The numbers you can change: of which kind and in which range each has to be, in one table.

The cell after the parameters of every notebook calls `settle`, so that a wrong value stops there,
with one sentence, and not minutes later. A new parameter gets a line in `KINDS`.
"""

from cnnlab.parameters.kinds import Kind
from cnnlab.parameters.table import KINDS, ParameterError, settle

__all__ = ["KINDS", "Kind", "ParameterError", "settle"]
