"""Nearest neighbours vote as counted one by one."""

import math

import numpy as np
import pytest

from cnnlab import transfer

RNG = np.random.default_rng(0)
TRAIN, LABELS, ASKED = RNG.normal(size=(40, 6)), RNG.integers(0, 4, 40), RNG.normal(size=(9, 6))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (7, math.inf), (40, 1.0)])
def test_votes_counted_one_by_one(k, temperature):
    expected = np.zeros((9, 4))
    for row, asked in enumerate(ASKED):
        cosines = [t @ asked / np.linalg.norm(t) / np.linalg.norm(asked) for t in TRAIN]
        for near in sorted(range(40), key=lambda i: -cosines[i])[:k]:
            expected[row, LABELS[near]] += math.exp(cosines[near] / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    for batch_size in (4, 1000):
        options = {"k": k, "temperature": temperature, "batch_size": batch_size}
        found = transfer.nearest_neighbours(TRAIN, LABELS, ASKED, 4, **options)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-5)  # TF32 on a GPU


def test_the_length_of_features_does_not_matter_but_their_direction():
    lengths = RNG.uniform(0.01, 100, size=(40, 1))
    found = transfer.nearest_neighbours(TRAIN * lengths, LABELS, TRAIN, 4, k=1)
    np.testing.assert_array_equal(found.argmax(axis=1), LABELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ASKED[:, :5]}, r"train\.shape=\(40, 6\), features\.shape=\(9, 5\)"),
        ({"labels": LABELS[:, None]}, r"labels\.shape=\(40, 1\)"),
        ({"num_classes": 3}, r"a label in 0…2 for each of 40"),
        ({"k": 41}, r"k in 1…40.*k=41"),
        ({"temperature": 0.0}, r"temperature=0\.0"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    given = {"train": TRAIN, "labels": LABELS, "features": ASKED, "num_classes": 4} | changes
    with pytest.raises(ValueError, match=message):
        transfer.nearest_neighbours(**given)
