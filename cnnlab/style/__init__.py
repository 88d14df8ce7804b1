"""Neural style transfer: what one picture shows, painted the way another one is."""

from cnnlab.style.optimisation import stylize

__all__ = ["stylize"]
