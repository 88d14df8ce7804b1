import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab.evaluation import (
    Report,
    evaluate,
    fit_temperature,
    probabilities,
    wilson_interval,
    with_temperature,
)

# Truth and prediction of 8 pictures; "dog" is never true, "fox" never predicted.
LABELS = np.array([0, 0, 0, 1, 1, 3, 3, 3])
PREDICTIONS = np.array([0, 0, 1, 1, 2, 0, 0, 1])
CONFIDENCE = np.array([0.9, 0.6, 0.7, 0.8, 0.95, 0.5, 0.85, 0.7])
CLASSES = ("cat", "owl", "dog", "fox")


def spread(predictions, confidence, k=4):
    """Give `confidence` to the predicted class and the rest equally to the others."""
    table = np.repeat(((1 - confidence) / (k - 1))[:, None], k, axis=1)
    table[np.arange(len(table)), predictions] = confidence
    return table


@pytest.fixture
def report():
    return Report(spread(PREDICTIONS, CONFIDENCE), LABELS, CLASSES)


def linear_model(*, k=3, seed=0, final=None):
    """Pixels (2, 2, 3) -> logits, with large differences, and batch norm and dropout on the way."""
    rng = np.random.default_rng(seed)
    inputs = keras.Input((2, 2, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(keras.layers.Flatten()(x)))
    dense = keras.layers.Dense(k)
    x = dense(x)
    dense.set_weights([rng.normal(0, 3, (12, k)), rng.normal(0, 1, k)])
    return keras.Model(inputs, x if final is None else final(x))


@pytest.fixture
def pictures():
    return np.random.default_rng(1).integers(0, 256, (11, 2, 2, 3), dtype=np.uint8)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# Report: values counted by hand from the table at the top


def test_accuracy_and_confusion_by_hand(report):
    assert report.accuracy == 3 / 8
    np.testing.assert_array_equal(report.predictions, PREDICTIONS)
    np.testing.assert_array_equal(
        report.confusion, [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [2, 1, 0, 0]]
    )


def test_scores_per_class_by_hand_and_undefined_is_nan(report):
    cat, owl, dog, fox = report.per_class
    assert cat == ("cat", 2 / 4, 2 / 3, 4 / 7, 3)
    assert owl == ("owl", 1 / 3, 1 / 2, 2 / 5, 2)
    assert (dog.precision, dog.f1, dog.support) == (0, 0, 0)
    assert math.isnan(dog.recall)
    assert math.isnan(fox.precision)
    assert (fox.recall, fox.f1, fox.support) == (0, 0, 3)


def test_f1_of_a_class_neither_true_nor_predicted_is_nan():
    report = Report(spread(np.array([0, 1]), np.array([0.9, 0.9])), np.array([0, 1]), CLASSES)
    assert math.isnan(report.per_class[3].f1)


def test_mistakes_most_confident_first(report):
    np.testing.assert_array_equal(report.mistakes, [4, 6, 2, 7, 5])  # .95 .85 .7 .7 .5


def test_no_mistakes_is_an_empty_array():
    report = Report(np.eye(4)[[0, 1]], np.array([0, 1]), CLASSES)
    assert report.mistakes.shape == (0,)
    assert report.most_confused() == []


def test_most_confused_counts_pairs_and_leaves_the_diagonal_out(report):
    assert report.most_confused(2) == [("fox", "cat", 2), ("cat", "owl", 1)]
    assert len(report.most_confused(99)) == 4


def test_loss_is_the_mean_negative_log_probability_of_the_truth(report):
    given = [0.9, 0.6, 0.1, 0.8, 0.05 / 3, 0.5 / 3, 0.05, 0.1]
    assert report.loss == pytest.approx(-np.mean(np.log(given)), rel=1e-6)


def test_loss_of_a_probability_that_underflowed_is_finite():
    report = Report(np.array([[1.0, 0.0]], np.float32), np.array([1]), ("a", "b"))
    assert report.loss == pytest.approx(87.34, abs=0.01)


# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
WILSON = ((81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718))


@pytest.mark.parametrize(("hits", "n", "low", "high"), WILSON)
def test_intervals_are_wilsons(hits, n, low, high):
    assert wilson_interval(hits / n, n) == pytest.approx((low, high), abs=5e-5)
    guesses = np.where(np.arange(n) < hits, 0, 1)
    report = Report(np.eye(2)[guesses], np.zeros(n, int), ("a", "b"))
    assert report.interval == pytest.approx((high - low) / 2, abs=1e-4)


def test_intervals_of_several_shares_and_of_all_and_none():
    low, high = wilson_interval(np.array([0.0, 0.5, 1.0]), np.array([10, 100, 10]))
    assert low[0] == pytest.approx(0, abs=1e-12)
    assert high[2] == pytest.approx(1, abs=1e-12)
    assert high[0] == pytest.approx(1 - low[2])
    np.testing.assert_allclose((low[1], high[1]), wilson_interval(0.5, 100))


def test_calibration_by_hand(report):
    bins = report.calibration(bins=4)  # (0, .25] (.25, .5] (.5, .75] (.75, 1]
    np.testing.assert_array_equal(bins.count, [0, 1, 3, 4])
    np.testing.assert_allclose(bins.confidence, [np.nan, 0.5, 2 / 3, 0.875])
    np.testing.assert_allclose(bins.accuracy, [np.nan, 0, 1 / 3, 1 / 2])
    assert np.isnan([bins.low[0], bins.high[0]]).all()
    expected = wilson_interval(1 / 3, 3), wilson_interval(1 / 2, 4)
    np.testing.assert_allclose(np.transpose([bins.low, bins.high])[2:], expected)
    assert bins.error == pytest.approx((1 * 0.5 + 3 / 3 + 4 * 0.375) / 8)


def test_calibration_error_is_0_where_confidence_equals_accuracy():
    confidence = np.full(10, 0.8)
    labels = np.where(np.arange(10) < 8, 0, 1)
    report = Report(spread(np.zeros(10, int), confidence), labels, CLASSES)
    assert report.calibration().error == pytest.approx(0, abs=1e-12)


def test_certainty_falls_into_the_last_bin():
    report = Report(np.eye(4)[[0, 1]], np.array([0, 1]), CLASSES)
    np.testing.assert_array_equal(report.calibration(bins=3).count, [0, 0, 2])


def test_order_of_pictures_changes_nothing_but_the_indices(report):
    order = np.random.default_rng(0).permutation(8)
    shuffled = Report(report.probabilities[order], LABELS[order], CLASSES)
    np.testing.assert_array_equal(shuffled.confusion, report.confusion)
    assert shuffled.loss == pytest.approx(report.loss, rel=1e-12)
    assert set(order[shuffled.mistakes]) == set(report.mistakes)


def test_html_table_has_every_class_and_escapes_its_name(report):
    table = Report(report.probabilities, LABELS, ("cat", "owl", "dog", "<b>"))._repr_html_()
    assert table.count("<tr>") == 5
    assert "&lt;b&gt;" in table
    assert "<b>" not in table
    assert "37.50% ± 27.87%" in table  # the headline
    assert "66.7%" in table  # recall of "cat"
    assert "nan" not in table
    assert "accuracy 37.50%" in repr(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:, None]}, r"labels\.shape=\(8, 1\)"),
        ({"labels": np.eye(4)[LABELS]}, r"labels\.shape=\(8, 4\)"),
        ({"labels": LABELS + 1}, "from 1 to 4"),
        ({"labels": LABELS.astype(float)}, "float64"),
        ({"labels": LABELS[:5]}, r"labels\.shape=\(5,\)"),
        ({"classes": ("cat", "owl")}, r"Expected 4 class names.*\('cat', 'owl'\)"),
        ({"classes": set(CLASSES)}, r"list of names.*Received: classes=\{.*a set"),
        ({"classes": dict.fromkeys(CLASSES)}, "list of names.*a dict"),
        ({"classes": ("cat", "owl", "cat", "fox")}, "own for each class.*'cat' more than once"),
        ({"probabilities": np.full((8, 4), 2.0)}, "softmax first"),
        ({"probabilities": np.tile([1.5, -0.5, 0, 0], (8, 1))}, "no value below 0"),
        ({"probabilities": np.full((8, 4), np.nan)}, "rows of probabilities"),
        ({"probabilities": np.zeros((0, 4)), "labels": LABELS[:0]}, "n > 0"),
    ],
)
def test_report_refuses_what_does_not_fit_together(report, change, message):
    parts = {"probabilities": report.probabilities, "labels": LABELS, "classes": CLASSES}
    with pytest.raises(ValueError, match=message):
        Report(**parts | change)


