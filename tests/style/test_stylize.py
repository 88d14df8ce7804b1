import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_vgg import small_vgg

from cnnlab import images
from cnnlab.style import (
    content_distance,
    statistics,
    style_distance,
    style_target,
    stylize,
    total_variation,
)
from cnnlab.style import recorder as recorder_module
from cnnlab.style.colors import grey, grey_like, with_palette_of
from cnnlab.style.descent import (
    STEPS_PER_CALL,
    AdamState,
    averaged_adam,
    compiled_steps,
    descend_by_adam,
    take_steps,
)
from cnnlab.style.loss import TERMS, loss_of
from cnnlab.style.problem import StyleProblem
from cnnlab.style.pyramid import Level, pyramid_levels, style_size
from cnnlab.style.recorder import Recorder
from cnnlab.style.vgg import device_weights, extract_features, read_vgg

ROUNDING = 2e-6  # of "wasserstein" at its own target: a difference of traces in single precision
SMALL = {
    "size": 32,
    "steps": 6,
    "content_layers": "block3_conv1",
    "style_layers": ["block1_conv1", "block2_conv2"],
    "precision": "float32",
}


@pytest.fixture(scope="module")
def model():
    return small_vgg()


@pytest.fixture(scope="module")
def content():
    y, x = np.mgrid[:36, :48]
    return np.stack([5 * x, 255 * (y > x), 127 + 100 * np.sin(y / 3)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def waves():
    y, x = np.mgrid[:40, :40]
    return np.stack([127 + 120 * np.sin((x + i * y) / 3) for i in range(3)], -1).astype(np.uint8)


COLORS_ONLY = {"size": 32, "steps": 30, "content_layers": "copy", "style_layers": "copy"}


@pytest.fixture(scope="module")
def color_net():
    """A network that sees colours alone: its one layer copies the picture."""
    inputs = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="copy")(x)
    net = keras.Model(inputs, x)
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    net.get_layer("copy").set_weights([kernel, np.zeros(3)])
    return net


# What comes back


def test_losses_fall_and_the_picture_is_pixels_of_the_size_asked_for(model, content, waves):
    result = stylize(content, waves, model=model, **SMALL | {"steps": 40})
    assert result.image.shape == (24, 32, 3)
    assert result.image.dtype == np.uint8
    assert set(result.history) == set(TERMS)
    for name, values in result.history.items():
        assert values.shape == (40,), name
    assert result.history["style"][-1] < 0.2 * result.history["style"][0]
    assert result.history["total"][-1] < 0.5 * result.history["total"][0]
    assert result.seconds > 0
    assert not result.stopped


def test_total_is_the_weighted_sum_of_the_terms(model, content, waves):
    weights = {"content_weight": 2, "style_weight": 3, "tv_weight": 5}
    h = stylize(content, waves, model=model, **SMALL, **weights).history
    sum_of_terms = 2 * h["content"] + 3 * h["style"] + 5 * h["variation"]
    np.testing.assert_allclose(h["total"], sum_of_terms, rtol=1e-5)


def test_content_starts_at_zero_from_the_content_and_style_at_zero_from_the_style(
    model, content, waves
):
    at_content = stylize(content, waves, model=model, **SMALL, pyramid=1)
    assert at_content.history["content"][0] < 1e-9
    assert at_content.history["style"][0] > 1e-3
    options = SMALL | {"size": waves.shape[:2], "init": waves}
    at_style = stylize(content, waves, model=model, **options)
    assert abs(at_style.history["style"][0]) < ROUNDING
    assert at_style.history["content"][0] > 1e-3


@pytest.mark.parametrize("loss_form", ["squared", "scaled"])
@pytest.mark.parametrize("style_loss", ["gram", "wasserstein", "moments"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_every_style_loss_falls_with_every_optimizer(
    model, content, waves, style_loss, optimizer, loss_form
):
    # They start at the content, where its scaled loss has a kink: there L-BFGS's first line search
    # may take a dozen evaluations.
    options = SMALL | {"steps": 50, "style_layers": "block2_conv2"}
    result = stylize(
        content,
        waves,
        model=model,
        style_loss=style_loss,
        loss_form=loss_form,
        optimizer=optimizer,
        **options,
    )
    losses = result.history["total"]
    assert losses.min() < 0.7 * losses[0]
    assert len(losses) == 50


@pytest.mark.parametrize("init", ["content", "noise", "statistics"])
def test_a_seed_gives_one_picture_and_another_seed_another(model, content, waves, init):
    def run(seed):
        return stylize(content, waves, model=model, init=init, seed=seed, **SMALL).image

    first = run(1)
    np.testing.assert_array_equal(first, run(1))
    assert (init == "content") == np.array_equal(first, run(2))


def test_start_from_style_statistics_has_the_styles_colours(model, content):
    orange = np.full((40, 40, 3), (250, 120, 20), np.uint8)
    options = SMALL | {"steps": 1, "averaging": 0, "learning_rate": 0.001}
    image = stylize(content, orange, model=model, init="statistics", **options).image
    np.testing.assert_allclose(image.mean((0, 1)), (250, 120, 20), atol=1)


@pytest.mark.parametrize("steps_per_call", [7, STEPS_PER_CALL])
def test_many_steps_in_one_call_are_the_same_steps(model, content, waves, steps_per_call):
    plan, weights = read_vgg(model, pooling="average")
    problem = StyleProblem(
        content=content,
        styles=((waves, 1.0, None),),
        style_scale=1.0,
        colors="style",
        plan=plan,
        weights=device_weights(weights, plan),
        content_layers={"block3_conv1": 1.0},
        style_layers={"block1_conv1": 0.5, "block2_conv2": 0.5},
        style_loss="gram",
        term_weights=(1.0, 30.0, 50.0),
    )
    levels = problem.levels(32, 50, 2)
    start = problem.initial_pixels("content", levels[0], seed=0)
    settings = {"learning_rate": 5.0, "averaging": 0.98}

    def run(steps_per_call):
        seen = []
        recorder = Recorder(problem, levels, start, callback=seen.append, every=30)
        descend_by_adam(problem, recorder, steps_per_call=steps_per_call, **settings)
        return recorder.result(), [(p.step, p.losses) for p in seen]

    one_by_one, reports = run(1)
    together, same_reports = run(steps_per_call)
    assert [step for step, _ in reports] == [30, 50]
    assert reports == same_reports
    np.testing.assert_array_equal(together.image, one_by_one.image)
    for name in TERMS:
        np.testing.assert_array_equal(together.history[name], one_by_one.history[name])


# Nothing is frozen into a trace


def test_a_rerun_takes_effect_without_tracing_anew(model, content, waves):
    def run(**options):
        return stylize(content, waves, model=model, **SMALL | {"pyramid": 1} | options)

    plain = run()
    count = traces(model)
    assert count
    faster, heavier = run(learning_rate=20.0), run(style_weight=3000.0)
    other_layer_weights = run(style_layers=dict(zip(SMALL["style_layers"], (9, 1), strict=True)))
    other_style = stylize(content, waves[:, ::-1] // 2, model=model, **SMALL, pyramid=1)
    assert traces(model) == count
    for other in (faster, heavier, other_layer_weights, other_style):
        assert not np.array_equal(plain.image, other.image)
    moved = [np.abs(np.int32(r.image) - run(steps=1).image).mean() for r in (plain, faster)]
    assert moved[1] > 1.5 * moved[0]
    assert heavier.history["total"][0] > 50 * plain.history["total"][0]
    larger = run(size=48)
    assert larger.image.shape == (36, 48, 3)
    assert traces(model) == count + 1
    np.testing.assert_array_equal(run().image, plain.image)


def test_another_model_of_the_same_plan_is_used_at_once(content, waves):
    first = stylize(content, waves, model=small_vgg(1), **SMALL)
    count = traces(small_vgg(1))
    assert count
    second = stylize(content, waves, model=small_vgg(2), **SMALL)
    assert traces(small_vgg(2)) == count
    assert not np.array_equal(first.image, second.image)


def traces(model):
    """Traces so far of the compiled step that SMALL uses."""
    plan = read_vgg(model, pooling="max")[0].until(["block3_conv1"])
    loss = loss_of(plan, "wasserstein", "squared")
    return compiled_steps(loss, averaged_adam, False).experimental_get_tracing_count()


# Weights mean the same


def test_losses_do_not_depend_on_the_size_of_activations(content, waves):
    """A ReLU network with its first layer ten times as strong sees the same, ten times as large."""
    plain, louder = small_vgg(3), small_vgg(3)
    for name in ("block1_conv1",):
        layer = louder.get_layer(name)
        layer.set_weights([10 * w for w in layer.get_weights()])
    for layer in louder.layers:
        if isinstance(layer, layers.Conv2D) and layer.name != "block1_conv1":
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, 10 * bias])
    a, b = (stylize(content, waves, model=m, **SMALL).history for m in (plain, louder))
    for name in TERMS:
        np.testing.assert_allclose(a[name], b[name], rtol=2e-3, err_msg=name)


def test_style_loss_of_a_tiled_picture_is_that_of_the_tile(color_net):
    tile = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    wide = np.tile(tile, (3, 3, 1))
    options = COLORS_ONLY | {"steps": 1, "size": wide.shape[:2]}
    result = stylize(wide, tile, model=color_net, **options)
    other = stylize(wide, 255 - tile, model=color_net, **options)
    assert abs(result.history["style"][0]) < ROUNDING
    assert other.history["style"][0] > 1e-3


# Stop, and progress


def press_stop(progress):
    raise KeyboardInterrupt


def test_stop_rises_with_what_there_is(model, content, waves):
    seen = []

    def stop(progress):
        seen.append(progress)
        if progress.step == 4:
            raise KeyboardInterrupt

    options = SMALL | {"steps": 30, "callback": stop, "callback_every": 2}
    with pytest.raises(KeyboardInterrupt) as pressed:
        stylize(content, waves, model=model, **options)
    result = pressed.value.result
    assert result.stopped
    assert result.image.shape == (24, 32, 3)
    assert len(result.history["total"]) == 4
    np.testing.assert_array_equal(result.image, seen[-1].image)


@pytest.mark.parametrize("how", ["adam", "lbfgs", "neighbours"])
def test_a_run_ended_at_a_coarse_size_gives_the_promised_size(content, waves, how):
    def end(progress):
        raise StopIteration

    vgg = small_vgg(widths={f"block{i}": (4, 4, 4)[: 2 + i // 3] for i in range(1, 5)})
    options = {"neighbours": {"style_loss": how}}.get(how, {"optimizer": how} | SMALL)
    options |= {"size": 32, "steps": 6, "pyramid": 2, "callback": end, "callback_every": 1}
    result = stylize(content, waves, model=vgg, **options)
    assert result.stopped
    assert result.image.shape == (24, 32, 3)
    assert len(result.history["total"]) == 1
    assert result.distances["total"] > 0


def test_in_a_notebook_one_stop_ends_the_cell_with_its_picture_kept(
    model, content, waves, notebook
):
    options = SMALL | {"model": model, "callback_every": 1}
    board = []

    def cell():
        for callback in (None, press_stop, lambda p: pytest.fail("it went on")):
            board.append(stylize(content, waves, callback=callback, **options))

    with pytest.raises(KeyboardInterrupt, match="This cell was stopped"):
        cell()
    assert [result.stopped for result in board] == [False, True]
    assert "stopped after 1 of 6 steps" in notebook.shown[-1]
    assert notebook.lines == 1
    notebook.next_cell()
    assert not stylize(content, waves, **options).stopped
    assert notebook.lines == 2


def test_a_notebook_shows_a_sign_of_life_before_and_after_the_first_step(
    model, content, waves, notebook
):
    stylize(content, waves, model=model, **SMALL, pyramid=1)
    assert notebook.shown[:2] == [
        "step 0 of 6, 32 × 24 pixels, preparing",
        "step 0 of 6, 32 × 24 pixels, compiling",
    ]
    assert notebook.shown[2].startswith("step 1 of 6, 32 × 24 pixels, loss ")
    assert notebook.shown[2].endswith(" s left")
    assert notebook.shown[-1].startswith("took 6 of 6 steps, ")


def test_outside_of_a_notebook_nothing_is_shown(model, content, waves, capsys):
    stylize(content, waves, model=model, **SMALL)
    assert capsys.readouterr() == ("", "")


# Time


@pytest.mark.parametrize("kind", ["a fast guess", "a slow guess"])
def test_expected_time_is_that_of_the_run_before_without_compiling_and_callbacks(
    model, kind, monkeypatch
):
    """By a clock of our own: 30 s to compile, 7 s in the callback, 2 s + 5 × 0.4 s a size."""
    guess = 1e-3 if kind == "a fast guess" else 9.0
    monkeypatch.setattr(recorder_module, "step_seconds", lambda *args: [guess, guess])
    levels, pixels, now = (Level(4, 6, 5), Level(4, 6, 5)), tf.zeros((1, 4, 6, 3)), 0.0
    problem = types.SimpleNamespace(plan=None, dtype="float32", kind=kind, to_picture=np.array)

    def run(compiling):
        nonlocal now
        left = []

        def steps(state, count):
            nonlocal now
            now += 0.4 * float(count) or compiling
            return state, tf.ones((STEPS_PER_CALL, len(TERMS)))

        def callback(progress):
            nonlocal now
            left.append(progress.seconds_left)
            now += 7

        recorder = Recorder(problem, levels, pixels, callback=callback, every=5, clock=lambda: now)
        for _ in recorder.sizes():
            now += 2
            take_steps(steps, AdamState.start((pixels,), average=(pixels,)), recorder)
        timer = recorder.timer
        taken = timer.compiling, timer.calling, timer.working, timer.seconds
        return taken, timer.expected, left

    taken, _, _ = run(compiling=30)
    assert taken == pytest.approx((60, 14, 8, 82))
    _, expected, left = run(compiling=0.1)
    assert expected == pytest.approx(8)
    assert left == pytest.approx([4, 0], abs=1e-9)


def test_a_run_says_what_compiling_callbacks_and_the_rest_took(content, waves):
    fresh = small_vgg(widths={"block1": (4,), "block2": (5, 6), "block3": (9,)})  # not yet traced
    options = SMALL | {"model": fresh, "callback_every": 1}
    first, again = (
        stylize(content, waves, callback=lambda p: p.image, **options) for _ in range(2)
    )
    for result in (first, again):
        rest = result.seconds - result.compile_seconds - result.callback_seconds
        assert 0 < rest < result.seconds
    assert again.compile_seconds < first.compile_seconds / 2
    assert again.expected_seconds < first.seconds
    assert "s and the time to compile" in first.estimate


# The distances reported


@pytest.mark.parametrize("options", [{}, {"colors": "content"}, {"colors": "mapped"}, {"steps": 1}])
def test_distances_are_those_of_the_picture_returned(model, content, waves, options):
    """Of its very pixels, rounded and in their final colours."""
    options = {"style_loss": "gram", "learning_rate": 30.0} | SMALL | options
    result = stylize(content, waves, model=model, **options)
    plan, weights = read_vgg(model)
    weights = device_weights(weights, plan)

    def look(picture):
        pixels = tf.constant(picture[None], tf.float32)
        return extract_features(
            pixels, weights, plan, ["block1_conv1", "block2_conv2", "block3_conv1"]
        )

    shown, art, picture = images.read(content, (24, 32)), images.read(waves, 32), result.image
    if options.get("colors") == "content":
        shown, art, picture = grey(shown), grey_like(art, content), grey(picture)
    found, scene, wanted = look(picture), look(shown), look(art)
    distances = [
        style_distance(statistics(found[name]), style_target(statistics(wanted[name])))
        for name in SMALL["style_layers"]
    ]
    expected = {
        "content": content_distance(found["block3_conv1"], scene["block3_conv1"]),
        "style": np.mean(distances),
        "variation": total_variation(tf.constant(picture[None], tf.float32)),
    }
    for name, value in expected.items():
        assert result.distances[name] == pytest.approx(float(value), rel=1e-4), name
    total = 1.0 * expected["content"] + 6.0 * expected["style"] + 0.5 * expected["variation"]
    assert result.distances["total"] == pytest.approx(float(total), rel=1e-4)


def test_progress_tells_where_it_is(model, content, waves):
    seen = []
    options = SMALL | {"steps": 7, "pyramid": 2, "pyramid_ratio": 2}
    result = stylize(content, waves, model=model, callback=seen.append, callback_every=3, **options)
    assert [p.step for p in seen] == [3, 6, 7]
    assert {p.steps for p in seen} == {7}
    assert [p.level for p in seen] == [result.levels[0], result.levels[1], result.levels[1]]
    assert seen[0].image.shape == (12, 16, 3)
    assert seen[-1].losses == pytest.approx({n: v[-1] for n, v in result.history.items()})
    assert 0 < seen[0].seconds <= seen[1].seconds <= result.seconds
    np.testing.assert_array_equal(seen[-1].image, result.image)


def test_infinite_losses_are_an_error_and_not_a_picture(content, waves):
    broken = small_vgg()
    layer = broken.get_layer("block2_conv1")
    layer.set_weights([np.full(w.shape, 1e30, np.float32) for w in layer.get_weights()])
    with pytest.raises(FloatingPointError, match="at step 6 they are"):
        stylize(content, waves, model=broken, **SMALL)


# Sizes


def test_pyramid_by_default_takes_each_size_a_root_of_two_larger(color_net, content, waves):
    def end(progress):
        raise StopIteration

    layers = {"content_layers": "copy", "style_layers": "copy"}
    options = layers | {"callback": end, "callback_every": 1}
    result = stylize(content, waves, model=color_net, **options)
    assert [level.width for level in result.levels] == [128, 181, 256, 362, 512]


def test_pyramid_that_doubles_gives_the_coarsest_two_shares(color_net, content, waves):
    options = COLORS_ONLY | {"pyramid": 3, "pyramid_ratio": 2, "steps": 9, "size": 64}
    result = stylize(content, waves, model=color_net, **options)
    shapes = [(level.height, level.width, level.steps) for level in result.levels]
    assert shapes == [(12, 16, 5), (24, 32, 2), (48, 64, 2)]


@pytest.mark.parametrize(
    ("size", "steps", "expected"),
    [
        ((512, 512), 500, [128, 256, 512]),
        ((384, 512), 100, [128, 256, 512]),
        ((48, 512), 100, [512]),  # half of it would leave the deepest layer a single row
        ((100, 100), 100, [100]),
        ((512, 512), 2, [256, 512]),
    ],
)
def test_pyramid_chosen_by_itself(size, steps, expected):
    plan = pyramid_levels(
        size,
        steps,
        smallest_side=16,
        style_sizes=lambda shape: [style_size((600, 600), shape, 1.0)],
    )
    assert [max(level.height, level.width) for level in plan] == expected
    assert sum(level.steps for level in plan) == steps


def test_pyramid_of_any_ratio_with_steps_listed(color_net, content, waves):
    options = COLORS_ONLY | {"size": 64, "pyramid_ratio": 2**0.5}
    result = stylize(content, waves, model=color_net, **options | {"steps": [4, 1, 2]})
    shapes = [(level.height, level.width, level.steps) for level in result.levels]
    assert shapes == [(24, 32, 4), (34, 45, 1), (48, 64, 2)]
    assert len(result.history["total"]) == 7
    for steps in (100, [5]):
        plan = pyramid_levels((512, 512), steps, ratio=2**0.5)
        sizes = [512] if steps == [5] else [128, 181, 256, 362, 512]
        assert [level.width for level in plan] == sizes


def test_any_proportions_and_an_exact_size(color_net, content, waves):
    tall = content[:, :20]
    assert stylize(tall, waves, model=color_net, **COLORS_ONLY).image.shape == (32, 18, 3)
    exact = stylize(content, waves, model=color_net, **COLORS_ONLY | {"size": (17, 33)})
    assert exact.image.shape == (17, 33, 3)


def test_styles_are_looked_at_in_scale_but_never_enlarged():
    assert style_size((1000, 500), (200, 300), 1.0) == (300, 150)
    assert style_size((1000, 500), (200, 300), 2.0) == (600, 300)
    assert style_size((100, 50), (200, 300), 2.0) == (100, 50)
    assert style_size((100, 50), (200, 300), 2.0, enlarge=True) == (600, 300)


def test_an_enlarged_style_has_larger_strokes(model, content, waves):
    """As if the style had been given larger."""
    large = np.asarray(images.read(waves, (96, 96)))
    options = SMALL | {"size": 96, "steps": 1, "pyramid": 1}
    as_is, enlarged, given = (
        stylize(content, s, model=model, enlarge_style=e, **options).history["style"][0]
        for s, e in ((waves, False), (waves, True), (large, False))
    )
    assert enlarged == pytest.approx(given, rel=1e-4)
    assert as_is != pytest.approx(given, rel=0.05)


def test_style_scale_takes_effect(model, content, waves):
    a, b = (
        stylize(content, waves, model=model, style_scale=s, **SMALL).history["style"][0]
        for s in (1.0, 0.6)
    )
    assert a != pytest.approx(b, rel=0.01)


# Several styles, masks, colours


def test_weights_of_styles_run_from_one_style_to_the_other(model, content, waves):
    other = 255 - waves // 2

    def run(styles, weights):
        return stylize(content, styles, style_weights=weights, model=model, **SMALL)

    only = stylize(content, waves, model=model, **SMALL)
    np.testing.assert_array_equal(run([waves, other], [2, 0]).image, only.image)
    mixed = run([waves, other], [1, 1])
    twins = run([waves, waves], [0.2, 0.8])
    np.testing.assert_allclose(twins.history["total"], only.history["total"], rtol=1e-4)
    assert not np.array_equal(mixed.image, only.image)


def test_masks_paint_each_style_in_its_place(color_net):
    grey = np.full((16, 32, 3), 128, np.uint8)
    red, blue = (np.full((32, 32, 3), c, np.uint8) for c in ((220, 30, 30), (30, 30, 220)))
    left = np.zeros((16, 32), bool)
    left[:, :16] = True
    options = COLORS_ONLY | {"content_weight": 0, "tv_weight": 0, "steps": 60, "averaging": 0}
    image = stylize(grey, [red, blue], masks=[left, ~left], model=color_net, **options).image
    np.testing.assert_allclose(image[:, :16].mean((0, 1)), (220, 30, 30), atol=12)
    np.testing.assert_allclose(image[:, 16:].mean((0, 1)), (30, 30, 220), atol=12)
    small = left & (np.arange(32) < 4)
    image = stylize(grey, [red, blue], masks=[small, ~left], model=color_net, **options).image
    np.testing.assert_allclose(image[:, :4].mean((0, 1)), (220, 30, 30), atol=20)
    np.testing.assert_array_equal(image[:, 4:16], 128)  # nobody's: left as it was


@pytest.mark.parametrize(
    ("size", "where"), [((36, 16), np.s_[:, :2]), (8, np.s_[20:21, 30:31])], ids=["cropped", "tiny"]
)
def test_a_mask_of_which_nothing_is_left_is_refused_before_the_first_step(
    model, content, waves, size, where
):
    spot = np.zeros(content.shape[:2])
    spot[where] = 0.01
    options = SMALL | {"size": size, "callback": lambda progress: pytest.fail("a step")}
    with pytest.raises(ValueError, match=r"nothing is left at .* × .*cropped.* or it is too small"):
        stylize(content, [waves, waves], masks=[spot, 1 - spot], model=model, **options)


def test_a_full_mask_is_no_mask(model, content, waves):
    full = np.ones(content.shape[:2], np.float32)
    masked = stylize(content, waves, masks=[full], model=model, **SMALL)
    plain = stylize(content, waves, model=model, **SMALL)
    np.testing.assert_allclose(masked.history["total"], plain.history["total"], rtol=1e-4)


def test_colours_kept_are_the_contents(model, content, waves):
    result = stylize(content, waves, model=model, colors="content", **SMALL)
    shown = images.read(content, result.image.shape[:2])
    inside = (result.image > 0).all(-1) & (result.image < 255).all(-1)
    hues = [np.diff(np.int32(x), axis=-1)[inside] for x in (result.image, shown)]
    assert inside.mean() > 0.2
    np.testing.assert_allclose(*hues, atol=1.01)
    assert not np.array_equal(result.image, shown)


def test_matched_style_has_the_contents_palette(content, waves):
    wide = np.random.default_rng(0).normal((90, 140, 120), (9, 20, 5), (50, 60, 3))
    matched = with_palette_of(np.clip(wide, 0, 255), 60 + waves // 4)
    expected = (60 + waves // 4).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(matched.mean((0, 1)), expected.mean(0), atol=0.5)
    covariances = np.cov(matched.reshape(-1, 3).T), np.cov(expected.T)
    np.testing.assert_allclose(*covariances, rtol=0.02, atol=3)


def test_matched_style_paints_in_the_contents_colours(color_net):
    green, orange = (
        np.random.default_rng(0).normal(c, 9, (32, 32, 3)) for c in ((60, 180, 60), (250, 140, 30))
    )
    options = COLORS_ONLY | {"content_weight": 0, "steps": 60, "averaging": 0, "init": "noise"}
    for colors_, expected in (("matched", (60, 180, 60)), ("style", (250, 140, 30))):
        image = stylize(green, orange, model=color_net, colors=colors_, **options).image
        np.testing.assert_allclose(image.mean((0, 1)), expected, atol=15)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size to be a positive whole number. Received: 0"),
        ({"size": (3, 4, 5)}, r"Received: \(3, 4, 5\)"),
        ({"size": (1, 40)}, "at least 4 pixels.*content of 1 × 40"),
        ({"steps": 0}, "steps to be a positive whole number. Received: 0"),
        ({"steps": 2.5}, "Received: 2.5"),
        ({"steps": True}, "steps to be a positive whole number. Received: True"),
        ({"steps": [1] * 9}, "at least 4 pixels.*fewer than the 9 sizes that steps lists"),
        ({"steps": [3, 0]}, "steps to be a positive whole number. Received: 0"),
        ({"steps": []}, r"one number of steps a size. Received: steps=\[\]"),
        ({"steps": [3, 2], "pyramid": 3}, r"Received: steps=\[3, 2\], pyramid=3"),
        ({"pyramid": 0}, "pyramid to be a positive whole number"),
        ({"pyramid_ratio": 1}, "pyramid_ratio to be a finite number at least 1.1. Received: 1"),
        (
            {"pyramid": 5, "pyramid_ratio": 2, "steps": 9},
            "at least 4 pixels.*content of 2 × 2 pixels",
        ),
        ({"content_weight": 0, "style_weight": 0}, "positive content_weight or style_weight"),
        ({"content_weight": -1}, "content_weight to be a finite number at least 0. Received: -1"),
        ({"style_weight": float("nan")}, "style_weight to be a finite number.*nan"),
        ({"tv_weight": float("inf")}, "tv_weight"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"averaging": 1}, "averaging"),
        ({"style_weights": [0]}, "positive weight among style_weights"),
        ({"style_weights": [-1]}, "Received: -1"),
        ({"style_weights": [1, 2]}, "one weight a style, 1"),
        ({"style_weights": 0.5}, "list of one weight a style, 1. Received: style_weights=0.5"),
        ({"style_layers": None}, "a list of names.*leave it out.*Received: style_layers=None"),
        ({"masks": 0.5}, "masks as a list.*Received: masks=0.5"),
        ({"style_layers": {"block1_conv1": 0}}, "positive weight among style_layers"),
        ({"style_layers": []}, "positive weight among style_layers"),
        ({"style_layers": "block9_conv1"}, "'block9_conv1'. Layers: block1_conv1, block1_pool"),
        ({"content_layers": "nothing"}, "'nothing'. Layers: block1_conv1"),
        ({"style_loss": "mean"}, r"'moments', 'neighbours'\). Received: 'mean'"),
        ({"loss_form": "cubed"}, r"\('squared', 'scaled'\). Received: 'cubed'"),
        ({"optimizer": "sgd"}, r"\('adam', 'lbfgs'\). Received: 'sgd'"),
        ({"colors": "red"}, r"'matched', 'mapped'\). Received: 'red'"),
        ({"pooling": "l2"}, r"\('max', 'average'\). Received: 'l2'"),
        ({"padding": "same"}, r"\('first', 'replicate', 'zeros'\). Received: 'same'"),
        ({"precision": "float16"}, "precision.*float16"),
        ({"masks": [np.ones((36, 47))]}, r"\(36, 48\). Received: masks\[0\] with shape=\(36, 47\)"),
        ({"masks": [np.zeros((36, 48))]}, "not all 0"),
        ({"masks": [np.full((36, 48), 2.0)]}, "values from 2 to 2"),
        ({"masks": [np.full((36, 48), np.nan)]}, "values from nan to nan"),
        ({"masks": [None, None]}, "one mask a style, 1. Received: 2"),
        ({"callback_every": 0}, "callback_every"),
        ({"callback": "print"}, "callback as a function of a Progress. Received: 'print'"),
        ({"seed": -1}, "seed to be a whole number in 0…4294967295. Received: -1"),
        ({"seed": "a"}, "seed.*Received: 'a'"),
        ({"style_scale": 0}, "style_scale"),
        ({"style_scale": 0.1}, "at least 4 pixels.*style 0 of 3 × 3"),
    ],
)
def test_bad_options_are_refused_before_any_work(model, content, waves, options, message, caplog):
    caplog.set_level("INFO", "cnnlab")
    with pytest.raises(ValueError, match=message):
        stylize(content, waves, model=model, **SMALL | options)
    assert not caplog.records  # what is going to be done is logged before the work


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((1, 30, 3), np.uint8), "of 1 × 3"),
        (np.zeros((30, 30, 4), np.uint8), r"without an alpha channel.*\(30, 30, 4\)"),
        (np.full((30, 30, 3), np.nan, np.float32), "finite"),
        (np.zeros((30, 30, 3, 1), np.uint8), r"shape=\(30, 30, 3, 1\)"),
        (np.zeros((3, 3, 3), np.uint8), "at least 4 pixels"),
    ],
)
def test_bad_pictures_are_refused(model, content, waves, picture, message):
    with pytest.raises(ValueError, match=message):
        stylize(content, picture, model=model, **SMALL | {"size": 32})
    if picture.shape != (3, 3, 3):  # a content is enlarged; a style never is
        with pytest.raises(ValueError, match=message.replace("1 × 3", "1 × 3|1 × 32")):
            stylize(picture, waves, model=model, **SMALL | {"size": 32})


def test_no_style_and_a_missing_file(model, content):
    with pytest.raises(ValueError, match="at least one style"):
        stylize(content, [], model=model, **SMALL)
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        stylize(content, "absent.png", model=model, **SMALL)
    with pytest.raises(FileNotFoundError, match=r"'content', 'noise', 'statistics'.*init='nosise'"):
        stylize(content, content, model=model, init="nosise", **SMALL)


def test_networks_that_are_no_vgg_are_refused(content, waves, model):
    nested = keras.Sequential([keras.Input((None, None, 3)), model])
    strided = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3, strides=2, name="block1_conv1")]
    )
    with pytest.raises(ValueError, match="flat graph"):
        stylize(content, waves, model=nested, **SMALL)
    with pytest.raises(ValueError, match=r"'block1_conv1' with .* strides=\(2, 2\)"):
        stylize(content, waves, model=strided, **SMALL)


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "OOM"), MemoryError()]
)
@pytest.mark.parametrize(
    ("step", "message", "kept"), [(1, "12 × 16 .*size=8", 16), (5, "24 × 32 .*size=16", 32)]
)
def test_running_out_of_memory_says_what_to_do_and_keeps_what_there_is(
    model, content, waves, step, message, kept, error
):
    """It may happen at any size; the advice is about that one."""

    def exhaust(progress):
        if progress.step == step:
            raise error

    options = SMALL | {"pyramid": 2, "pyramid_ratio": 2}
    options |= {"callback": exhaust, "callback_every": 1}
    with pytest.raises(MemoryError, match=f"{message}; ") as caught:
        stylize(content, waves, model=model, **options)
    assert caught.value.result.image.shape[1] == kept
    assert len(caught.value.result.history["total"]) == step


def test_what_is_given_is_left_as_it_was(model, content, waves):
    weights, before = [w.copy() for w in model.get_weights()], (content.copy(), waves.copy())
    stylize(content, waves, model=model, colors="matched", **SMALL)
    np.testing.assert_array_equal(content, before[0])
    np.testing.assert_array_equal(waves, before[1])
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
