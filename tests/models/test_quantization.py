"""cnnlab.models.weight_files: what rounding to 8 bits costs, and what it must not touch."""

import numpy as np
import pytest

from cnnlab.models import weight_files


def kernel(outputs, inputs=(1.0,) * 32, seed=0):
    """Normally distributed weights of given spreads, (3, 3, inputs, outputs)."""
    shape = (3, 3, len(inputs), len(outputs))
    spread = np.float32(inputs)[:, None] * np.float32(outputs)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * spread


def test_a_hand_value():
    weights = np.float32([[2.0, 0.0], [-254.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 3, 2)
    codes, outputs, inputs = weight_files.quantize_kernel(weights)
    assert codes.dtype == np.int8
    # Both inputs that count are brought to one size, so both have the largest code.
    assert codes.tolist() == [[[[127, 0], [-127, 0], [0, 0]]]]
    np.testing.assert_allclose(inputs, [[2**0.5], [127 * 2 * 2**-0.5], [1]], rtol=1e-6)
    np.testing.assert_allclose(outputs, [2**0.5 / 127, 1], rtol=1e-6)


def test_each_channel_loses_about_a_hundredth_of_its_spread_whatever_its_size():
    sizes = np.float32([1e-4, 1e-2, 1, 1e3])
    weights = kernel(sizes, sizes.repeat(8))
    codes, outputs, inputs = weight_files.quantize_kernel(weights)
    error = codes * outputs * inputs - weights
    assert (np.abs(error) <= 0.5001 * outputs * inputs).all()
    spread = sizes.repeat(8)[:, None] * sizes
    assert (np.sqrt(np.mean(np.square(error / spread), axis=(0, 1, 2))) < 0.015).all()
    assert (np.abs(codes).max(axis=(0, 1, 2)) == 127).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(wrong):
    weights = kernel([1.0, 2.0])
    weights[1, 1, 5, 0] = wrong
    with pytest.raises(ValueError, match="Received: a kernel with NaN or infinity"):
        weight_files.quantize_kernel(weights)


def test_only_kernels_are_rounded_and_notes_are_left_out(tmp_path):
    rng = np.random.default_rng(1)
    weights = {
        "block1_conv1/kernel": kernel([1.0, 0.1]),
        "block1_conv1/bias": rng.standard_normal(2).astype(np.float32),
        "logits/kernel": rng.standard_normal((2, 5)).astype(np.float32),
        "logits/bias": rng.standard_normal(5).astype(np.float32),
    }
    path = tmp_path / "packed.npz"
    np.savez_compressed(
        path, **weight_files.quantize(weights), classes=np.array(["a", "b"]), about="note"
    )
    with np.load(path) as file:
        assert {name for name in weights if file[name].dtype == np.int8} == {
            name for name in weights if name.endswith("/kernel")
        }
        again = weight_files.dequantize(file)
    assert list(again) == list(weights)
    assert {array.dtype for array in again.values()} == {np.dtype(np.float32)}
    for name, array in weights.items():
        atol = 0.02 if name.endswith("/kernel") else 0
        np.testing.assert_allclose(again[name], array, rtol=0, atol=atol)
