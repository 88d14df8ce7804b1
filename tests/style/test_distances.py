import numpy as np
import pytest
import tensorflow as tf

from cnnlab.style.distances import (
    LOSS_FORMS,
    RIDGE,
    STYLE_LOSSES,
    content_distance,
    gram_matrix,
    matrix_roots,
    scaled_error,
    statistics,
    style_distance,
    style_target,
    total_variation,
    trace_of_root,
)


def maps(seed=0, shape=(1, 5, 7, 4)):
    """Features in float64, as after a ReLU."""
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1, shape), 0)


def distance(found, wanted, style_loss, mask=None, form="squared"):
    found, wanted = (tf.constant(x) for x in (found, wanted))
    target = style_target(statistics(wanted, style_loss), style_loss)
    return style_distance(statistics(found, style_loss, mask), target, style_loss, form)


# By hand


def test_gram_matrix_by_hand():
    # Two positions, channels (1, 3) and (2, 4): means of products.
    features = tf.constant([[[[1.0, 3], [2, 4]]]])
    np.testing.assert_allclose(gram_matrix(features), [[[2.5, 5.5], [5.5, 12.5]]])
    mask = tf.constant([[1.0, 3.0]])
    np.testing.assert_allclose(gram_matrix(features, mask), [[[3.25, 6.75], [6.75, 14.25]]])


def test_gram_matrix_of_ones_is_ones_at_any_size():
    for shape in ((1, 4, 4, 3), (2, 9, 5, 3)):
        np.testing.assert_allclose(gram_matrix(tf.ones(shape)), np.ones((shape[0], 3, 3)))


def test_style_distances_by_hand():
    # One channel: 0 and 2 (mean 1, mean square 2, deviation 1) against 3 and 3 (3, 9, 0).
    found, wanted = np.zeros((2, 1, 1, 2, 1))
    found[0, 0, :, 0], wanted[...] = (0, 2), 3
    assert float(distance(found, wanted, "gram")) == pytest.approx((2 - 9) ** 2 / 9**2)
    assert float(distance(found, wanted, "moments")) == pytest.approx(((1 - 3) ** 2 + 1) / 9, 1e-4)
    # The ridge lifts both variances by 0.009.
    between = (np.sqrt(1.009) - np.sqrt(0.009)) ** 2
    assert float(distance(found, wanted, "wasserstein")) == pytest.approx((4 + between) / 9, 1e-4)


def test_content_distance_by_hand():
    found, wanted = tf.constant([[1.0, 2], [3, 4]]), tf.constant([[1.0, 2], [3, 2]])
    assert float(content_distance(found, wanted)) == pytest.approx((4 / 4) / (18 / 4))


def test_scaled_distances_by_hand():
    assert float(scaled_error(tf.constant([1.0, -3]))) == pytest.approx(10 / 4)
    assert float(scaled_error(tf.zeros(3))) == 0
    # As above: the only error is 2; what is wanted is 1, 2, 3, 2.
    found, wanted = tf.constant([[1.0, 2], [3, 4]]), tf.constant([[1.0, 2], [3, 2]])
    assert float(content_distance(found, wanted, "scaled")) == pytest.approx(2 / (18 / 8))
    # One channel: means 1 and 3, mean squares 2 and 9, deviations 1 and 0.
    found, wanted = np.zeros((2, 1, 1, 2, 1))
    found[0, 0, :, 0], wanted[...] = (0, 2), 3
    assert float(distance(found, wanted, "gram", form="scaled")) == pytest.approx(7 / 9)
    moments = ((2**2 + 1) / (2 + 1)) / 3
    assert float(distance(found, wanted, "moments", form="scaled")) == pytest.approx(moments, 1e-4)
    squared = float(distance(found, wanted, "wasserstein"))
    scaled = float(distance(found, wanted, "wasserstein", form="scaled"))
    assert scaled == pytest.approx(squared**0.5)


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_scaled_distances_pull_as_hard_near_their_target(style_loss):
    """Twice as near, squares are a quarter; scaled errors are a half."""
    y = maps(4, (1, 9, 9, 4))
    away = maps(5, (1, 9, 9, 4)) - y
    for form, expected in (("squared", 4), ("scaled", 2)):
        far, near = (float(distance(y + s * away, y, style_loss, form=form)) for s in (2e-2, 1e-2))
        assert far / near == pytest.approx(expected, rel=0.1), form


