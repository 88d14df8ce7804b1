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
            optimizer = training.Muon(schedule)
            optimizer.build(trainer.trainable_variables)  # else `fit` traces its step twice
            trainer.compile(optimizer, loss, jit_compile=False)
            trainer.fit(table.train_rows, images.y_train, batch_size=8, epochs=2, verbose=0)
            return model.get_weights()

        for a, b in zip(train(), train(), strict=True):
            np.testing.assert_array_equal(a, b)


class TestShuffledBatches:
    N = 22

    def received(self, batches, *, fits=1, epochs=3, validate=False, steps_per_execution=1, **more):
        """The rows that a model is given in training: (fits · epochs, rows of an epoch)."""
        seen = []

        class Note(keras.layers.Layer):
            def call(self, rows, training=False):
                if training:
                    tf.numpy_function(lambda rows: seen.append(rows.ravel()), [rows], [])
                return rows

        model = keras.Sequential([keras.Input((1,)), Note(), keras.layers.Dense(1)])
        model.compile("sgd", "mse", steps_per_execution=steps_per_execution, jit_compile=False)
        rows = np.arange(100, 110, dtype=np.float32)[:, None]
        for _ in range(fits):
            more["validation_data"] = (rows, rows) if validate else None
            model.fit(batches, epochs=epochs, verbose=0, **{"shuffle": False} | more)
        return np.concatenate(seen).reshape(fits * epochs, -1)

    def batches(self, batch_size=4, seed=0, **options):
        keras.utils.set_random_seed(0)  # after which `fit` on arrays repeats one order
        rows = np.arange(self.N, dtype=np.float32)[:, None]
        return training.shuffled_batches(rows, rows, batch_size, seed=seed, **options)

    @pytest.mark.parametrize("validate", [False, True])
    @pytest.mark.parametrize("steps_per_execution", [1, 2, 5])
    def test_each_epoch_of_each_fit_is_another_permutation(self, validate, steps_per_execution):
        options = {"fits": 2, "validate": validate, "steps_per_execution": steps_per_execution}
        orders = self.received(self.batches(), **options)
        assert orders.shape == (6, 20)  # 22 rows, of which two don't fill a batch
        for order in orders:
            assert len(set(order) & set(range(self.N))) == 20
        assert len({tuple(order) for order in orders}) == 6
        assert {row for order in orders for row in order} == set(range(self.N))
        np.testing.assert_array_equal(self.received(self.batches(), **options), orders)
        assert np.any(self.received(self.batches(seed=1), **options) != orders)

    def test_fit_on_arrays_repeats_one_order_so_that_this_is_needed(self):
        keras.utils.set_random_seed(0)
        rows = np.arange(self.N, dtype=np.float32)[:, None]
        first, *others = self.received(rows, y=rows, batch_size=22, fits=2, shuffle=True)
        for other in others:
            np.testing.assert_array_equal(other, first)

    def test_without_a_remainder_every_row_comes_once(self):
        for batch_size in (11, 22, 30):
            for order in self.received(self.batches(batch_size)):
                np.testing.assert_array_equal(np.sort(order), np.arange(self.N))

    def test_repeated_every_row_comes_once_before_any_comes_again(self):
        steps = {"epochs": 2, "steps_per_epoch": 11}
        orders = self.received(self.batches(repeat=True), **steps)
        for order in orders.reshape(4, self.N):
            np.testing.assert_array_equal(np.sort(order), np.arange(self.N))
        assert len({tuple(order) for order in orders.reshape(4, self.N)}) == 4

    def test_rows_of_all_arrays_stay_together(self):
        rows = np.arange(self.N)
        x, y = {"a": rows, "b": np.stack([rows, -rows], axis=1)}, {"c": 10 * rows}
        batches = training.shuffled_batches(x, y, 5, seed=0)
        assert len(batches) == 4
        for x_batch, y_batch in batches:
            np.testing.assert_array_equal(x_batch["b"][:, 1], -x_batch["a"])
            np.testing.assert_array_equal(y_batch["c"], 10 * x_batch["a"])


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

    @pytest.mark.parametrize(
        "options", [{"crop": 8}, {"crop": -1}, {"cutout": 9}, {"crop": 0, "cutout": -2}]
    )
    def test_refuses_what_is_larger_than_the_picture(self, options):
        with pytest.raises(ValueError, match=r"crop in 0…7 and cutout in 0…8.*Received: crop="):
            training.Augment(**options)(np.zeros((2, 8, 9, 3), "float32"), training=True)

    def test_survives_its_configuration_and_a_file(self, tmp_path):
        pictures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("float32")
        augment = training.Augment(crop=2, flip=False, cutout=3, seed=5, name="mine")
        again = training.Augment.from_config(augment.get_config())
        model = keras.Sequential([keras.Input((8, 8, 3)), again, keras.layers.Flatten()])
        model.save(tmp_path / "a.keras")
        loaded = keras.models.load_model(tmp_path / "a.keras").get_layer("mine")
        expected = augment(pictures, training=True)
        np.testing.assert_array_equal(loaded(pictures, training=True), expected)
        np.testing.assert_array_equal(again(pictures, training=True), expected)


