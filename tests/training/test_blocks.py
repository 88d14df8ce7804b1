import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab.training import BlockTrainer, LookUp, SmoothCrossentropy, Visits
from cnnlab.training.blocks import plain_visits

SIDE = 8


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), dtype=np.uint8)


def visits_of(count=60, **settings):
    rows = np.arange(count)
    return Visits(rows, rows % 3, **{"batch_size": 20, "side": SIDE} | settings)


def small_model():
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer="ones")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer="ones")(x))


def compiled(table, *, jit=False, unroll=1, optimizer=None, **pieces):
    trainer = BlockTrainer(small_model(), LookUp(table), unroll=unroll, **pieces)
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    trainer.compile(optimizer, SmoothCrossentropy(0.1), metrics=["accuracy"], jit_compile=jit)
    return trainer


class TestVisits:
    def test_an_epoch_shows_each_row_once_and_drops_what_is_left_over(self):
        rows = np.arange(100, 147)
        visits, labels = Visits(rows, rows - 100, batch_size=10, seed=1).epoch(0)
        seen = visits[..., 0].ravel()
        assert visits.shape == (4, 10, 6)
        assert len(set(seen)) == 40
        assert set(seen) <= set(rows)
        np.testing.assert_array_equal(labels.ravel(), seen - 100)

    @pytest.mark.parametrize("sizes", [{"crop": SIDE}, {"cutout": SIDE + 1}, {"crop": -1}])
    def test_refuses_what_is_larger_than_the_picture(self, sizes):
        with pytest.raises(ValueError, match=r"crop in 0…7 and cutout in 0…8"):
            visits_of(**sizes)

    def test_a_checkpoint_is_the_model_that_takes_pixels(self, table, tmp_path):
        trainer = compiled(table)
        trainer.save(tmp_path / "best.keras")
        loaded = keras.models.load_model(tmp_path / "best.keras")
        np.testing.assert_allclose(loaded(table), trainer.model(table), atol=1e-5)

    def test_epochs_differ_and_a_seed_repeats_them(self):
        one, other = (visits_of(seed=3, crop=2, flip=True, cutout=2) for _ in range(2))
        for number in range(3):
            np.testing.assert_array_equal(one.epoch(number)[0], other.epoch(number)[0])
        assert (one.epoch(0)[0] != one.epoch(1)[0]).any()
        assert (one.epoch(0)[0] != visits_of(seed=4, crop=2, flip=True).epoch(0)[0]).any()

    def test_each_row_is_mirrored_at_every_second_epoch_from_a_random_start(self):
        mirrors = []
        for number in range(3):
            flat = visits_of(flip=True).epoch(number)[0].reshape(-1, 6)
            mirrors.append(flat[np.argsort(flat[:, 0]), 1])
        assert 0.2 < mirrors[0].mean() < 0.8
        np.testing.assert_array_equal(mirrors[0] + mirrors[1], 1)
        np.testing.assert_array_equal(mirrors[0], mirrors[2])

    def test_blocks_hold_the_epochs_one_after_another(self):
        visits = visits_of(crop=1)
        blocks = list(visits.blocks(2, steps_per_call=1).as_numpy_iterator())
        whole = np.concatenate([visits.epoch(number)[0] for number in range(2)])
        np.testing.assert_array_equal(np.concatenate([x for x, _ in blocks]), whole)

    def test_replicas_share_each_batch(self):
        alone = visits_of().epoch(0)[0]
        shared, _ = next(visits_of(replicas=2).draw(1))
        first, second = np.split(shared, 2)
        np.testing.assert_array_equal(np.concatenate([first, second], axis=1), alone)

    @pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 61}, {"replicas": 3}])
    def test_what_cannot_be_is_refused(self, wrong):
        with pytest.raises(ValueError, match="Received"):
            visits_of(**wrong)

    def test_a_block_that_does_not_divide_an_epoch_is_refused(self):
        with pytest.raises(ValueError, match="divisor of the 3 steps"):
            visits_of().blocks(1, steps_per_call=2)


class TestLookUp:
    def test_crops_and_mirrors_the_picture_padded_by_reflection(self, table):
        for down, right, mirror in ((0, 0, 0), (1, -2, 0), (-2, 1, 1)):
            picture = table[5][:, ::-1] if mirror else table[5]
            padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="reflect")
            part = padded[2 + down : 2 + down + SIDE, 2 + right : 2 + right + SIDE]
            found = LookUp(table)(np.array([[5, mirror, down, right, 0, 0]], np.int32))[0]
            np.testing.assert_array_equal(found, part)

    def test_cutout_hides_its_square_in_training_only(self, table):
        visit, look_up = np.array([[7, 0, 0, 0, 2, 5]], np.int32), LookUp(table, cutout=3)
        expected = table[7].astype(np.float32)
        np.testing.assert_array_equal(look_up(visit)[0], expected)
        expected[2:5, 5:8] = 127.5
        np.testing.assert_array_equal(look_up(visit, training=True)[0], expected)


class TestBlockTrainer:
    def test_a_block_gives_what_its_batches_give_one_by_one(self, table):
        visits = visits_of(crop=1, flip=True)
        trainer = compiled(table)
        trainer.fit(visits.blocks(2), epochs=2, steps_per_epoch=1, shuffle=False, verbose=0)
        alone = small_model()
        alone.compile(keras.optimizers.SGD(0.1, momentum=0.9), SmoothCrossentropy(0.1))
        for number in range(2):
            for batch, labels in zip(*visits.epoch(number), strict=True):
                alone.train_on_batch(LookUp(table)(batch), labels)
        for block, one in zip(trainer.model.weights, alone.weights, strict=True):
            np.testing.assert_allclose(block, one, rtol=1e-4, atol=1e-6)
        assert int(trainer.optimizer.iterations) == 6

    def test_loop_and_written_out_and_xla_agree(self, table):
        visits = visits_of(crop=1, flip=True, batch_size=15)  # 4 steps
        losses = []
        for jit, unroll in ((False, 1), (True, 2), (False, 0)):
            trainer = compiled(table, jit=jit, unroll=unroll)
            history = trainer.fit(
                visits.blocks(2), epochs=2, steps_per_epoch=1, shuffle=False, verbose=0
            )
            losses.append(history.history["loss"])
        for one in losses[1:]:
            np.testing.assert_allclose(one, losses[0], rtol=1e-4)

    def test_validation_counts_every_row_once(self, table):
        trainer = compiled(table)
        blocks = plain_visits(np.arange(50), np.arange(50) % 3, batch_size=20)
        assert [x.shape for x, _ in blocks] == [(2, 20, 6), (1, 10, 6)]
        trainer.model.set_weights(
            [np.random.default_rng(0).normal(size=w.shape) for w in trainer.model.weights]
        )
        found = trainer.evaluate(blocks, verbose=0)
        right = trainer.model.predict(table[:50], verbose=0).argmax(axis=1) == np.arange(50) % 3
        assert found[1] == pytest.approx(right.mean())

    def test_chooses_before_and_calls_after_each_step(self, table):
        seen = tf.Variable(0.0)
        trainer = compiled(
            table,
            choose=lambda visits, labels: (visits[:5], labels[:5]),
            after_step=lambda: seen.assign_add(1.0),
        )
        visits = visits_of()
        trainer.fit(visits.blocks(1), epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)
        assert float(seen) == 3
        assert float(trainer._loss_tracker.count) == 15