def test_total_variation_by_hand():
    board = 255.0 * (np.indices((6, 6)).sum(0) % 2)[None, ..., None]
    # Across and down every neighbour differs by 1, across corners none.
    assert float(total_variation(tf.constant(board))) == pytest.approx(8 / 6)
    assert float(total_variation(tf.fill((1, 4, 4, 3), 99.0))) == 0
    ramp = np.tile(np.arange(5) * 25.5, (5, 1))[None, ..., None]  # 0.1 a pixel, across
    # 4/6 of 0.01 across edges, and 1/6 for each of the two corners.
    assert float(total_variation(tf.constant(ramp))) == pytest.approx(0.01)


def test_total_variation_costs_a_slope_the_same_in_any_direction():
    x, y = np.meshgrid(np.arange(9.0), np.arange(9.0))
    costs = [
        float(total_variation(tf.constant((np.cos(t) * x + np.sin(t) * y)[None, ..., None])))
        for t in np.linspace(0, np.pi, 7)
    ]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-9)


# Against float64 NumPy


def reference(found, wanted, style_loss):
    a, b = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (found, wanted))
    grams = a.T @ a / len(a), b.T @ b / len(b)
    if style_loss == "gram":
        return ((grams[0] - grams[1]) ** 2).sum() / (grams[1] ** 2).sum()
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    if style_loss == "moments":
        return (means + ((a.std(0) - b.std(0)) ** 2).sum()) / (b**2).mean(0).sum()
    energy = np.trace(grams[1])
    ridge = RIDGE * energy / a.shape[1] * np.eye(a.shape[1])
    c, d = (np.cov(x.T, bias=True) + ridge for x in (a, b))
    # The trace of (c d)^(1/2) is the sum of the roots of the product's eigenvalues.
    root = np.sqrt(np.linalg.eigvals(c @ d).real).sum()
    return (means + np.trace(c) + np.trace(d) - 2 * root) / energy


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
@pytest.mark.parametrize("shape", [(1, 5, 7, 4), (1, 3, 3, 8), (1, 16, 9, 1)])
def test_style_distances_agree_with_numpy(style_loss, shape):
    for seed in range(3):
        found, wanted = maps(seed, shape), maps(seed + 50, (1, 6, 6, shape[-1]))
        expected = reference(found, wanted, style_loss)
        single = [x.astype(np.float32) for x in (found, wanted)]
        assert float(distance(*single, style_loss)) == pytest.approx(expected, rel=2e-3)


def test_matrix_roots_agree_with_eigenvalues():
    rows = np.random.default_rng(1).normal(size=(30, 6))
    matrix = rows.T @ rows
    values, vectors = np.linalg.eigh(matrix)
    root, inverse = matrix_roots(tf.constant(matrix))
    np.testing.assert_allclose(root, (vectors * np.sqrt(values)) @ vectors.T, rtol=1e-6)
    np.testing.assert_allclose(inverse, (vectors / np.sqrt(values)) @ vectors.T, atol=1e-6)


# Properties