class TestSaving:
    @pytest.mark.parametrize("make", ["on_device", "shared"])
    def test_a_checkpoint_of_a_trainer_is_the_model_that_takes_pixels(self, images, make, tmp_path):
        model, table = models.linear((8, 8, 3), 2), training.to_device(images)
        x = table.train_rows
        trainer = training.on_device(model, table, training.Augment())
        if make == "shared":
            x, trainer = images.x_train, training.Shared(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trainer.compile("adam", loss, jit_compile=False)
        keep = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True)
        trainer.fit(x, images.y_train, verbose=0, callbacks=[keep])
        loaded = keras.models.load_model(tmp_path / "best.keras")
        np.testing.assert_allclose(loaded(images.x_val), model(images.x_val), atol=1e-5)


class TestMirror:
    def test_shows_each_picture_mirrored_at_every_second_visit(self, images):
        table = training.to_device(images)
        keras.utils.set_random_seed(0)
        look_up = training.on_device(models.linear((8, 8, 3), 2), table, mirror=True).layers[1]
        plain, mirrored = images.x_train, images.x_train[:, :, ::-1]
        rows = np.random.default_rng(0).permutation(table.train_rows)  # visited in any order
        visits = [np.array(look_up(rows, training=True)) for _ in range(3)]
        first = (visits[0] == mirrored[rows]).all(axis=(1, 2, 3))
        assert 8 < first.sum() < 32  # 20 ± 3.8 standard deviations of a fair coin
        for visit, expected in zip(visits, (first, ~first, first), strict=True):
            np.testing.assert_array_equal(
                visit, np.where(expected[:, None, None, None], mirrored[rows], plain[rows])
            )

    def test_a_row_that_comes_several_times_in_a_batch_alternates_there_too(self, images):
        table = training.to_device(images)
        look_up = training.on_device(models.linear((8, 8, 3), 2), table, mirror=True).layers[1]
        plain, mirrored = images.x_train, images.x_train[:, :, ::-1]
        start, count = np.array(look_up.visits), np.zeros(len(table.table), int)
        for rows in ([3, 3, 5, 3], [5, 3, 7], [7, 7], [3, 3, 3, 5, 5]):
            visit = np.array(look_up(np.array(rows, np.int32), training=True))
            for picture, row in zip(visit, rows, strict=True):
                turned = (start[row] + count[row]) % 2
                np.testing.assert_array_equal(picture, (mirrored if turned else plain)[row])
                count[row] += 1
        np.testing.assert_array_equal(look_up.visits, start + count)

    def test_does_nothing_in_prediction_and_does_not_count_it_as_a_visit(self, images):
        table = training.to_device(images)
        look_up = training.on_device(models.linear((8, 8, 3), 2), table, mirror=True).layers[1]
        before = np.array(look_up.visits)
        seen = np.array(look_up(table.val_rows, training=False))
        np.testing.assert_array_equal(seen, images.x_val)
        np.testing.assert_array_equal(look_up.visits, before)


