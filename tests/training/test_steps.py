"""What a step's loss, choice of pictures and lookahead do, alone and together."""

import keras
import numpy as np
import pytest

from cnnlab import models, training

CHANCE = np.random.default_rng(0)
PICTURES = CHANCE.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)


def net(widths, **settings):
    return models.speed_net(widths, input_shape=(8, 8, 3), num_classes=3, **settings)


def test_smooth_crossentropy_is_keras_own():
    logits, classes = CHANCE.normal(size=(9, 4)), CHANCE.integers(0, 4, 9)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(
        keras.utils.to_categorical(classes, 4), logits
    )
    assert float(training.SmoothCrossentropy(0.2)(classes, logits)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_lookahead_returns_to_the_slow_weights_when_due():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[0.0]])])
    lookahead = training.Lookahead(model, steps=4, every=2, hold=0.8)
    found = []
    for value in (1.0, 2.0, 3.0, 4.0):
        model.set_weights([np.array([[value]])])
        lookahead.after_step()
        found.append(float(model.get_weights()[0][0, 0]))
    second = (1 - 0.8 / 8) * 2
    assert found == pytest.approx([1, second, 3, 0.8 * second + 0.2 * 4], rel=1e-5)


@pytest.mark.slow
def test_everything_together_learns():
    """Two classes, dark and bright, learnt from the harder half with lookahead and Muon."""
    labels = np.arange(48) % 2
    pictures = (PICTURES // 2 + labels[:, None, None, None] * 60).astype(np.uint8)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, proxy = net((4,), depth=3), net((2,))
        look_up = training.LookUp(pictures, cutout=2)
        for i, one in enumerate((model, proxy)):
            one.set_weights(models.draw_weights(one, i))
            one.get_layer("whiten").fit_to(pictures)
        loss = training.SmoothCrossentropy(0.1)
        proxy.compile(training.RankedSGD(0.01), loss)
        half = training.HardHalf(proxy, look_up, keep=8, every=2)
        before_proxy = [np.asarray(w) for w in proxy.trainable_weights]
        trainer = training.BlockTrainer(
            model,
            look_up,
            choose=half.choose,
            after_step=training.Lookahead(model, steps=24).after_step,
        )
        trainer.compile(
            training.BatchedMuon(0.1, bias_ratio=10.0), loss, metrics=["accuracy"], jit_compile=True
        )
        visits = training.Visits(np.arange(48), labels, 16, crop=1, flip=True, cutout=2, side=8)
        history = trainer.fit(
            visits.blocks(8), epochs=8, steps_per_epoch=1, shuffle=False, verbose=0
        ).history
        assert np.isfinite(history["loss"]).all()
        assert history["loss"][-1] < history["loss"][0]
        assert float(half.count) == 24
        assert int(proxy.optimizer.iterations) == 12
        moved = zip(before_proxy, proxy.trainable_weights, strict=True)
        assert all((a != np.asarray(b)).any() for a, b in moved if a.ndim == 4)
    finally:
        keras.config.set_dtype_policy(before)
