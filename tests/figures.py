"""Made-up pictures, runs and scores that tests of figures draw, and what they read off a figure."""

from types import SimpleNamespace

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

CLASSES = ("airplane", "cat", "dog")
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], dtype=np.float32)
CALIBRATION = SimpleNamespace(
    confidence=np.array([np.nan, 0.4, 0.9]),
    accuracy=np.array([np.nan, 0.5, 0.8]),
    low=np.array([np.nan, 0.15, 0.55]),
    high=np.array([np.nan, 0.85, 0.93]),
    count=np.array([0, 4, 12]),
    error=0.1,
)
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, size=(12, 10, 3), dtype=np.uint8)
KERNEL = RNG.integers(-3, 4, size=(3, 3, 3))
MAP = RNG.normal(size=(10, 8))
NETWORK = [
    ("picture", "input", (32, 32, 3)),
    ("conv", "convolution", (30, 30, 8)),
    ("pool", "pooling", (15, 15, 8)),
    ("flat", "flatten", (1800,)),
    ("scores", "fully connected", (10,)),
]


def pictures(n, height=8, width=None, seed=0):
    shape = (n, height, height if width is None else width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def run(name="plain CNN", epochs=3, *, seconds=6.0, test=0.7, val=True, **settings):
    history = {"loss": [2.0 / (i + 1) for i in range(epochs)]}
    history["accuracy"] = [0.3 + 0.1 * i for i in range(epochs)]
    if val:
        history |= {f"val_{key}": [v - 0.05 for v in values] for key, values in history.items()}
    return SimpleNamespace(
        name=name, settings=settings, history=history, seconds=seconds, test_accuracy=test
    )


def texts(figure):
    """All that is written in a figure, headings and names of axes included."""
    written = [text.get_text() for owner in (figure, *figure.axes) for text in owner.texts]
    for ax in figure.axes:
        written += [ax.get_title(), ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
    return [text for text in written if text]


def shown(ax, layer=0):
    return ax.images[layer].get_array()


def contrast(a, b):
    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    high, low = sorted((luminance(to_rgb(a)), luminance(to_rgb(b))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def rectangles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]
