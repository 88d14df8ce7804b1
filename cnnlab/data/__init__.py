"""Have pictures to learn: CIFAR-10, Shapes-10 or a folder of your own, in three separate sets.

Needs TensorFlow only to stream a folder. Taught in section 2 of notebook 1, in section 3 of
notebook 2 and, for a folder, in its section "Your own folder".
"""

from cnnlab.data.image_set import ImageSet, load
from cnnlab.data.pictures import stream
from cnnlab.data.splits import stratified

__all__ = ["ImageSet", "load", "stratified", "stream"]
