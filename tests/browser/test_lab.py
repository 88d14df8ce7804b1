"""The notebooks as their reader meets them: in JupyterLab, in a browser, with a keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab import Lab

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(chromium, lab_address):
    """Open notebooks by their names; end their kernels afterwards."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(180_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def open_notebook(name: str) -> Lab:
        page.goto(lab_address.format(name))
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
            "?.status === 'idle'",
            timeout=180_000,
        )
        return Lab(page)

    yield open_notebook
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()
    assert complaints == []


def words(outputs: list[dict]) -> list[str]:
    """Collect what the figures among some outputs say to who can't see them."""
    metadata = [kind for output in outputs for kind in output.get("metadata", {}).values()]
    return [kind["alt"] for kind in metadata if "alt" in kind]


def texts(outputs: list[dict]) -> str:
    """Join the texts and tables among some outputs."""
    data = [{"text/plain": output.get("text", "")} | output.get("data", {}) for output in outputs]
    parts = [each.get("text/html", each["text/plain"]) for each in data]
    return "".join("".join(part) for part in parts)


def settings_of(name: str, outputs: list[dict]) -> list[str]:
    """List what the log's table says of the runs of a name."""
    return re.findall(rf">{name}</td><td[^>]*>([^<]*)<", texts(outputs))


def pictures(outputs: list[dict]) -> list[str]:
    """Collect the figures among some outputs, as files in base64."""
    data = [data for output in outputs for data in output.get("data", {}).items()]
    return [file for kind, file in data if kind in ("image/png", "image/jpeg")]


def run_all(lab: Lab, parameters: dict[str, str], screenshot: Path) -> None:
    for name, value in parameters.items():
        lab.type_parameter(name, value)
    lab.run_all()
    lab.screenshot(screenshot)
    assert lab.errors() == []
    assert lab.broken_pictures() == []


def test_the_first_notebook_is_run_changed_and_stopped(opened, screenshots):
    lab = opened("01_cifar10_cnn_from_scratch.ipynb")
    presets, training = "PRESETS = {", 'rung("plain CNN"'
    small = {
        "PRESET": '"quick"', "DATASET": '"shapes10"', "TRAIN_PICTURES": "1000",
        "VAL_PICTURES": "500", "EPOCHS": "2", "CNN_WIDTHS": "(8, 8, 8)", "WIDTHS": "(8, 16)",
    }  # fmt: skip
    run_all(lab, small, screenshots / "1 run.png")

    assert words(lab.run(training)) == []  # the same run again: nothing to compare it with
    assert lab.shown("texts") > 2  # a line that keeps up
    lab.type_parameter("LEARNING_RATE", "0.01")
    after = lab.run("PRESET = ", presets, training)
    lab.screenshot(screenshots / "1 changed.png")
    assert {"plain CNN lr=0.002", "plain CNN lr=0.01"} <= set(words(after)[0].split("; "))

    lab.type_parameter("EPOCHS", "100")
    lab.run("PRESET = ", presets)
    kept = lab.stop(training, r"epoch ([3-9]|\d\d)/100")
    lab.screenshot(screenshots / "1 stopped.png")
    assert lab.errors() == []
    assert "stopped in epoch" in texts(kept)
    assert "epochs=100" in words(kept)[0]


def test_the_second_notebook_is_run_changed_and_stopped(opened, screenshots):
    lab = opened("02_vgg16_transfer_learning.ipynb")
    presets, training = "PRESETS = {", "moved, tuned, last_run"
    table, scores = "tuned = {seed: weights", 'looks = {"one view"'
    small = {
        "PRESET": '"quick"', "DATASET": '"shapes10"', "WEIGHTS": '"shipped"',
        "TRAIN_PICTURES": "200", "VAL_PICTURES": "50", "TEST_PICTURES": "80", "PAINT_STEPS": "3",
        "SIZES": "(32,)", "PROBE_EPOCHS": "5", "SHARE_STEPS": "{1.0: [1]}",
        "SHARE_RATES": "(0.04,)",
    }  # fmt: skip
    run_all(lab, small, screenshots / "2 run.png")

    lab.type_parameter("RATES", '{"head": 0.15, "blocks 4 and 5": 0.03, "all": 0.005}')
    after = lab.run("PRESET = ", presets, training, table)
    lab.screenshot(screenshots / "2 changed.png")
    both = ["epochs 1, rate 0.01, seed 0", "epochs 1, rate 0.005, seed 0"]
    assert settings_of("all", after) == both

    lab.type_parameter("STAGE_EPOCHS", "(1, 1, 100)")
    lab.run("PRESET = ", presets)
    kept = lab.stop(training, r"epoch [2-9]/100")
    lab.screenshot(screenshots / "2 stopped.png")
    assert "stopped in epoch" in texts(kept)
    after = lab.run(table)
    assert "epochs 100, rate 0.005, seed 0" in settings_of("all", after)[-1]
    assert "(stopped)" in texts(after)
    assert "test, one view" in texts(lab.run(scores))
    assert lab.errors() == []


def test_the_third_notebook_is_run_changed_and_stopped(opened, screenshots):
    lab = opened("03_neural_style_transfer.ipynb")
    presets, painting, last_step = "PRESETS = {", "first = stylized(CONTENT", 'sizes = {f"'
    small = {
        "PRESET": '"quick"', "WEIGHTS": '"shipped"', "HAND_SIZE": "48", "HAND_STEPS": "8",
        "SIZE": "64", "STEPS": "5", "LARGE_SIZE": "96", "NETWORK_STEPS": "16",
    }  # fmt: skip
    run_all(lab, small, screenshots / "3 run.png")

    before = pictures(lab.run(painting, last_step))
    assert len(pictures(lab.run(painting))) == 1
    assert lab.shown("pictures") > 2  # a figure that keeps up
    assert pictures(lab.run(last_step)) == before  # the same picture again
    lab.type_parameter("STYLE_WEIGHT", "60")
    after = pictures(lab.run("PRESET = ", presets, painting, last_step))
    lab.screenshot(screenshots / "3 changed.png")
    assert len(before) == len(after) == 1
    assert after != before

    lab.type_parameter("STEPS", "1000")
    lab.run("PRESET = ", presets)
    kept = lab.stop(painting, r"step \d\d\d of 1000")
    lab.screenshot(screenshots / "3 stopped.png")
    assert "stopped after" in texts(kept)
    assert pictures(lab.run(last_step)) not in ([], before, after)
    assert lab.errors() == []
