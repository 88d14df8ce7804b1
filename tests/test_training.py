import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import data, models, training


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    splits = {}
    for name, n in (("train", 40), ("val", 12), ("test", 8)):
        splits[f"x_{name}"] = rng.integers(0, 256, size=(n, 8, 8, 3), dtype=np.uint8)
        splits[f"y_{name}"] = np.arange(n, dtype=np.int64) % 2
    return data.ImageSet(**splits, classes=("a", "b"), name="made up", source="a test")


def test_device_settings_agree_with_each_other():
    device = training.device()
    assert device.is_gpu == bool(tf.config.list_physical_devices("GPU"))
    if not device.is_gpu:
        assert (device.precision, device.jit_compile) == ("float32", False)


class TestOnDevice:
    def test_rows_are_the_pictures_of_train_then_val(self, images):
        table = training.to_device(images)
        np.testing.assert_array_equal(table.table.numpy()[table.train_rows], images.x_train)
        np.testing.assert_array_equal(table.table.numpy()[table.val_rows], images.x_val)

    def test_says_of_rows_what_the_model_says_of_pictures(self, images):
        model = models.linear((8, 8, 3), 2)
        table = training.to_device(images)
        trainer = training.on_device(model, table, training.Augment())
        by_row = trainer.predict(table.val_rows, verbose=0)
        np.testing.assert_allclose(by_row, model(images.x_val), atol=1e-5)

    def test_training_it_trains_the_model_inside(self, images):
        model = models.linear((8, 8, 3), 2)
        before = model.get_weights()[0]
        table = training.to_device(images)
        trainer = training.on_device(model, table)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trainer.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
        first, last = trainer.fit(
            table.train_rows, images.y_train, epochs=2, verbose=0, steps_per_epoch=None
        ).history["loss"]
        assert last < first
        assert np.any(model.get_weights()[0] != before)

    def test_same_seed_same_weights(self, images):
        def train():
            keras.utils.set_random_seed(7)
            model = models.resnet((8, 8, 3), 2, widths=(4, 5))
            table = training.to_device(images)
            trainer = training.on_device(model, table, training.Augment(crop=2, cutout=3, seed=7))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            schedule = training.OneCycle(0.1, 10)
            trainer.compile(training.Muon(schedule), loss, jit_compile=False)
            trainer.fit(table.train_rows, images.y_train, batch_size=8, epochs=2, verbose=0)
            return model.get_weights()

        for a, b in zip(train(), train(), strict=True):
            np.testing.assert_array_equal(a, b)


class TestAugment:
    PICTURES = np.random.default_rng(0).integers(0, 256, size=(64, 12, 10, 3)).astype("float32")

    def test_does_nothing_in_prediction(self):
        layer = training.Augment(crop=3, cutout=4)
        np.testing.assert_array_equal(layer(self.PICTURES, training=False), self.PICTURES)

    def test_with_everything_off_does_nothing_in_training(self):
        layer = training.Augment(crop=0, flip=False)
        np.testing.assert_array_equal(layer(self.PICTURES, training=True), self.PICTURES)

    def test_flips_half_of_the_pictures_and_no_other_way_than_left_to_right(self):
        out = training.Augment(crop=0)(self.PICTURES, training=True).numpy()
        kept = (out == self.PICTURES).all(axis=(1, 2, 3))
        flipped = (out == self.PICTURES[:, :, ::-1]).all(axis=(1, 2, 3))
        assert (kept ^ flipped).all()
        assert 16 < flipped.sum() < 48  # 32 ± 4 standard deviations

    def test_crops_are_those_of_the_picture_padded_by_reflection(self):
        crop, (height, width) = 2, self.PICTURES.shape[1:3]
        out = training.Augment(crop=crop, flip=False)(self.PICTURES, training=True).numpy()
        widths = ((0, 0), (crop, crop), (crop, crop), (0, 0))
        padded = np.pad(self.PICTURES, widths, mode="reflect")
        places = set()
        for picture, source in zip(out, padded, strict=True):
            found = [
                (i, j)
                for i, j in np.ndindex(2 * crop + 1, 2 * crop + 1)
                if np.array_equal(picture, source[i : i + height, j : j + width])
            ]
            assert len(found) == 1
            places |= set(found)
        assert len(places) > 15  # of 25, with 64 draws
        assert {i for i, _ in places} == {j for _, j in places} == set(range(5))

    def test_cutout_greys_one_square_of_its_size(self):
        out = training.Augment(crop=0, flip=False, cutout=4)(self.PICTURES, training=True).numpy()
        changed = (out != self.PICTURES).any(axis=-1)
        assert np.all(out[changed] == 127.5)
        for mask in changed:
            assert mask.sum() == 16
            rows, columns = np.nonzero(mask)
            assert np.ptp(rows) == np.ptp(columns) == 3
        # Every row and every column is hidden in some picture (each at least 1 time in 9).
        assert changed.any(axis=(0, 2)).all()
        assert changed.any(axis=(0, 1)).all()

    def test_two_batches_differ_and_a_seed_repeats_both(self):
        a, b = training.Augment(seed=3), training.Augment(seed=3)
        first, second = (a(self.PICTURES, training=True).numpy() for _ in range(2))
        assert np.any(first != second)
        np.testing.assert_array_equal(first, b(self.PICTURES, training=True))
        assert np.any(first != training.Augment(seed=4)(self.PICTURES, training=True).numpy())


