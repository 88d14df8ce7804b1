import keras
import numpy as np
import pytest

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
