"""Checks of what readers write: right, or what is wrong and for which input.

    def softmax(scores): ...

    exercises.check(softmax)

Three exercises at the end of each notebook are checked so, without a network.
"""

from cnnlab.exercises.checking import Verdict, check

__all__ = ["Verdict", "check"]
