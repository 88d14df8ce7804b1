"""data/make_painter.py: every style keeps as much of the content, and the file paints."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_vgg import blobs, small_vgg

from cnnlab import style

DATA = Path(__file__).parent.parent / "data"
sys.path.insert(0, str(DATA))
import make_painter as script  # noqa: E402

FORM = {"styles": len(script.NAMES), "widths": [4, 6, 8], "blocks": 1}


@pytest.fixture(scope="module")
def judge():
    return small_vgg(3, {"block1": (8,), "block2": (12,)})


@pytest.fixture(scope="module")
def begun(judge):
    """A lesson, a step of it, and the state that each test begins with."""
    looks = list(blobs(len(script.NAMES), 48, seed=5))
    layers = {"content_layers": "block2_conv1", "style_layers": ["block1_conv1", "block2_conv1"]}
    loss = style.PerceptualLoss(looks, size=48, model=judge, **layers)
    keras.utils.set_random_seed(0)
    painter = style.painter_network((16, 16, 3), **FORM)
    lesson = script.Lesson(painter, loss, keras.optimizers.Adam(5e-3), content=0.3, pace=0.05)
    return lesson, lesson.step(jit=False), [np.array(variable) for variable in lesson.state]


@pytest.fixture
def lesson(begun):
    lesson, _, state = begun
    for variable, array in zip(lesson.state, state, strict=True):
        variable.assign(array)
    return lesson


@pytest.fixture
def step(lesson, begun):
    return begun[1]


def test_a_style_that_leaves_the_content_alone_gets_more_weight_and_one_that_loses_it_less(
    lesson, step
):
    count = len(script.NAMES)
    pictures, styles = tf.constant(blobs(count, 16), tf.float32), tf.range(count)
    before = lesson.style_weights.numpy()
    content = step(pictures, styles).numpy()[:, 0]
    assert (content < 0.3).all()  # untrained it shows the picture
    assert (lesson.style_weights.numpy() > before).all()
    lesson.painter.get_layer("palette").set_weights([np.full((count, 3), 9.0)])  # all white
    before = lesson.style_weights.numpy()
    assert (step(pictures, styles).numpy()[:, 0] > 0.3).all()
    assert (lesson.style_weights.numpy() < before).all()


def test_only_the_style_that_was_painted_moves_its_weight(lesson, step):
    count = len(script.NAMES)
    step(tf.constant(blobs(count, 16), tf.float32), tf.fill([count], 3))
    moved = lesson.balance.numpy() != 0
    np.testing.assert_array_equal(np.flatnonzero(moved), [3])


def test_a_few_steps_bring_every_style_nearer_and_a_checkpoint_holds_them(lesson, step, tmp_path):
    count = len(script.NAMES)
    pictures, styles = tf.constant(blobs(count, 16), tf.float32), tf.range(count)
    terms = [step(pictures, styles).numpy() for _ in range(40)]
    assert (terms[-1][:, 1] < 0.9 * terms[0][:, 1]).all()
    script.save(tmp_path / "c.npz", lesson, step=40, spent=7.5)
    kept = [np.asarray(variable).copy() for variable in lesson.state]
    step(pictures, styles)
    assert script.restore(tmp_path / "c.npz", lesson) == (40, 7.5)
    for variable, array in zip(lesson.state, kept, strict=True):
        np.testing.assert_array_equal(variable, array)


def test_xla_takes_pictures_as_an_argument_else_it_would_compile_anew_for_each_batch(lesson):
    count = len(script.NAMES)
    pictures, styles = tf.constant(blobs(count, 16), tf.float32), tf.range(count)
    ir = lesson.step(jit=True).experimental_get_compiler_ir(pictures, styles)
    arguments = ir(stage="hlo").split("entry_computation_layout={(")[1].split(")->")[0]
    assert f"f32[{count},16,16,3]" in arguments
    assert f"s32[{count}]" in arguments


@pytest.mark.slow
def test_the_script_stops_goes_on_and_writes_a_painter(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "table.npy", blobs(40, 48))
    command = (
        f"script --photographs {tmp_path}/table.npy --out {tmp_path}/p.npz --side 32 --each 1 "
        f"--widths 4 6 8 --blocks 1 --log-every 1 --held-out 8 --style-size 48"
    )
    monkeypatch.setattr(sys, "argv", [*command.split(), "--minutes", "60", "--stop-after", "0.1"])
    assert script.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["finished"] is False
    stopped = max(line.get("step", 0) for line in lines)
    command += f" --minutes 0.02 --resume --proof {tmp_path}/proof.png"
    monkeypatch.setattr(sys, "argv", command.split())
    assert script.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (resumed,) = (line for line in lines if "resumed" in line)
    assert resumed["step"] == stopped > 0
    (facts,) = (line for line in lines if "file_mb" in line)
    assert facts["steps"] >= stopped
    measured = facts["content_and_style"]
    for name in script.NAMES:  # 8 bits change little
        np.testing.assert_allclose(measured["packed"][name], measured["after"][name], rtol=0.1)
    assert (tmp_path / "proof.png").stat().st_size > 10_000
    assert style.painter_styles(tmp_path / "p.npz") == tuple(script.NAMES)
    picture = blobs(1, 48)[0]
    painted = style.paint(picture, "glass", size=None, weights=tmp_path / "p.npz")
    assert painted.shape == picture.shape
