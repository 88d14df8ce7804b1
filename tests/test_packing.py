"""cnnlab.packing: what rounding to 8 bits costs, and what it must not touch."""

import numpy as np
import pytest

from cnnlab import packing


def kernel(scales, seed=0):
    shape = (3, 3, 32, len(scales))
    return (np.random.default_rng(seed).standard_normal(shape) * scales).astype(np.float32)


def test_a_hand_value():
    codes, scales = packing.quantize(np.float32([[1.0, 0.0], [-127.0, 0.0], [50.4, 0.0]]))
    assert codes.dtype == np.int8
    assert codes.tolist() == [[1, 0], [-127, 0], [50, 0]]
    assert scales.dtype == np.float32
    assert scales[0] == 1


def test_each_channel_loses_a_hundredth_of_its_spread_whatever_its_size():
    spread = np.float32([1e-4, 1e-2, 1, 1e3])
    weights = kernel(spread)
    codes, scales = packing.quantize(weights)
    error = codes * scales - weights
    assert (np.abs(error) <= scales * 0.5001).all()
    assert (np.sqrt(np.mean(np.square(error), axis=(0, 1, 2))) / spread < 0.01).all()
    assert (np.abs(codes).max(axis=(0, 1, 2)) == 127).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(wrong):
    weights = kernel([1.0, 2.0])
    weights[1, 1, 5, 0] = wrong
    with pytest.raises(ValueError, match="Received: a kernel with NaN or infinity"):
        packing.quantize(weights)


def test_only_kernels_of_convolutions_are_rounded_and_notes_are_left_out(tmp_path):
    rng = np.random.default_rng(1)
    weights = {
        "block1_conv1/kernel": kernel([1.0, 0.1]),
        "block1_conv1/bias": rng.standard_normal(2).astype(np.float32),
        "logits/kernel": rng.standard_normal((2, 5)).astype(np.float32),
        "logits/bias": rng.standard_normal(5).astype(np.float32),
    }
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, **packing.pack(weights), classes=np.array(["a", "b"]), about="note")
    with np.load(path) as file:
        unpacked = packing.unpack(file)
    assert list(unpacked) == list(weights)
    assert {array.dtype for array in unpacked.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(
        unpacked["block1_conv1/kernel"], weights["block1_conv1/kernel"], atol=0.02
    )
    for name in list(weights)[1:]:
        np.testing.assert_array_equal(unpacked[name], weights[name])