class TestStartOver:
    @pytest.mark.parametrize(
        "optimizer", [lambda: training.Muon(training.OneCycle(0.1, 10)), keras.optimizers.Adam]
    )
    def test_gives_what_a_new_trainer_gives_and_compiles_nothing(self, images, optimizer):
        table = training.to_device(images)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def network():
            keras.utils.set_random_seed(7)
            net = models.batchnorm_cnn((24, 24, 3), 2, widths=(4,), hidden=6, dropout=0.5)
            inputs = keras.Input((8, 8, 3))
            return keras.Model(inputs, net(keras.layers.UpSampling2D(3)(inputs)))

        def trainer_of(model):
            augment = training.Augment(crop=2, cutout=3)
            trainer = training.on_device(model, table, augment, mirror=True)
            trainer.compile(optimizer(), loss, jit_compile=False)
            trainer.optimizer.build(trainer.trainable_variables)  # else `fit` traces its step twice
            return trainer

        def fit(trainer, model, weights):
            keras.utils.set_random_seed(3)
            training.start_over(trainer, model, weights)
            trainer.fit(table.train_rows, images.y_train, batch_size=8, epochs=2, verbose=0)
            return model.get_weights()

        weights = network().get_weights()
        once, again = network(), network()
        trainer = trainer_of(once)
        first = fit(trainer, once, weights)
        step = trainer.train_function
        second = fit(trainer, once, weights)
        other = fit(trainer_of(again), again, weights)
        assert trainer.train_function is step
        assert any(np.any(a != b) for a, b in zip(first, weights, strict=True))
        for a, b, c in zip(first, second, other, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)

    @pytest.mark.parametrize(
        "optimizer",
        [
            lambda: training.Muon(
                training.OneCycle(keras.Variable(0.1), keras.Variable(10, dtype="float32"))
            ),
            lambda: keras.optimizers.Adagrad(1e-2),  # its variables start at 0.1
        ],
    )
    def test_the_second_seed_in_float16_is_that_of_a_new_trainer(self, images, optimizer):
        table = training.to_device(images)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def trainer_of(seed):
            keras.utils.set_random_seed(seed)
            model = models.resnet((8, 8, 3), 2, widths=(4, 5))
            trainer = training.on_device(model, table)
            trainer.compile(optimizer(), loss, jit_compile=False)
            assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
            trainer.optimizer.build(trainer.trainable_variables)
            return trainer, model

        def fit(trainer):
            batches = training.shuffled_batches(table.train_rows, images.y_train, 8, seed=1)
            return trainer.fit(batches, epochs=2, shuffle=False, verbose=0).history["loss"]

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            (once, model), (again, other) = trainer_of(0), trainer_of(1)
            weights = other.get_weights()
            fit(once)
            training.start_over(once, model, weights)
            losses, expected = fit(once), fit(again)
        finally:
            keras.config.set_dtype_policy(before)
        assert np.isfinite(losses).all()
        np.testing.assert_array_equal(losses, expected)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()

    def test_keeps_the_learning_rate(self, images):
        model = models.linear((8, 8, 3), 2)
        trainer = training.on_device(model, training.to_device(images))
        trainer.compile(keras.optimizers.Adam(0.125), "mse")
        training.start_over(trainer, model, model.get_weights())
        assert float(trainer.optimizer.learning_rate) == 0.125


def test_rows_and_targets_that_do_not_belong_together_are_refused():
    x, y = np.zeros((6, 2)), np.zeros(6)
    for rows, targets in ((x, y[:5]), (x[:5], y), (x[:0], y[:0]), ({"a": x, "b": x[:5]}, y)):
        with pytest.raises(ValueError, match="as many targets as rows, at least one"):
            training.shuffled_batches(rows, targets, 2, seed=0)
    for batch_size in (0, -1, 2.5, "2", True):
        with pytest.raises(ValueError, match="batch_size to be a whole number of at least 1"):
            training.shuffled_batches(x, y, batch_size, seed=0)


def test_wrong_arguments_are_named_before_any_step():
    for peak in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="peak to be a number of at least 0"):
            training.OneCycle(peak, 4)
    with pytest.raises(ValueError, match="whole numbers of pixels"):
        training.Augment(crop=1.5)
    with pytest.raises(ValueError, match="at least one device, or None"):
        training.distribute("2")
    with pytest.raises(ValueError, match=r"an image set, such as data.load returns.*list"):
        training.to_device([x := np.zeros((1, 2, 2, 3)), x])
