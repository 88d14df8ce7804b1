import keras
import numpy as np
import pytest
from keras import layers
from small_networks import residual_net

from cnnlab import interpret
from cnnlab.evaluation import probabilities


@pytest.mark.parametrize(
    ("patch", "stride", "fill"), [(3, 2, None), (4, 3, 0.0), (5, 5, (255, 0, 9)), (8, 1, 128)]
)
def test_occlusion_agrees_with_one_square_at_a_time(image, patch, stride, fill):
    model = residual_net()
    rows = sorted({min(y, 8 - patch) for y in range(0, 8, stride)})
    columns = sorted({min(x, 10 - patch) for x in range(0, 10, stride)})
    squares, pictures = [(y, x) for y in rows for x in columns], [image.astype(np.float32)]
    for y, x in squares:
        covered = image.astype(np.float32)
        covered[y : y + patch, x : x + patch] = covered.mean(axis=(0, 1)) if fill is None else fill
        pictures.append(covered)
    before, *after = probabilities(model, np.array(pictures))[:, 1].astype(float)
    drops = [[[] for _ in range(10)] for _ in range(8)]
    for (y, x), left in zip(squares, after, strict=True):
        for i in range(y, y + patch):
            for j in range(x, x + patch):
                drops[i][j].append(before - left)
    expected = [[np.mean(cell) for cell in row] for row in drops]
    options = {"patch": patch, "stride": stride, "fill": fill}
    for batch_size in (1, 5, 100):
        result = interpret.occlusion(model, image, 1, **options, batch_size=batch_size)
        np.testing.assert_allclose(result, expected, atol=1e-5)
    assert result.dtype == np.float32


def test_occlusion_finds_the_one_pixel_that_matters():
    model = keras.Sequential([keras.Input((7, 9, 1)), layers.Flatten(), layers.Dense(2)])
    kernel = np.zeros((63, 2), np.float32)
    kernel[6 * 9 + 8, 1] = 1 / 50  # the last pixel of the last row
    model.layers[-1].set_weights([kernel, np.zeros(2)])
    image = np.full((7, 9, 1), 200, np.uint8)
    result = interpret.occlusion(model, image, patch=2, stride=2, fill=0)
    np.testing.assert_allclose(result[5:, 7:].ravel()[-1], 1 / (1 + np.exp(-4)) - 0.5, rtol=1e-4)
    assert np.abs(result[:5]).max() == 0


@pytest.mark.parametrize("options", [{"patch": 2, "stride": 3}, {"patch": 9}])
def test_occlusion_refuses_what_would_leave_pixels_out(image, options):
    with pytest.raises(ValueError, match=r"1 <= stride <= patch <= 8.*Received: patch="):
        interpret.occlusion(residual_net(), image, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": 300}, r"fill to be a number in 0…255, or 3 of them.*Received: fill=300"),
        ({"fill": (1, 2, 3, 4)}, r"or 3 of them.*fill=\(1, 2, 3, 4\)"),
        ({"fill": "red"}, "or 3 of them.*fill='red'"),
        ({"fill": np.nan}, "or 3 of them.*fill=nan"),
        ({"batch_size": 0}, "batch_size to be a whole number.*batch_size=0"),
        ({"stride": 0}, "stride to be a whole number.*stride=0"),
        ({"patch": 2.5}, r"patch to be a whole number.*patch=2\.5"),
        ({"class_index": True}, "class_index to be a whole number.*class_index=True"),
    ],
)
def test_occlusion_names_a_wrong_argument(image, options, message):
    with pytest.raises(ValueError, match=message):
        interpret.occlusion(residual_net(), image, **options)


def test_occlusion_of_the_margin_is_the_fall_of_logits(image):
    model = residual_net()

    squares = [(0, 0), (0, 5), (3, 0), (3, 5)]  # five by five, moved to the edge
    pictures = np.stack([image] * 5).astype(np.float32)
    for covered, (y, x) in zip(pictures[1:], squares, strict=True):
        covered[y : y + 5, x : x + 5] = image.mean(axis=(0, 1))
    logits = model(pictures).numpy()
    margins = logits[:, 1] - logits[:, [0, 2]].max(axis=1)
    expected = np.zeros((8, 10))
    for (y, x), margin in zip(squares, margins[1:], strict=True):
        expected[y : y + 5, x : x + 5] += margins[0] - margin
    expected[3:5] /= 2
    result = interpret.occlusion(model, image, 1, patch=5, stride=5, score="margin")
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_occlusion_refuses_a_score_that_it_does_not_know(image):
    with pytest.raises(ValueError, match=r"one of probability, margin\. Received: score='logit'"):
        interpret.occlusion(residual_net(), image, score="logit")
