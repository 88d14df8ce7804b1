"""Have a file, whole, or say how: where to look, what proves it, how to download and unpack it.

No module here knows what a file means, and none needs TensorFlow. Behind every notebook's first
look at its material: section 2 of notebook 1, "Its weights" in notebook 2, section 1 of notebook 3.
"""

from cnnlab.sources.archive import unpack
from cnnlab.sources.download import DownloadError
from cnnlab.sources.notice import box
from cnnlab.sources.origins import DEFAULT_LIMITS, Limits
from cnnlab.sources.places import Place, home_place, search_places, shipped
from cnnlab.sources.published import BrokenFileError, Remote
from cnnlab.sources.search import find

__all__ = [
    "DEFAULT_LIMITS",
    "BrokenFileError",
    "DownloadError",
    "Limits",
    "Place",
    "Remote",
    "box",
    "find",
    "home_place",
    "search_places",
    "shipped",
    "unpack",
]
