import keras
import numpy as np
import pytest
from small_backbone import LABELS, PICTURES, backbone

from cnnlab import data, models, training, transfer

CONVOLUTIONS = ("block1_conv1", "block2_conv1")


def fit(model, *, epochs=2):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    model.fit(PICTURES, LABELS, batch_size=8, epochs=epochs, verbose=0)


def changed(model, before):
    return {
        v.path
        for v, old in zip(model.variables, before, strict=True)
        if not np.array_equal(v.numpy(), old)
    }


class TestClassifier:
    def test_takes_pixels_and_gives_logits_that_prefer_no_class(self):
        model = transfer.classifier(backbone(), 3, input_shape=(8, 8, 3))
        logits = model.predict(PICTURES, verbose=0)
        np.testing.assert_array_equal(logits, np.zeros((24, 3), "float32"))

    def test_averages_the_maps_calms_them_and_adds_one_dense_layer(self):
        bone = backbone()
        model = transfer.classifier(bone, 3, input_shape=(8, 8, 3))
        rng = np.random.default_rng(0)
        kernel, bias = rng.normal(size=(7, 3)), rng.normal(size=3)
        model.get_layer("logits").set_weights([kernel, bias])
        expected = np.array(bone(PICTURES)).mean(axis=(1, 2)) / 4 @ kernel + bias
        np.testing.assert_allclose(model.predict(PICTURES, verbose=0), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("shape", "size", "seen"),
        [
            ((8, 8), 16, (16, 16)),
            ((6, 9), 12, (12, 18)),
            ((40, 30), 15, (20, 15)),
            ((8, 8), 8, None),
        ],
    )
    def test_the_shorter_side_gets_its_size(self, shape, size, seen):
        model = transfer.classifier(backbone(), 3, input_shape=(*shape, 3), size=size)
        resize = [layer for layer in model.layers if layer.name == "enlarge"]
        assert [layer.output.shape[1:3] for layer in resize] == ([seen] if seen else [])

    def test_enlarging_keeps_colours_exact_under_mixed_precision(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            pixels = keras.Input((8, 8, 3))
            model = keras.Model(pixels, transfer.enlarge(pixels, 16))
        finally:
            keras.config.set_dtype_policy("float32")
        grey = np.full((1, 8, 8, 3), 201, np.uint8)  # 201 needs all 8 bits, between them more
        grey[:, :4] = 202
        enlarged = np.array(model(grey))
        assert enlarged.dtype == np.float32
        assert set(np.unique(enlarged)) == {201, 201.25, 201.75, 202}

    def test_refuses_a_backbone_without_maps(self):
        with pytest.raises(ValueError, match=r"ends in maps.*backbone='linear'.*\(None, 10\)"):
            transfer.classifier(models.linear((8, 8, 3)), 3, input_shape=(8, 8, 3))

    def test_saves_and_reloads_in_safe_mode_without_this_library(self, tmp_path):
        model = transfer.classifier(backbone(), 3, input_shape=(8, 8, 3), size=16)
        fit(model)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        expected = model.predict(PICTURES, verbose=0)
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(again.predict(PICTURES, verbose=0), expected, atol=1e-6)


class TestUnfreeze:
    def test_a_frozen_backbone_is_bit_identical_after_training_the_head(self):
        model = transfer.classifier(backbone(batch_norm=True), 3, input_shape=(8, 8, 3))
        fit(model)  # so that a zero head can't be what holds the backbone still
        assert transfer.unfreeze(model) == []
        before = model.get_weights()
        fit(model)
        assert changed(model, before) == {
            "logits/kernel",
            "logits/bias",
        }  # the head's, and no statistics

    def test_what_is_unfrozen_changes_and_what_lies_before_does_not(self):
        model = transfer.classifier(backbone(), 3, input_shape=(8, 8, 3))
        transfer.unfreeze(model)
        few = sum(w.size for w in map(np.array, model.trainable_variables))
        fit(model)
        assert transfer.unfreeze(model, "block2_conv1") == ["block2_conv1"]
        more = sum(w.size for w in map(np.array, model.trainable_variables))
        assert (few, more) == (7 * 3 + 3, 7 * 3 + 3 + 9 * 5 * 7 + 7)
        before = model.get_weights()
        fit(model)
        bone = {path for path in changed(model, before) if path.startswith("block")}
        assert bone == {"block2_conv1/kernel", "block2_conv1/bias"}
        assert transfer.unfreeze(model, "block1_conv1") == ["block1_conv1", "block2_conv1"]

    def test_statistics_of_unfrozen_layers_move_only_on_request(self):
        model = transfer.classifier(backbone(batch_norm=True), 3, input_shape=(8, 8, 3))
        fit(model)
        for batch_norm in (False, True):
            transfer.unfreeze(model, "block2_conv1", batch_norm=batch_norm)
            before = model.get_weights()
            fit(model)
            norms = {path for path in changed(model, before) if "norm" in path}
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            assert norms == ({f"block2_norm/{name}" for name in names} if batch_norm else set())

    def test_freezing_reaches_a_trainer_on_the_device(self):
        split = {
            f"{a}_{s}": v
            for s in ("train", "val", "test")
            for a, v in zip("xy", (PICTURES, LABELS), strict=True)
        }
        table = training.to_device(
            data.ImageSet(**split, classes=("a", "b", "c"), name="", source="")
        )
        model = transfer.classifier(backbone(), 3, input_shape=(8, 8, 3))
        transfer.unfreeze(model)
        trainer = training.on_device(model, table)
        assert [v.path.split("/")[-2] for v in trainer.trainable_variables] == ["logits"] * 2

    def test_names_the_layers_when_one_is_unknown(self):
        model = transfer.classifier(backbone(), 3, input_shape=(8, 8, 3))
        with pytest.raises(ValueError, match=r"layer of 'bone'.*since='block9'.*block2_conv1"):
            transfer.unfreeze(model, "block9")

    def test_refuses_a_model_without_a_backbone(self):
        with pytest.raises(ValueError, match=r"backbone nested.*model='linear'.*logits"):
            transfer.unfreeze(models.linear((8, 8, 3)))


class TestWithBatchNorm:
    def test_says_the_same_as_the_original_and_leaves_it_alone(self):
        bone = backbone()
        before = bone.get_weights()
        normed = transfer.with_batch_norm(bone, PICTURES)
        np.testing.assert_allclose(normed(PICTURES), bone(PICTURES), atol=1e-5)
        names = [layer.name for layer in normed.layers]
        assert names[2:6] == [
            "block1_conv1",
            "block1_conv1_norm",
            "block1_conv1_act",
            "block1_pool",
        ]
        assert normed.name == bone.name
        assert not [layer for layer in bone.layers if "norm" in layer.name]
        assert bone.get_layer("block1_conv1").activation is keras.activations.relu
        for a, b in zip(bone.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_works_under_mixed_precision(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            bone = backbone()
            normed = transfer.with_batch_norm(bone, PICTURES)
            answers, expected = (np.array(m(PICTURES), np.float32) for m in (normed, bone))
        finally:
            keras.config.set_dtype_policy("float32")
        assert np.abs(answers - expected).max() < 0.05 * expected.max()  # 8 bits in each layer
        assert normed.get_layer("block1_conv1_norm").compute_dtype == "bfloat16"

    def test_brings_every_kernel_to_one_pace(self):
        normed = transfer.with_batch_norm(backbone(), PICTURES)
        norms = {name: np.linalg.norm(normed.get_layer(name).kernel) for name in CONVOLUTIONS}
        assert norms == pytest.approx({"block1_conv1": 5**0.5, "block2_conv1": 7**0.5})

    def test_normalizes_in_training_to_the_same_scale(self):
        bone = backbone()
        normed = transfer.with_batch_norm(bone, PICTURES)
        # statistics of these very pictures: training and prediction agree
        np.testing.assert_allclose(normed(PICTURES, training=True), bone(PICTURES), atol=2e-2)
        # on darker pictures they don't: each channel is brought back to its range
        dark = PICTURES // 8
        gap = np.abs(normed(dark, training=True) - bone(dark)).max()
        assert gap > 0.3

    def test_every_array_is_where_the_derivation_wants_it(self):
        bone = backbone()
        answers = np.array(
            keras.ops.conv(
                PICTURES / np.float32(64) - 2, bone.get_layer("block1_conv1").kernel, padding="same"
            )
            + bone.get_layer("block1_conv1").bias
        )
        normed = transfer.with_batch_norm(bone, PICTURES)
        norm, f = (
            normed.get_layer("block1_conv1_norm"),
            (normed.get_layer("block1_conv1").kernel / bone.get_layer("block1_conv1").kernel),
        )
        f = float(np.median(f))
        mean, variance = answers.mean((0, 1, 2)), answers.var((0, 1, 2))
        np.testing.assert_allclose(norm.beta, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.moving_mean, f * mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, f**2 * variance, rtol=1e-4)
        np.testing.assert_allclose(norm.gamma, np.sqrt(variance + 1e-3 / f**2), rtol=1e-4)

    def test_refuses_convolutions_without_bias(self):
        inputs = keras.Input((8, 8, 3))
        bare = keras.layers.Conv2D(2, 3, activation="relu", use_bias=False, name="bare")
        with pytest.raises(ValueError, match=r"biases and ReLU.*bare"):
            transfer.with_batch_norm(keras.Model(inputs, bare(inputs)), PICTURES)

    def test_refuses_other_activations(self):
        bone = backbone()
        bone.get_layer("block2_conv1").activation = keras.activations.tanh
        with pytest.raises(ValueError, match=r"ReLU.*block2_conv1"):
            transfer.with_batch_norm(bone, PICTURES)


def test_a_size_needs_pictures_of_known_height_and_width():
    with pytest.raises(ValueError, match="Expected pictures of known height and width"):
        transfer.classifier(backbone(), 3, input_shape=(None, None, 3), size=16)