# From a model


def test_probabilities_are_the_softmax_of_the_logits_in_inference_mode(pictures):
    model = linear_model()
    kernel, bias = model.layers[-1].get_weights()
    # Fresh batch norm divides by sqrt(1 + epsilon); dropout and batch statistics are off.
    flat = pictures.reshape(11, 12) / 255 / np.sqrt(1 + 1e-3)
    result = probabilities(model, pictures)
    np.testing.assert_allclose(result, softmax(flat @ kernel + bias), atol=1e-3)
    assert result.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 4, 11, 500])
def test_batch_size_and_pixel_type_change_nothing(pictures, batch_size):
    model = linear_model()
    labels = np.arange(11) % 3
    whole = evaluate(model, pictures, labels, ("a", "b", "c"))
    report = evaluate(model, pictures.astype(np.float32), labels, "abc", batch_size=batch_size)
    np.testing.assert_allclose(report.probabilities, whole.probabilities, atol=1e-3)
    assert report.accuracy == whole.accuracy
    assert report.confusion.sum() == 11
    assert report.labels.dtype == np.int64


@pytest.mark.parametrize(
    "final",
    [
        keras.layers.Softmax(),
        keras.layers.Activation("softmax"),
        keras.layers.Dense(3, "softmax", kernel_initializer="identity"),
        keras.ops.softmax,
        keras.Sequential([keras.layers.Softmax()]),
    ],
)
def test_a_final_softmax_is_not_applied_twice(pictures, final):
    expected = probabilities(linear_model(), pictures)
    result = probabilities(linear_model(final=final), pictures)
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize(
    "after", [keras.layers.Identity(), keras.layers.Activation("linear", dtype="float32")]
)
def test_a_last_activation_is_seen_through_what_only_hands_it_on(pictures, after):
    for k, activation in ((3, "softmax"), (1, "sigmoid")):
        expected = probabilities(linear_model(k=k), pictures)
        final = lambda x: after(keras.layers.Activation(activation)(x))  # noqa: B023, E731
        nested = keras.Sequential([linear_model(k=k, final=keras.layers.Activation(activation))])
        for model in (linear_model(k=k, final=final), keras.Sequential([nested, after])):
            np.testing.assert_allclose(probabilities(model, pictures), expected, atol=1e-3)


