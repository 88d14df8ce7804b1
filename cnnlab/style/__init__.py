"""Neural style transfer: what one picture shows, painted the way another one is."""

from cnnlab import _keras  # noqa: F401
from cnnlab.style.optimisation import stylize

__all__ = ["stylize"]
