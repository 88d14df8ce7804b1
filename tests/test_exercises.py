import re

import numpy as np
import pytest

from cnnlab import exercises
from cnnlab.exercises.table import EXERCISES


def named(function, name):
    function.__name__ = name
    return function


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right_and_each_mistake_gets_its_own_sentence(name):
    exercise = EXERCISES[name]
    verdict = exercises.check(named(lambda *a: exercise.solution(*a), name))
    assert verdict.right, verdict
    assert str(len(exercise.inputs)) in verdict.text
    for sentence, mistake in exercise.mistakes.items():
        verdict = exercises.check(named(lambda *a, f=mistake: f(*a), name))
        assert verdict.right is False
        assert verdict.text.endswith(sentence), name


def test_a_function_that_is_not_written_yet_is_no_mistake():
    assert exercises.check(named(lambda *a: None, "softmax")).right is None
    assert exercises.check(named(lambda *a: ..., "softmax")).right is None


def test_a_function_that_fails_or_returns_the_wrong_shape_is_told_for_which_input():
    verdict = exercises.check(named(lambda s: s.nonsense, "softmax"))
    assert not verdict.right
    assert "softmax([1., 2., 3.]) stops with AttributeError" in verdict.text
    verdict = exercises.check(named(lambda s: s[:2], "softmax"))
    assert "Expected an array of shape (3,). Received: (2,)" in verdict.text
    assert exercises.check(named(lambda s: "three", "softmax")).right is False


def test_a_long_array_is_told_by_the_first_number_that_differs():
    def covariance(maps):
        wanted = EXERCISES["covariance"].solution(maps)
        wanted[1, 2] += 1
        return wanted

    assert re.search(
        r"At \[1, 2\]: expected (\S+), received \S+\.$", exercises.check(covariance).text
    )
    adain = named(lambda x, y: np.full(x.shape, np.nan), "adain")
    assert re.search(r"received nan\. It contains nan\.", exercises.check(adain).text)


def test_numbers_are_shown_as_a_reader_writes_them():
    text = exercises.check(named(lambda *a: np.int64(0), "receptive_field")).text
    assert "should be 3 and is 0." in text
    assert "np." not in exercises.check(named(lambda *a: 99, "nearest_class")).text


def test_a_function_may_change_what_it_is_given():
    def softmax(scores):
        scores -= scores.max()
        np.exp(scores, out=scores)
        return scores / scores.sum()

    assert exercises.check(softmax).right
    assert exercises.check(softmax).right


def test_another_name_is_no_exercise():
    with pytest.raises(ValueError, match=r"Expected one of output_size, softmax, .*Received: fft"):
        exercises.check(named(lambda: 0, "fft"))


def test_a_verdict_shows_as_a_sentence_without_markup_of_its_own():
    verdict = exercises.check(named(lambda s: 1 / 0 < s, "softmax"))
    assert "<div" in verdict._repr_html_()
    assert "ZeroDivisionError" in verdict._repr_html_()
    assert "&lt;" in exercises.Verdict(False, "a < b")._repr_html_()
