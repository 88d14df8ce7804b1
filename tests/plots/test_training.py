import itertools

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from figures import run

from cnnlab import plots


def test_curves_stand_where_their_values_were_taken():
    loss, accuracy = plots.learning_curves([run(epochs=3)]).axes
    train, val = loss.lines
    assert train.get_xdata().tolist() == [0.5, 1.5, 2.5]
    assert val.get_xdata().tolist() == [1, 2, 3]
    assert train.get_ydata().tolist() == [2.0, 1.0, 2.0 / 3]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [0.25, 0.35, 0.45])


def test_curves_over_seconds_share_a_runs_time_among_its_epochs():
    ax = plots.learning_curves([run(epochs=3, seconds=6.0)], metrics=["loss"], x="seconds").axes[0]
    assert ax.lines[1].get_xdata().tolist() == [2, 4, 6]


def test_each_run_is_named_at_the_end_of_its_validation_curve():
    runs = [run("linear", 1), run("plain CNN", 3), run("no validation", 2, val=False)]
    ax = plots.learning_curves(runs).axes[1]
    ends = {label.get_text(): label.xy for label in ax.texts}
    assert ends == {
        "linear": (1, pytest.approx(0.25)),
        "plain CNN": (3, pytest.approx(0.45)),
        "no validation": (1.5, 0.4),
    }


def test_a_run_that_diverged_is_named_at_its_last_number():
    broken = run("too fast", 3)
    broken.history["val_loss"] = [2.0, 5.0, float("nan")]
    ax = plots.learning_curves([broken, run()], metrics=["loss"]).axes[0]
    assert ax.texts[0].xy == (2, 5.0)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_names_at_line_ends_never_overlap(n):
    runs = [run(f"model {i} with a name of two lines" if i % 2 else f"model {i}") for i in range(n)]
    figure = plots.learning_curves(runs)
    figure.draw_without_rendering()
    labels = figure.axes[1].texts
    assert len(labels) == n
    boxes = sorted((matplotlib.text.Text.get_window_extent(t) for t in labels), key=lambda b: b.y0)
    for lower, upper in itertools.pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1  # pixel


def test_runs_of_one_name_are_told_apart_by_the_settings_that_differ():
    runs = [
        run(lr=0.001, batch=64),
        run(lr=0.003, batch=64),
        run("linear", lr=0.1),
        run(lr=0.003, batch=64),
    ]
    labels = [label.get_text() for label in plots.learning_curves(runs).axes[1].texts]
    assert labels == ["plain CNN lr=0.001", "plain CNN lr=0.003", "linear", "plain CNN lr=0.003 #2"]


def test_runs_without_an_epoch_are_left_out_and_none_is_an_error():
    ax = plots.learning_curves([run("stopped", 0), run("linear")]).axes[1]
    assert [label.get_text() for label in ax.texts] == ["linear"]
    with pytest.raises(ValueError, match="an epoch of loss or accuracy"):
        plots.learning_curves([run("stopped", 0)])
    with pytest.raises(ValueError, match="Received: x='minutes'"):
        plots.learning_curves([run()], x="minutes")


def test_ladder_puts_seeds_of_one_model_on_one_rung():
    runs = [run("linear", test=0.4, seconds=5), run("skipped", test=None)]
    runs += [
        run("resnet", test=t, seed=s, seconds=100 + s) for s, t in enumerate((0.94, 0.95, 0.96))
    ]
    left, right = plots.ladder(runs, interval=lambda mean: (mean - 0.01, mean + 0.01)).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["linear", "resnet"]
    means = [line.get_xdata() for line in left.lines if line.get_markersize() == 6 and
             line.get_marker() == "o"]  # fmt: skip
    np.testing.assert_allclose(np.ravel(means), [0.4, 0.95])
    seeds = [line.get_xdata().tolist() for line in left.lines if line.get_marker() == "|"]
    assert seeds == [[0.94, 0.95, 0.96]]
    assert [t.get_text() for t in left.texts] == ["40.0%", "95.0%  +55.0"]
    assert [bar.get_width() for bar in right.patches] == [5, 101]
    assert [t.get_text() for t in right.texts] == ["5 s", "1 min 41 s"]


def test_ladder_draws_the_interval_that_it_is_given_for_the_mean():
    left = plots.ladder([run(test=0.5)], interval=lambda mean: (mean - 0.1, mean + 0.2)).axes[0]
    band = next(line for line in left.lines if line.get_linewidth() == 9)
    np.testing.assert_allclose(band.get_xdata(), [0.4, 0.7])


def test_a_step_is_counted_from_the_mean_of_the_rung_below():
    left = plots.ladder([run("a", test=t, seed=s) for s, t in enumerate((0.5, 0.7))] + [run("b")])
    assert [t.get_text() for t in left.axes[0].texts] == ["60.0%", "70.0%  +10.0"]


def test_a_step_down_is_written_on_the_free_side():
    left = plots.ladder([run("a", test=0.9), run("b", test=0.8)]).axes[0]
    up, down = left.texts
    assert (down.get_text(), down.get_ha(), up.get_ha()) == ("80.0%  −10.0", "right", "left")


def test_ladder_of_validation_accuracies_needs_no_test():
    left = plots.ladder([run(test=None)], metric="val_accuracy").axes[0]
    assert left.texts[0].get_text() == "45.0%"
    with pytest.raises(ValueError, match="at least one run with a test accuracy"):
        plots.ladder([run(test=None)])
    with pytest.raises(ValueError, match="Received: metric='loss'"):
        plots.ladder([run()], metric="loss")


def test_schedule_counts_steps_or_epochs():
    rates = {"one-cycle": [0.0, 0.1, 0.05, 0.0]}
    steps, epochs = (plots.schedule(rates, steps_per_epoch=n).axes[0] for n in (None, 2))
    assert steps.lines[0].get_xdata().tolist() == [0, 1, 2, 3]
    assert epochs.lines[0].get_xdata().tolist() == [0, 0.5, 1, 1.5]
    assert (steps.get_xlabel(), epochs.get_xlabel()) == ("steps", "epochs")
