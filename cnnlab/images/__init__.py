"""Pictures, one or many: read them as uint8 RGB, fit them to a size, corrupt and save them.

The notebooks read your own pictures with it: notebook 1 in section 6, notebook 2 in section 8,
notebook 3 throughout. Corrupted and shuffled ones are a test of robustness in notebook 2.
"""

from cnnlab.images.arrays import height_and_width, require_pixels, to_uint8, whole_number
from cnnlab.images.batches import in_batches, is_dataset, shape_of
from cnnlab.images.corruption import CORRUPTIONS, corrupt, shuffle_tiles
from cnnlab.images.decoding import HEIC_REMEDY, PictureError, endings, is_heic, is_picture
from cnnlab.images.files import NothingToReadError, folder_of, read, save

__all__ = [
    "CORRUPTIONS",
    "HEIC_REMEDY",
    "NothingToReadError",
    "PictureError",
    "corrupt",
    "endings",
    "folder_of",
    "height_and_width",
    "in_batches",
    "is_dataset",
    "is_heic",
    "is_picture",
    "read",
    "require_pixels",
    "save",
    "shape_of",
    "shuffle_tiles",
    "to_uint8",
    "whole_number",
]