def test_probabilities_of_a_model_that_hides_its_softmax_are_refused(pictures):
    model = linear_model(final=lambda x: 1 * keras.ops.softmax(x))
    with pytest.raises(ValueError, match="probabilities already"):
        probabilities(model, pictures)


def test_low_precision_outputs_become_float32_rows_that_sum_to_1(pictures):
    model = linear_model(final=keras.layers.Activation("linear", dtype="bfloat16"))
    result = probabilities(model, pictures)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-6)


def test_large_logits_do_not_overflow(pictures):
    result = probabilities(linear_model(final=keras.layers.Rescaling(1e4)), pictures)
    assert np.isfinite(result).all()


def test_evaluate_leaves_model_and_pictures_as_they_were(pictures):
    model = linear_model()
    weights, before = [np.array(w) for w in model.weights], pictures.copy()
    evaluate(model, pictures, np.zeros(11, int), "abc")
    for old, new in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(pictures, before)


def test_several_sigmoids_are_refused_with_what_to_do(pictures):
    model = linear_model(final=keras.layers.Dense(3, "sigmoid"))
    with pytest.raises(ValueError, match=r"ends in 3 sigmoids.*softmax.*Report\(np\.stack"):
        probabilities(model, pictures)


@pytest.mark.parametrize(
    "final", [keras.layers.ReLU(), keras.ops.relu, keras.layers.Activation("tanh"), keras.ops.tanh]
)
def test_another_last_activation_is_refused_by_name(pictures, final):
    with pytest.raises(ValueError, match=r"with (relu|tanh) in its last layer.* ends before it"):
        probabilities(linear_model(final=final), pictures)