@pytest.mark.parametrize("form", LOSS_FORMS)
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_no_distance_at_the_own_target_and_some_elsewhere(style_loss, form):
    x, y = maps(3).astype(np.float32), maps(4).astype(np.float32)
    at_target = {"squared": 2e-6, "scaled": 2e-3}  # the root of what rounding leaves
    assert abs(float(distance(x, x, style_loss, form=form))) < at_target[form]
    assert float(distance(x, y, style_loss, form=form)) > 1e-2
    assert float(content_distance(tf.constant(x), tf.constant(x), form)) == 0


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_style_does_not_know_where_things_are(style_loss):
    x, y = maps(3), maps(4)
    shuffled = np.random.default_rng(0).permutation(x.reshape(-1, 4)).reshape(x.shape)
    tiled = np.tile(x, (1, 2, 3, 1))
    expected = float(distance(x.astype(np.float32), y.astype(np.float32), style_loss))
    for other in (shuffled, tiled):
        found = float(distance(other.astype(np.float32), y.astype(np.float32), style_loss))
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", LOSS_FORMS)
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_ratios_do_not_know_how_loud_a_layer_is(style_loss, form):
    x, y = maps(3).astype(np.float32), maps(4).astype(np.float32)
    expected = float(distance(x, y, style_loss, form=form))
    louder = float(distance(100 * x, 100 * y, style_loss, form=form))
    assert louder == pytest.approx(expected, rel=1e-3)
    assert float(content_distance(tf.constant(9 * x), tf.constant(9 * y), form)) == pytest.approx(
        float(content_distance(tf.constant(x), tf.constant(y), form))
    )


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_a_mask_leaves_out_what_it_covers(style_loss):
    x, y = maps(3).astype(np.float32), maps(4).astype(np.float32)
    mask = np.zeros((5, 7), np.float32)
    mask[:, :3] = 0.5
    expected = float(distance(x[:, :, :3], y, style_loss))
    assert float(distance(x, y, style_loss, tf.constant(mask))) == pytest.approx(expected, rel=1e-4)


def test_gram_matrix_is_symmetric_and_positive_semidefinite():
    gram = gram_matrix(tf.constant(maps(5, (1, 2, 3, 8))))[0].numpy()
    np.testing.assert_array_equal(gram, gram.T)
    assert np.linalg.eigvalsh(gram).min() > -1e-12


def test_short_floats_are_compared_in_float32():
    x = tf.constant(maps(6, (1, 30, 30, 8)), tf.float32)
    for style_loss in STYLE_LOSSES:
        found = statistics(tf.cast(x, tf.bfloat16), style_loss)
        assert found.second.dtype == tf.float32
        np.testing.assert_allclose(found.second, statistics(x, style_loss).second, rtol=0.02)
    far = tf.cast(x, tf.bfloat16), tf.cast(x + 1, tf.bfloat16)
    assert content_distance(*far).dtype == tf.float32


# Gradients against finite differences


def assert_slope(function, x):
    """The gradient along one random direction, in float64."""
    direction = np.random.default_rng(9).normal(size=x.shape)
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        y = function(variable)
    slope = float((tape.gradient(y, variable).numpy() * direction).sum())
    step = 1e-5
    rise = function(tf.constant(x + step * direction)) - function(tf.constant(x - step * direction))
    assert slope == pytest.approx(float(rise) / (2 * step), rel=1e-5)
    assert abs(slope) > 1e-4


@pytest.mark.parametrize("form", LOSS_FORMS)
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_gradients_of_style_agree_with_finite_differences(style_loss, form):
    target = style_target(statistics(tf.constant(maps(8)), style_loss), style_loss)
    mask = tf.constant(np.random.default_rng(0).random((5, 7)))
    for where in (None, mask):
        assert_slope(
            lambda x, where=where: style_distance(
                statistics(x, style_loss, where), target, style_loss, form
            ),
            maps(7),
        )


def test_gradients_of_content_and_variation_agree_with_finite_differences():
    wanted = tf.constant(maps(8))
    assert_slope(lambda x: content_distance(x, wanted), maps(7))
    assert_slope(lambda x: content_distance(x, wanted, "scaled"), maps(7) + 0.01)  # no kinks
    assert_slope(total_variation, 255 * maps(7))


def test_gradient_of_the_trace_of_a_root_agrees_with_finite_differences():
    rows = np.random.default_rng(1).normal(size=(30, 6))

    def function(x):
        return trace_of_root(tf.matmul(x, x, transpose_a=True))

    assert_slope(function, rows)
