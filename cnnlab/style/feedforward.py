"""Style transfer in one pass: a small network that has learnt to paint in one style.

    painter, history = train("waves.jpg", photographs)
    painted = painter.predict(pictures)

`stylize` optimises each picture anew. Here the loss is the same, but what it trains is a network,
so afterwards a picture costs one pass through it.

Source: Johnson, Alahi and Fei-Fei 2016, https://arxiv.org/abs/1603.08155.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnlab import images, models, training
from cnnlab.style import features as style_features
from cnnlab.style import losses as style_losses
from cnnlab.style import plan as style_plan
from cnnlab.style.features import Chain
from cnnlab.style.painter import network

log = logging.getLogger(__name__)

# Up to block 4: crops are too small for the statistics of block 5 to mean much.
STYLE_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1")
CONTENT_LAYERS = ("block3_conv3",)
TERMS = ("content", "style", "variation")
PRECISIONS = ("float32", "mixed_bfloat16")

Picture = str | Path | np.ndarray
Layers = str | Sequence[str] | Mapping[str, float]


@dataclass(frozen=True)
class Critic:
    """Judges painted pictures as `stylize` does: by the distances of `style_losses`.

    Attributes:
        chain: The network that looks, to the deepest layer compared.
        weights: Its weights on the device; nothing here changes them.
        content_layers: Name -> share in the content loss.
        style_layers: Name -> share in the style loss.
        style_loss: One of `style_losses.STYLE_LOSSES`.
        targets: Style layer -> the style wanted there.
        term_weights: Of content, style and total variation.
    """

    chain: Chain
    weights: dict[str, tuple[tf.Tensor, ...]]
    content_layers: dict[str, float]
    style_layers: dict[str, float]
    style_loss: str
    targets: dict[str, style_losses.StyleTarget]
    term_weights: tuple[float, float, float]

    def losses(self, painted: tf.Tensor, pictures: tf.Tensor) -> tf.Tensor:
        """Content, style and variation, unweighted, (3,), as means over the pictures.

        Args:
            painted: float32 (n, h, w, 3) in 0…255, n known beforehand.
            pictures: What they are to show, of the same shape.
        """
        look = functools.partial(style_features.features, weights=self.weights)
        shown = look(painted, chain=self.chain, layers=self.content_layers | self.style_layers)
        shallow = self.chain.until(self.content_layers)
        wanted = look(tf.cast(pictures, "float32"), chain=shallow, layers=self.content_layers)
        content = [
            share * style_losses.content_distance(shown[name], tf.stop_gradient(wanted[name]))
            for name, share in self.content_layers.items()
        ]
        style = [
            share * self._style_distance(shown[name], name)
            for name, share in self.style_layers.items()
        ]
        return tf.stack([sum(content), sum(style), style_losses.total_variation(painted)])

    def _style_distance(self, answers: tf.Tensor, name: str) -> tf.Tensor:
        """Each picture has to have the style by itself, so they are compared one by one."""
        distances = [
            style_losses.style_distance(
                style_losses.statistics(answer, self.style_loss),
                self.targets[name],
                self.style_loss,
            )
            for answer in tf.split(answers, answers.shape[0])
        ]
        return tf.reduce_mean(tf.stack(distances))


def critic(
    style: Picture,
    *,
    size: int = 256,
    content_weight: float = 1.0,
    style_weight: float = 30.0,
    tv_weight: float = 1.0,
    content_layers: Layers = CONTENT_LAYERS,
    style_layers: Layers = STYLE_LAYERS,
    style_loss: str = "gram",
    model: keras.Model | str = "vgg16",
    precision: str = "float32",
) -> Critic:
    """Prepares the judge of one style.

    Args:
        style: How to paint: a path, an address, or an array as `images.read` takes it.
        size: Longer side in pixels at which the style is looked at. The painter's strokes will be
            as wide, in pixels, as they are at this size, whatever the size of its pictures.
        content_weight: Of the content loss.
        style_weight: Of the style loss; more than `stylize`'s, since a painter is shyer with it.
        tv_weight: Of the total variation.
        content_layers: Name, names, or name -> weight.
        style_layers: Likewise.
        style_loss: "gram", "wasserstein" or "moments".
        model: "vgg16", "vgg19", or such a model that takes pixels in 0…255.
        precision: Of the network that judges, "float32" or "mixed_bfloat16".

    Raises:
        ValueError: An argument makes no sense.
        OSError: The style isn't there.
    """
    if style_loss not in style_losses.STYLE_LOSSES:
        raise ValueError(
            f"Expected style_loss to be one of {style_losses.STYLE_LOSSES}. "
            f"Received: {style_loss!r}"
        )
    weights = style_plan.term_weights(content=content_weight, style=style_weight, tv=tv_weight)
    content_layers = style_plan.layer_shares("content_layers", content_layers)
    style_layers = style_plan.layer_shares("style_layers", style_layers)
    picture = style_plan.picture("style", style)
    scale = style_plan.positive_int("size", size) / max(picture.shape[:2])
    picture = images.read(picture, tuple(max(1, round(side * scale)) for side in picture.shape[:2]))

    network = model if isinstance(model, keras.Model) else models.backbone(model)
    chain, kernels = style_features.take_apart(network)
    chain = chain.until([*content_layers, *style_layers])
    if min(picture.shape[:2]) < chain.smallest_side:
        raise ValueError(
            f"Expected a size at which the style has sides of at least {chain.smallest_side}. "
            f"Received: size={size}, which makes it {picture.shape[0]} × {picture.shape[1]}"
        )
    tensors = style_features.to_device(kernels, chain, precision.removeprefix("mixed_"))
    pixels = tf.constant(picture[None], "float32")
    answers = style_features.features(pixels, tensors, chain, style_layers)
    targets = {
        name: style_losses.style_target(style_losses.statistics(answer, style_loss), style_loss)
        for name, answer in answers.items()
    }
    return Critic(chain, tensors, content_layers, style_layers, style_loss, targets, weights)


class Apprentice(keras.Model):
    """A painter before its critic: `compile` it with an optimizer and `fit` it on pictures.

    Its metrics are the terms of the loss; its weights are the painter's, so use and save that.

    Args:
        painter: From pixels to pixels, such as `network` makes.
        critic: Says how far what it paints is from what was wanted.
    """

    def __init__(self, painter: keras.Model, critic: Critic, **kwargs):
        super().__init__(**kwargs)
        self.painter, self.critic = painter, critic
        self.terms = [keras.metrics.Mean(name) for name in TERMS]

    def call(self, pictures, training=False):
        return self.painter(pictures, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = self.critic.losses(y_pred, x)
        for metric, loss in zip(self.terms, tf.unstack(losses), strict=True):
            metric.update_state(loss)
        return tf.reduce_sum(losses * self.critic.term_weights)


def crops(pictures: Sequence[Picture], count: int, *, size: int = 256, seed: int = 0) -> np.ndarray:
    """Cuts square pieces of all scales out of a few pictures, half of them mirrored.

    Args:
        pictures: Paths, addresses or arrays as `images.read` takes them.
        count: Number of pieces.
        size: Their side in pixels; larger cuts are reduced to it.
        seed: The same seed gives the same pieces.

    Returns:
        uint8 (count, size, size, 3).

    Raises:
        ValueError: A picture is smaller than a piece.
    """
    sources, random = [images.read(picture) for picture in pictures], np.random.default_rng(seed)
    for i, source in enumerate(sources):
        if min(source.shape[:2]) < size:
            raise ValueError(
                f"Expected pictures with sides of at least size={size}. "
                f"Received: pictures[{i}] with shape={source.shape}"
            )
    pieces = np.empty((count, size, size, 3), np.uint8)
    for piece in pieces:
        source = sources[random.integers(len(sources))]
        side = random.integers(size, min(source.shape[:2]), endpoint=True)
        top, left = (random.integers(length - side, endpoint=True) for length in source.shape[:2])
        cut = images.read(source[top : top + side, left : left + side], size)
        piece[:] = cut[:, ::-1] if random.random() < 0.5 else cut
    return pieces


def train(
    style: Picture,
    pictures: np.ndarray,
    *,
    steps: int = 2000,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 5,
    precision: str | None = None,
    jit_compile: bool | None = None,
    seed: int = 0,
    report_every: int = 50,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    **judged_by,
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Trains a painter for one style.

    It is Keras's `compile` and `fit` on an `Apprentice`. Stop (KeyboardInterrupt) ends the training
    with the painter as it is.

    Args:
        style: How to paint: a path, an address, or an array as `images.read` takes it.
        pictures: What to practise on, uint8 (n, h, w, 3); sides are multiples of 4.
        steps: Batches to see, to the nearest multiple of `report_every`.
        batch_size: Pictures in a batch.
        learning_rate: The highest, of Adam: it rises over a tenth of the steps, then falls to 0.
        widths: As for `network`.
        blocks: As for `network`.
        precision: Dtype policy of both networks; None takes what suits the device.
        jit_compile: Whether to compile with XLA; None does where it suits the device.
        seed: Of the initial weights and the order of the pictures.
        report_every: Steps in what Keras calls an epoch: one value of the history, one call of the
            callbacks' `on_epoch_end`. `callback.model.painter` is the painter so far.
        callbacks: Keras's.
        verbose: Keras's.
        **judged_by: Further arguments of `critic`.

    Returns:
        The painter, in float32 and for pictures of any size; and the history, term -> the means
        over each `report_every` steps: "content", "style", "variation" and, weighted, "loss".

    Raises:
        ValueError: An argument makes no sense.
        FloatingPointError: The losses have become infinite.
    """
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ValueError(
            f"Expected pictures as uint8 (n, h, w, 3). Received: {pictures.dtype} {pictures.shape}"
        )
    if any(side % 4 for side in pictures.shape[1:3]) or len(pictures) < batch_size:
        raise ValueError(
            "Expected at least a batch of pictures, with sides that are multiples of 4. "
            f"Received: pictures of shape={pictures.shape}, batch_size={batch_size}"
        )
    steps = style_plan.positive_int("steps", steps)
    device = training.device()
    if precision is None:
        precision = device.precision if device.precision in PRECISIONS else "float32"
    jit_compile = device.jit_compile if jit_compile is None else jit_compile
    judge = critic(style, precision=precision, **judged_by)
    if min(pictures.shape[1:3]) < judge.chain.smallest_side:
        raise ValueError(
            f"Expected pictures with sides of at least {judge.chain.smallest_side}, which the "
            f"deepest layer needs. Received: shape={pictures.shape}"
        )
    keras.utils.set_random_seed(seed)
    form = {"widths": widths, "blocks": blocks}
    painter = network(pictures.shape[1:], precision=precision, **form)
    apprentice = Apprentice(painter, judge)
    report_every = min(style_plan.positive_int("report_every", report_every), steps)
    epochs = round(steps / report_every)
    rate = training.OneCycle(learning_rate, epochs * report_every, warmup=0.1)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(painter.trainable_variables)  # else `fit` traces its step twice
    apprentice.compile(optimizer, jit_compile=jit_compile)
    batches = tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(pictures), seed).repeat()
    batches = batches.batch(batch_size, drop_remainder=True).prefetch(2)
    record = keras.callbacks.History()
    try:
        apprentice.fit(
            batches,
            epochs=epochs,
            steps_per_epoch=report_every,
            shuffle=False,  # the batches are shuffled already
            callbacks=[record, keras.callbacks.TerminateOnNaN(), *callbacks],
            verbose=verbose,
        )
    except KeyboardInterrupt:
        log.info("stopped after %d steps", int(apprentice.optimizer.iterations))
    history = {term: np.float32(values) for term, values in record.history.items()}
    if not all(np.isfinite(values).all() for values in history.values()):
        raise FloatingPointError(
            "Expected finite losses; try a smaller learning_rate or precision='float32'. "
            f"Received: {history}"
        )
    free = network(**form)
    free.set_weights(painter.get_weights())
    return free, history
