"""Have a file, whole, or say how: where it is looked for, how it is downloaded, what it must be.

No room here knows what is in a file.
"""

from cnnlab.sources.archive import BrokenFileError, unpack
from cnnlab.sources.download import DEFAULT_LIMITS, DownloadError, Limits, Remote, fetch
from cnnlab.sources.notice import box
from cnnlab.sources.places import Place, home_place, keras_cache, our_places

__all__ = [
    "DEFAULT_LIMITS",
    "BrokenFileError",
    "DownloadError",
    "Limits",
    "Place",
    "Remote",
    "box",
    "fetch",
    "home_place",
    "keras_cache",
    "our_places",
    "unpack",
]
