import numpy as np
import pytest


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