def test_a_final_log_softmax_is_a_logit_as_good_as_any(pictures):
    expected = probabilities(linear_model(), pictures)
    for final in (keras.ops.log_softmax, keras.layers.Activation("log_softmax")):
        found = probabilities(linear_model(final=final), pictures)
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    "final", [None, keras.ops.sigmoid, "sigmoid", keras.layers.Dense(1, "sigmoid")]
)
def test_one_output_is_the_probability_of_the_second_of_two_classes(pictures, final):
    if isinstance(final, keras.layers.Dense):
        final.build((None, 1))
        final.set_weights([np.ones((1, 1)), np.zeros(1)])
    final = keras.layers.Activation(final) if isinstance(final, str) else final
    logit = np.array(linear_model(k=1)(pictures), np.float64)[:, 0]
    report = evaluate(linear_model(k=1, final=final), pictures, np.int64(logit > 0), ("cat", "dog"))
    np.testing.assert_allclose(report.probabilities[:, 1], 1 / (1 + np.exp(-logit)), atol=1e-5)
    assert report.accuracy == 1


@pytest.mark.filterwarnings("ignore:.*softmax over axis")  # Keras warns as well
def test_a_softmax_of_one_output_and_several_outputs_are_refused(pictures):
    with pytest.raises(ValueError, match=r"shape \(11, 1\)"):
        probabilities(linear_model(k=1, final=keras.layers.Softmax()), pictures)
    for final in (lambda x: [x, 2 * x], lambda x: {"a": x, "b": x + 1}):
        with pytest.raises(ValueError, match=r"one output. Received: .* with 2\. Choose one"):
            probabilities(linear_model(final=final), pictures)

    class Two(keras.Model):
        def call(self, pixels):
            return pixels, pixels

    with pytest.raises(ValueError, match="one output"):
        probabilities(Two(), pictures)


@pytest.mark.parametrize("made", [lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: x - 120.0])
def test_pictures_that_are_no_pixels_any_more_are_refused(pictures, made):
    pixels = np.tile(pictures, (20, 1, 1, 1)).astype(np.float32)
    with pytest.raises(ValueError, match=r"Expected pixels in 0…255.*x with values from"):
        evaluate(linear_model(), made(pixels), np.zeros(len(pixels), int), "abc")


def test_pictures_that_a_model_can_t_take_are_named_in_a_sentence(pictures):
    net = keras.Sequential([keras.layers.Conv2D(3, 2), keras.layers.Flatten()])
    for model in (linear_model(), keras.Sequential([net, keras.layers.Dense(3)])):
        probabilities(model, pictures)
        for wrong in (pictures[..., :1], np.zeros((1, 9, 9, 3), np.uint8)):
            with pytest.raises(ValueError, match=r"^Expected pictures that '.*' can take") as e:
                probabilities(model, wrong)
            assert len(str(e.value)) < 500


def test_a_model_that_scales_nothing_takes_uint8(pictures):
    model = keras.Sequential([keras.layers.Conv2D(3, 2), keras.layers.Flatten()])
    found = probabilities(model, pictures)
    np.testing.assert_allclose(found, probabilities(model, pictures.astype(np.float32)))


def test_a_dataset_of_batches_is_scored_as_its_pictures_are(pictures):
    labels = np.arange(11) % 3
    dataset = tf.data.Dataset.from_tensor_slices((pictures, labels)).shuffle(11).batch(4)
    expected = evaluate(linear_model(), pictures, labels, "abc")
    report = evaluate(linear_model(), dataset, classes="abc")
    np.testing.assert_array_equal(report.confusion, expected.confusion)
    bare = tf.data.Dataset.from_tensor_slices(pictures).batch(4)
    found = probabilities(linear_model(), bare)
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-3)


