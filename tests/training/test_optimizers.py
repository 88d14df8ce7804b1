import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import training
from cnnlab.training import optimizers


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
        values = np.linalg.svd(
            np.array(optimizers.orthogonalize(matrix, steps=5)), compute_uv=False
        )
        assert values.shape == (min(shape),)
        assert np.all((values > 0.6) & (values < 1.25))

    def test_orthogonalize_keeps_the_singular_vectors(self):
        matrix = np.random.default_rng(0).normal(size=(27, 8)).astype("float32")
        result = np.array(optimizers.orthogonalize(matrix, steps=5))
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
        step = np.array(optimizers.orthogonalize((gradient * 1.6).reshape(18, 4)))
        expected = kept - 0.1 * step.reshape(kernel.shape)
        np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-4, atol=1e-6)

    def test_reloads_from_its_config(self):
        optimizer = training.Muon(0.2, steps=4, momentum=0.5)
        again = training.Muon.from_config(optimizer.get_config())
        assert (again.steps, again.momentum) == (4, 0.5)


def test_rates_and_decay_by_rank_are_those_of_keras_sgd():
    chance = np.random.default_rng(0)
    shapes = ((3, 3, 2, 4), (4, 5), (5,))
    starts = [chance.normal(size=s).astype(np.float32) for s in shapes]
    pushes = [[chance.normal(size=s).astype(np.float32) for s in shapes] for _ in range(3)]
    ours = [keras.Variable(v) for v in starts]
    optimizer = training.RankedSGD(0.1, momentum=0.8, matrix_ratio=2.0, bias_ratio=8.0, decay=0.01)
    optimizer.build(ours)
    for gradients in pushes:
        optimizer.apply([tf.constant(g) for g in gradients], ours)
    for i, ratio in enumerate((1.0, 2.0, 8.0)):
        rate, other = 0.1 * ratio, keras.Variable(starts[i])
        keras_own = keras.optimizers.SGD(rate, momentum=0.8, nesterov=True)
        keras_own.build([other])
        for gradients in pushes:
            keras_own.apply([gradients[i] + 0.01 / rate * np.asarray(other)], [other])
        np.testing.assert_allclose(ours[i], other, rtol=1e-4, atol=1e-5)


def test_orthogonalizes_each_of_a_stack_as_if_alone():
    chance = np.random.default_rng(0)
    matrices = [chance.normal(size=s).astype(np.float32) for s in ((20, 6), (6, 20), (12, 4))]
    for matrix, found in zip(
        matrices, optimizers.orthogonalize_all(matrices, iterations=8), strict=True
    ):
        alone = optimizers.orthogonalize_all([matrix], iterations=8)[0]
        np.testing.assert_allclose(found, alone, atol=1e-4)
        values = np.linalg.svd(found, compute_uv=False)
        assert found.shape == matrix.shape
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_in_one_stack_is_muon_one_by_one():
    chance = np.random.default_rng(0)
    shapes = ((3, 3, 2, 4), (3, 3, 4, 8), (5,))
    starts = [chance.normal(size=s).astype(np.float32) for s in shapes]
    gradients = [chance.normal(size=s).astype(np.float32) for s in shapes]
    results = []
    for optimizer in (training.BatchedMuon(0.2, bias_ratio=0.3), training.Muon(0.2, sgd_ratio=0.3)):
        variables = [keras.Variable(v) for v in starts]
        optimizer.build(variables)
        for _ in range(2):
            optimizer.apply([tf.constant(g) for g in gradients], variables)
        results.append([np.asarray(v) for v in variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (training.RankedSGD, {"peak": 0.3, "decay": 0.1, "bias_ratio": 5.0, "momentum": 0.7}),
        (training.BatchedMuon, {"filter_momentum": 0.5, "iterations": 2, "half": "bfloat16"}),
    ],
)
def test_a_compiled_model_saved_with_it_loads(kind, settings, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(kind(training.OneCycle(0.2, 10), **settings), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(again) is kind
    assert settings.items() <= again.get_config().items()