class TestOneCycle:
    def test_climbs_then_falls_by_hand(self):
        schedule = training.OneCycle(1.0, 10, warmup=0.2)
        rates = [float(schedule(step)) for step in range(10)]
        # at the middle of each step: up over the first 2 steps, down over the other 8
        expected = [0.25, 0.75, *(1 - (i + 0.5) / 8 for i in range(8))]
        np.testing.assert_allclose(rates, expected, atol=1e-6)

    def test_is_zero_after_its_end_and_never_negative(self):
        assert float(training.OneCycle(1.0, 10)(25)) == 0.0

    def test_reloads_from_its_config(self):
        schedule = training.OneCycle(0.3, 50, warmup=0.4)
        again = training.OneCycle.from_config(schedule.get_config())
        assert float(again(7)) == float(schedule(7))

    @pytest.mark.parametrize("bad", [{"steps": 0}, {"steps": 5, "warmup": 1.0}])
    def test_refuses_what_makes_no_cycle(self, bad):
        with pytest.raises(ValueError, match=r"steps > 0 and warmup.*Received: steps="):
            training.OneCycle(1.0, **bad)


class TestMuon:
    @pytest.mark.parametrize("shape", [(27, 8), (6, 20), (9, 9)])
    def test_orthogonalize_brings_singular_values_near_one(self, shape):
        matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
        values = np.linalg.svd(np.array(training.orthogonalize(matrix, steps=5)), compute_uv=False)
        assert values.shape == (min(shape),)
        assert np.all((values > 0.6) & (values < 1.25))

    def test_orthogonalize_keeps_the_singular_vectors(self):
        matrix = np.random.default_rng(0).normal(size=(27, 8)).astype("float32")
        result = np.array(training.orthogonalize(matrix, steps=5))
        u, _, vt = np.linalg.svd(matrix, full_matrices=False)
        in_their_basis = u.T @ result @ vt.T
        off = in_their_basis - np.diag(np.diag(in_their_basis))
        assert np.abs(off).max() < 1e-3

    def test_kernels_keep_their_norm_and_others_take_nesterov_steps(self):
        optimizer = training.Muon(0.1, sgd_ratio=0.5, sgd_momentum=0.9, momentum=0.6)
        kernel = keras.Variable(np.full((3, 3, 2, 4), 0.5, "float32"))
        bias = keras.Variable(np.zeros(4, "float32"))
        optimizer.build([kernel, bias])
        gradient = np.random.default_rng(0).normal(size=kernel.shape).astype("float32")
        optimizer.apply([gradient, np.ones(4, "float32")])
        # velocity 1, update 1 + 0.9, rate 0.5 × 0.1
        np.testing.assert_allclose(bias.numpy(), -0.05 * 1.9, rtol=1e-5)
        kept = 0.5 * 2 / np.linalg.norm(np.full(72, 0.5))  # rescaled to norm √4
        step = np.array(training.orthogonalize((gradient * 1.6).reshape(18, 4)))
        expected = kept - 0.1 * step.reshape(kernel.shape)
        np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-4, atol=1e-6)

    def test_reloads_from_its_config(self):
        optimizer = training.Muon(0.2, steps=4, momentum=0.5)
        again = training.Muon.from_config(optimizer.get_config())
        assert (again.steps, again.momentum) == (4, 0.5)
