"""The last layer: the teacher's probabilities of 1,000 classes from the student's block 5.

Global average and one dense layer instead of VGG's three, which hold 124 million weights, nine
times those of the convolutions. Hinton et al. 2015, https://arxiv.org/abs/1503.02531.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from .distillation import log, rate
from .photographs import random_views, whole_views

SIDE = 224  # the teacher's dense layers take nothing else


def answers(dense, teacher, student, photos, seconds: float, args) -> tuple[np.ndarray, ...]:
    """Ask the teacher about random views, and average the student's maps of the same.

    The teacher sees 224 px; the student these and, scaled down, 128 px, so that its top knows
    both. As many views as the time allows, in float16.

    Returns:
        Averages (n, 512) at 224 px and at 128 px, and logits (n, 1000).
    """
    average = keras.Model(
        student.input, keras.layers.GlobalAveragePooling2D(dtype="float32")(student.output)
    )

    # Not XLA: it would compile for longer than this takes.
    @tf.function
    def look(part, rows, seed):
        pictures = random_views(part, rows, seed, SIDE, smallest=0.7)
        means = [average(pictures), average(whole_views(pictures, args.side))]
        return [tf.cast(x, tf.float16) for x in (*means, dense(teacher(pictures)))]

    found, start, number = [], time.perf_counter(), 0
    while number < 3 or time.perf_counter() - start < seconds:
        # Other batches than those of phases A and B.
        found.append(
            [x.numpy() for x in look(*photos.batch(1_000_000_000 + number, args.top_batch))]
        )
        number += 1
    log(top_views=number * args.top_batch, seconds=round(time.perf_counter() - start, 1))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def learn(means: list[np.ndarray], logits: np.ndarray, args) -> tuple[np.ndarray, np.ndarray]:
    """Learn kernel (512, 1000) and bias of a dense layer that says what the teacher says.

    Args:
        means: The student's averages (n, 512) at each size.
        logits: The teacher's (n, 1000).
        args: As parsed.

    Returns:
        The kernel and the bias, float32.
    """
    rows = np.arange(len(logits))
    held_out = rows[-max(len(rows) // 50, 1) :]
    rows = rows[: -len(held_out)]
    features, targets = [tf.constant(x) for x in means], tf.constant(logits)
    layer = keras.layers.Dense(1000, kernel_initializer="zeros", dtype="float32")
    layer.build((None, 512))
    optimizer = keras.optimizers.AdamW(args.top_peak, weight_decay=1e-2)
    optimizer.build(layer.trainable_variables)

    @tf.function
    def step(x, chosen):
        target = tf.nn.softmax(tf.cast(tf.gather(targets, chosen), tf.float32))
        with tf.GradientTape() as tape:
            said = layer(tf.cast(tf.gather(x, chosen), tf.float32))
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, said))
        variables = layer.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    rng = np.random.default_rng(args.seed)
    for number in range(args.top_steps):
        progress = number / args.top_steps
        optimizer.learning_rate.assign(rate(progress, args.top_peak))
        chosen = tf.constant(rng.choice(rows, min(4096, len(rows))))
        loss = step(features[number % len(features)], chosen)
    says = logits[held_out].argmax(axis=1)
    agreement = [
        float(np.mean(layer(x[held_out].astype("f")).numpy().argmax(1) == says)) for x in means
    ]
    log(top_loss=round(float(loss), 4), agrees_with_teacher=[round(a, 4) for a in agreement])
    return tuple(layer.get_weights())