def test_datasets_that_can_t_be_scored_say_why(pictures):
    labels, model = np.arange(11) % 3, linear_model()
    paired = tf.data.Dataset.from_tensor_slices((pictures, labels))
    for arguments, message in (
        ((paired,), r"with shape \(2, 2, 3\).*dataset\.batch"),
        ((paired.batch(4).repeat(),), "with an end"),
        ((paired.take(0).batch(4),), "an empty dataset"),
        ((paired.batch(4).map(lambda x, y: x),), r"dataset of \(pictures, labels\)"),
        ((paired.batch(4).map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)),), "a batch of x wi"),
        ((paired.batch(4), labels), "y=None with a dataset"),
        ((pictures,), "y=None"),
        ((pictures[0], labels[:2]), r"Pass x\[None\] for a single picture"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(model, *arguments, classes="abc")
    with pytest.raises(ValueError, match="batch_size=0"):
        probabilities(model, pictures, batch_size=0)


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (lambda t: t, {}, "Expected a Keras model.*Received: model of type function"),
        (None, {"batch_size": 2.5}, r"batch_size to be a whole number.*batch_size=2\.5"),
        (None, {"batch_size": True}, "batch_size=True"),
        (None, {"classes": {"a", "b", "c"}}, "Expected classes to be a list"),
    ],
)
def test_wrong_arguments_are_named_in_a_sentence(pictures, model, change, message):
    options = {"classes": ("a", "b", "c")} | change
    with pytest.raises(ValueError, match=message):
        evaluate(model or linear_model(), pictures, np.zeros(11, int), **options)


def test_diverged_model_is_named(pictures):
    model = linear_model()
    model.layers[-1].bias.assign([np.nan, 0, 0])
    with pytest.raises(ValueError, match=r"11 of 11 pictures.*lower learning rate"):
        probabilities(model, pictures)


def test_counts_that_differ_and_nothing_at_all_are_refused(pictures):
    with pytest.raises(ValueError, match=r"len\(x\)=11, len\(y\)=3"):
        evaluate(linear_model(), pictures, np.zeros(3, int), "abc")
    with pytest.raises(ValueError, match="at least one picture"):
        probabilities(linear_model(), pictures[:0])


def test_model_without_one_number_per_class_is_refused(pictures):
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Rescaling(1 / 255)])
    with pytest.raises(ValueError, match=r"shape \(11, 2, 2, 3\)"):
        probabilities(model, pictures)


# Temperature scaling


def drawn(n, seed, *, sureness):
    """Draw labels from softmax(logits) and report on a model that says sureness · logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 5))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return Report(softmax(sureness * logits).astype(np.float32), labels, "abcde")


@pytest.mark.parametrize("sureness", [3.0, 0.5])
def test_the_temperature_found_on_some_pictures_mends_the_answers_to_others(sureness):
    validation, test = (drawn(8000, seed, sureness=sureness) for seed in (0, 1))
    temperature = fit_temperature(validation)
    assert temperature == pytest.approx(sureness, rel=0.05)
    losses = [with_temperature(validation, t * temperature).loss for t in (0.95, 1, 1.05)]
    assert losses[1] < min(losses[0], losses[2])
    mended = with_temperature(test, temperature)
    assert test.calibration().error > 0.1
    assert mended.calibration().error < 0.02
    assert mended.loss < test.loss
    np.testing.assert_array_equal(mended.predictions, test.predictions)
    assert (mended.classes, mended.accuracy) == (test.classes, test.accuracy)


def test_a_temperature_by_hand():
    report = Report(np.array([[0.9, 0.1], [0.0, 1.0]]), np.array([0, 1]), ("cat", "dog"))
    found = with_temperature(report, 2).probabilities
    np.testing.assert_allclose(found[0], [0.75, 0.25])  # odds of 9 become odds of 3
    np.testing.assert_allclose(found[1], [0, 1], atol=1e-15)  # what has underflowed stays finite
    same = with_temperature(report, 1).probabilities
    np.testing.assert_allclose(same, report.probabilities, atol=1e-15)


def test_the_temperature_of_answers_that_are_all_right_has_an_end():
    report = Report(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 1]), ("cat", "dog"))
    assert 0.01 <= fit_temperature(report) < 0.012


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_no_temperature(report, temperature):
    with pytest.raises(ValueError, match=f"above 0. Received: temperature={temperature}"):
        with_temperature(report, temperature)
