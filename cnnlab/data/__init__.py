"""Image sets, split for training, validation and test: CIFAR-10, Shapes-10, your own folder.

Taught in the first notebook's section 1 and, for a folder, in the second notebook's.
"""

from cnnlab.data.folders import stream
from cnnlab.data.image_set import ImageSet, load, stratified

__all__ = ["ImageSet", "load", "stratified", "stream"]
