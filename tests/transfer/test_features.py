import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_backbone import LABELS, PICTURES, backbone

from cnnlab import models, transfer

NAMES = ("block1_pool", "block2_pool")


@pytest.fixture
def cached(tmp_path):
    return {"names": NAMES, "cache": tmp_path / "new" / "folder"}


def files(cached):
    return sorted(cached["cache"].iterdir())


class TestExtract:
    def test_is_the_mean_of_each_channel(self):
        bone = backbone()
        short_last = {"batch_size": 10}
        found = transfer.extract_features(bone, PICTURES, NAMES, **short_last)
        assert {name: (v.shape, v.dtype) for name, v in found.items()} == {
            "block1_pool": ((24, 5), np.float32),
            "block2_pool": ((24, 7), np.float32),
        }
        expected = np.array(bone(PICTURES)).mean(axis=(1, 2))
        np.testing.assert_allclose(found["block2_pool"], expected, atol=1e-5)

    def test_a_size_enlarges_first(self):
        bone = backbone()
        found = transfer.extract_features(bone, PICTURES, NAMES, size=16)
        larger = keras.layers.Resizing(16, 16)(PICTURES.astype("float32"))
        expected = np.array(bone(larger)).mean(axis=(1, 2))
        np.testing.assert_allclose(found["block2_pool"], expected, atol=1e-5)

    def test_a_grid_averages_over_parts_that_leave_no_place_out(self):
        bone = backbone()
        larger = keras.layers.Resizing(20, 20)(PICTURES.astype("float32"))
        maps = np.array(bone(larger))  # 5 × 5
        found = transfer.extract_features(bone, PICTURES, NAMES, size=20, grid=2)["block2_pool"]
        quarters = [maps[:, y : y + 3, x : x + 3].mean(axis=(1, 2)) for y in (0, 2) for x in (0, 2)]
        np.testing.assert_allclose(found, np.concatenate(quarters, axis=1), atol=1e-5)
        with pytest.raises(ValueError, match=r"at least 3 × 3.*\(None, 2, 2, 7\)"):
            transfer.extract_features(bone, PICTURES, NAMES, grid=3)

    def test_a_second_call_reads_the_file_and_computes_nothing(self, cached):
        bone = backbone()
        first = transfer.extract_features(bone, PICTURES, **cached)
        (path,) = files(cached)
        marked = {name: values + 1 for name, values in first.items()}
        np.savez(path, **marked)
        again = transfer.extract_features(bone, PICTURES, **cached)
        assert list(again) == list(NAMES)
        for name in NAMES:
            np.testing.assert_array_equal(again[name], marked[name])

    def test_the_file_holds_what_was_returned(self, cached):
        first, again = (transfer.extract_features(backbone(), PICTURES, **cached) for _ in "ab")
        for name in NAMES:
            np.testing.assert_array_equal(again[name], first[name])

    def test_a_backbone_that_scales_otherwise_makes_features_of_its_own(self, cached):
        found = []
        for scale in (1 / 64, 1 / 128):
            bone = backbone()
            bone.get_layer("scale").scale = scale
            found.append(transfer.extract_features(bone, PICTURES, **cached)["block2_pool"])
        assert np.abs(found[0] - found[1]).max() > 0.01

    def test_a_backbone_made_again_finds_what_the_first_one_left(self, cached):
        transfer.extract_features(backbone(), PICTURES, **cached)
        transfer.extract_features(backbone(name="other"), PICTURES.copy(), **cached)
        assert len(files(cached)) == 1

    def test_whatever_changes_the_result_makes_another_file(self, cached):
        bone = backbone()
        transfer.extract_features(bone, PICTURES, **cached)
        transfer.extract_features(bone, PICTURES, **cached | {"size": 16})
        transfer.extract_features(bone, PICTURES, **cached | {"grid": 2})
        transfer.extract_features(bone, PICTURES, **cached | {"names": NAMES[:1]})
        transfer.extract_features(backbone(batch_norm=True), PICTURES, **cached)
        pictures = PICTURES.copy()
        pictures[-1, -1, -1, -1] ^= 1
        transfer.extract_features(bone, pictures, **cached)
        weights = bone.get_weights()
        weights[0][0, 0, 0, 0] += 1e-3
        bone.set_weights(weights)
        transfer.extract_features(bone, PICTURES, **cached)
        assert len(files(cached)) == 7

    @pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text"])
    def test_a_broken_file_is_made_anew(self, cached, damage):
        expected = transfer.extract_features(backbone(), PICTURES, **cached)
        (path,) = files(cached)
        whole = bytearray(path.read_bytes())
        middle = bytes(PICTURES.shape[0])  # some zeros over the numbers of the first array
        broken = {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "flipped": whole[:200] + middle + whole[200 + len(middle) :],
            "text": b"not an archive",
        }
        path.write_bytes(broken[damage])
        found = transfer.extract_features(backbone(), PICTURES, **cached)
        np.testing.assert_array_equal(found["block1_pool"], expected["block1_pool"])
        assert files(cached) == [path]
        assert path.read_bytes() == whole or len(path.read_bytes()) == len(whole)

    def test_a_cache_that_can_t_be_written_costs_no_features(self, tmp_path, caplog):
        (tmp_path / "file").touch()
        found = transfer.extract_features(
            backbone(), PICTURES, NAMES, cache=tmp_path / "file" / "cache"
        )
        assert list(found) == list(NAMES)
        assert "Features are not kept for the next time in" in caplog.text

    def test_an_interrupted_write_leaves_nothing(self, cached, monkeypatch):
        def stop(path, **arrays):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(np, "savez", stop)
        with pytest.raises(KeyboardInterrupt):
            transfer.extract_features(backbone(), PICTURES, **cached)
        assert files(cached) == []

    def test_reading_is_fast(self, cached):
        many = np.tile(PICTURES, (200, 1, 1, 1))
        transfer.extract_features(backbone(), many, **cached)
        start = time.perf_counter()
        transfer.extract_features(backbone(), many, **cached)
        assert time.perf_counter() - start < 2

    def test_a_dataset_of_batches_gives_what_its_pictures_give(self, cached):
        bone = backbone()
        dataset = tf.data.Dataset.from_tensor_slices((PICTURES, LABELS)).batch(7)
        expected = transfer.extract_features(bone, PICTURES, NAMES)
        for _ in "ab":  # the second time from the file
            found = transfer.extract_features(bone, dataset, **cached)
            for name in NAMES:
                np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
        assert len(files(cached)) == 1
        transfer.extract_features(bone, dataset.skip(1), **cached)
        assert len(files(cached)) == 2

    def test_refuses_numbers_that_are_no_pixels_in_every_form(self):
        scaled = PICTURES.astype("float32") / 255
        dataset = tf.data.Dataset.from_tensor_slices(scaled).batch(7)
        for wrong in (scaled, dataset, scaled[0]):
            with pytest.raises(ValueError, match=r"Expected pi(xels in 0…255|ctures of shape)"):
                transfer.extract_features(backbone(), wrong, NAMES)
        with pytest.raises(ValueError, match=r"Expected pixels in 0…255"):
            transfer.with_batch_norm(backbone(), scaled)

    def test_pictures_too_small_or_grey_are_named_in_a_sentence(self):
        vgg = models.vgg16(None)
        for shape in ((28, 28, 3), (28, 28, 1), (64, 64, 1)):
            pictures = np.full((2, *shape), 9, np.uint8)
            for use in (
                lambda x: transfer.extract_features(vgg, x, ["block5_pool"]),
                lambda x: transfer.classifier(vgg, 3, input_shape=x.shape[1:]),
            ):
                with pytest.raises(ValueError, match=r"^Expected pictures that 'vgg16' can") as e:
                    use(pictures)
                assert str(shape)[1:-1] in str(e.value)
                assert len(str(e.value)) < 500

    def test_takes_a_sequential_model_and_one_name_and_refuses_layers_without_maps(self):
        steps = [keras.layers.Conv2D(2, 3, name="maps"), keras.layers.Flatten(name="flat")]
        model = keras.Sequential([keras.Input(PICTURES.shape[1:]), *steps])
        found = transfer.extract_features(model, PICTURES, "maps")
        assert found["maps"].shape == (24, 2)
        with pytest.raises(ValueError, match=r"layers that give maps.*names=\['flat'\]"):
            transfer.extract_features(model, PICTURES, ["maps", "flat"])

    def test_refuses_what_it_cannot_do(self):
        with pytest.raises(ValueError, match=r"layers of 'bone'.*\['block9'\].*block2_pool"):
            transfer.extract_features(backbone(), PICTURES, ["block9"])
        with pytest.raises(ValueError, match=r"at least one picture.*len\(pictures\)=0"):
            transfer.extract_features(backbone(), PICTURES[:0], NAMES)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"grid": 0}, "grid to be a whole number.*grid=0"),
            ({"grid": 2.0}, r"grid to be a whole number.*grid=2\.0"),
            ({"size": (32, 32)}, r"size to be a whole number.*shorter side.*size=\(32, 32\)"),
            ({"size": 0}, "size to be a whole number.*size=0"),
            ({"batch_size": 2.5}, r"batch_size to be a whole number.*batch_size=2\.5"),
            ({"backbone": len}, "Keras model.*Received: backbone of type builtin"),
        ],
    )
    def test_names_a_wrong_argument(self, options, message):
        options = {"backbone": backbone(), "pictures": PICTURES, "names": NAMES} | options
        with pytest.raises(ValueError, match=message):
            transfer.extract_features(**options)


