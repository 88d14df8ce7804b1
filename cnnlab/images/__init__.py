"""One picture at a time: read it from anywhere as uint8 RGB, fit it to a size, save it.

The notebooks read your own pictures with it: notebook 1 in section 6, notebook 2 in section 8,
notebook 3 throughout.
"""

from cnnlab.images.arrays import height_and_width, require_pixels, to_uint8
from cnnlab.images.decoding import HEIC_REMEDY, endings, is_heic, is_picture
from cnnlab.images.files import read, save

__all__ = [
    "HEIC_REMEDY",
    "endings",
    "height_and_width",
    "is_heic",
    "is_picture",
    "read",
    "require_pixels",
    "save",
    "to_uint8",
]
