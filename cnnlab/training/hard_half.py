"""A small network beside the large one picks what is worth learning from.

Most pictures of a batch are known already and teach next to nothing. A proxy that costs a few per
cent of the large network finds the others.
"""

import keras
import tensorflow as tf

from cnnlab.training.blocks import LookUp


class HardHalf(keras.layers.Layer):
    """Chooses the visits of a batch that a small network finds hardest, and trains it on them.

    `BlockTrainer(…, choose=hard_half.choose)` trains on what it chooses. The proxy sees a picture
    exactly as the large network will, and learns from every fourth choice of its own: that is
    enough to know what is hard, and saves most of its way back.

    Args:
        proxy: Takes pictures, returns logits; compiled with optimizer and loss.
        look_up: Visits to pictures.
        keep: Pictures to choose from each batch.
        every: Steps between two updates of the proxy.

    Source: airbench96_faster.py of https://github.com/KellerJordan/cifar10-airbench.
    """

    def __init__(self, proxy: keras.Model, look_up: LookUp, *, keep: int, every: int = 4, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.proxy, self.look_up, self.keep, self.every = proxy, look_up, keep, every
        # Counts in float32: TensorFlow keeps int32 variables on the CPU, where XLA can't reach.
        # Without autocast: float16 counts no further than 2,048.
        self.count = self.add_weight((), "zeros", trainable=False, autocast=False, name="count")
        self.built = True
        # The list as it is now: Keras would look through all layers at each call otherwise, and
        # this layer's own `trainable=False` must not reach it.
        proxy.trainable = True
        self._taught = list(proxy.trainable_weights)
        proxy.optimizer.build(self._taught)

    def start_over(self) -> None:
        """Count from 0 again."""
        self.count.assign(0)

    def choose(self, visits, labels):
        """Pick the `keep` hardest of visits (n, 6) and labels (n,)."""
        pictures = self.look_up(visits, training=True)
        due = tf.equal(tf.math.floormod(tf.convert_to_tensor(self.count), self.every), 0)
        hardest = tf.cond(
            due,
            lambda: self._learn(pictures, labels),
            lambda: self._hardest(self._losses_of(pictures, labels)),
        )
        self.count.assign_add(1)
        return tf.gather(visits, hardest), tf.gather(labels, hardest)

    def _losses_of(self, pictures, labels):
        return self.proxy.loss.call(labels, self.proxy(pictures, training=True))

    def _hardest(self, losses):
        return tf.math.top_k(losses, self.keep).indices

    def _learn(self, pictures, labels):
        with tf.GradientTape() as tape:
            losses = self._losses_of(pictures, labels)
            hardest = self._hardest(losses)
            loss = self.proxy.optimizer.scale_loss(tf.reduce_mean(tf.gather(losses, hardest)))
        gradients = tape.gradient(loss, self._taught)
        self.proxy.optimizer.apply(gradients, self._taught)
        return hardest