class TestProbes:
    def test_learn_each_from_its_own_features_alone(self):
        rng = np.random.default_rng(0)
        telling = np.eye(3)[LABELS] * 500 + rng.normal(size=(24, 3))
        given = {"noise": rng.normal(size=(24, 2)).astype("float32"), "telling": telling}
        model = transfer.probes(given, 3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)  # else `fit` traces its step twice
        model.compile(
            optimizer,
            loss,
            metrics={name: ["accuracy"] for name in given},
            jit_compile=False,
        )
        y, steps = dict.fromkeys(given, LABELS), 30
        again = ({k: np.concatenate([v] * steps) for k, v in both.items()} for both in (given, y))
        model.fit(*again, batch_size=24, shuffle=False, verbose=0)  # one epoch costs less
        scores = model.evaluate(given, y, verbose=0, return_dict=True)
        assert scores["telling_accuracy"] == 1
        assert scores["noise_accuracy"] < 0.8

    def test_linear_ones_are_linear_and_start_at_zero(self):
        given = {"a": np.random.default_rng(0).normal(3, 5, size=(50, 4)).astype("float32")}
        model = transfer.probes(given, 3)
        assert not np.any(model.predict(given, verbose=0)["a"])
        kernel = np.random.default_rng(1).normal(size=(4, 3))
        model.get_layer("a_logits").set_weights([kernel, np.ones(3)])
        standard = (given["a"] - given["a"].mean(0)) / given["a"].std(0)
        answers = model.predict(given, verbose=0)["a"]
        np.testing.assert_allclose(answers, standard @ kernel + 1, atol=1e-4)

    def test_a_channel_silent_in_training_cannot_shout_later(self):
        silent = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
        silent[:, 2] = 0
        model = transfer.probes({"a": silent}, 3, hidden=6)
        silent[:, 2] = 1
        assert np.isfinite(model.predict({"a": silent}, verbose=0)["a"]).all()
        linear = transfer.probes({"a": np.zeros((5, 2), "float32")}, 3)
        linear.get_layer("a_logits").set_weights([np.ones((2, 3)), np.zeros(3)])
        assert np.abs(linear.predict({"a": np.ones((5, 2))}, verbose=0)["a"]).max() < 1e4


def test_a_size_of_nothing_is_named_as_it_is():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="c")])
    with pytest.raises(ValueError, match=r"^Expected size to be a whole number .*, or None"):
        transfer.extract_features(model, np.zeros((2, 8, 8, 3), np.uint8), ["c"], size=0)
