"""The notebooks as their reader meets them: in JupyterLab, in a browser, with a keyboard."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.browser

# What a test does in the page. Where a notebook is open, `book` is its panel's content.
BOOK = "const book = jupyterapp.shell.currentWidget.content;"
CELL_SECONDS, ALL_SECONDS = 240, 1200


class Lab:
    """A notebook that is open in a browser.

    Cells are changed by the keyboard and interrupted by the button. What a robot finds less surely
    than a reader, such as the menu entry that runs all cells, goes by JupyterLab's own commands.
    """

    def __init__(self, page) -> None:
        self.page = page

    def do(self, code: str, argument: object = None) -> object:
        return self.page.evaluate(f"async (argument) => {{ {BOOK} {code} }}", argument)

    def wait_until(self, condition: str, seconds: float) -> None:
        check = f"() => {{ {BOOK} return {condition}; }}"
        self.page.wait_for_function(check, timeout=1000 * seconds, polling=250)

    def cells(self) -> list[dict]:
        return self.do("return book.model.toJSON().cells;")

    def find(self, text: str) -> int:
        """Return the place of the only code cell that contains a text."""
        found = [
            i
            for i, cell in enumerate(self.cells())
            if cell["cell_type"] == "code" and text in "".join(cell["source"])
        ]
        assert len(found) == 1, f"{len(found)} code cells contain {text!r}"
        return found[0]

    def go_to(self, cell: int) -> None:
        self.do("book.activeCellIndex = argument; await book.scrollToItem(argument);", cell)

    def type_parameter(self, name: str, value: str) -> None:
        """Select a parameter's value in the second code cell, and type another."""
        cell = self.find("PRESET = ")
        source = self.source(cell)
        old = re.search(rf"^{name} = (.*?)(?=  #|$)", source, re.MULTILINE)
        self.go_to(cell)
        self.do(
            """
            book.mode = 'edit';
            const editor = book.activeCell.editor;
            const [start, end] = argument.map(place => editor.getPositionAt(place));
            editor.setSelection({start, end});
            editor.focus();
            """,
            list(old.span(1)),
        )
        self.page.keyboard.type(value)
        self.page.keyboard.press("Escape")
        start, end = old.span(1)
        assert self.source(cell) == source[:start] + value + source[end:]

    def source(self, cell: int) -> str:
        return "".join(self.cells()[cell]["source"])

    def start(self, command: str) -> None:
        """Begin to run cells, and return at once."""
        self.do(
            """
            window.finished = false;
            jupyterapp.commands.execute(argument).then(() => { window.finished = true; });
            """,
            command,
        )

    def run_all(self) -> None:
        self.start("notebook:run-all-cells")
        self.wait_until("window.finished", ALL_SECONDS)

    def run(self, *texts: str) -> list[dict]:
        """Run the cells that contain some texts, one after the other; return the last's outputs."""
        for text in texts:
            cell = self.find(text)
            self.go_to(cell)
            self.start("notebook:run-cell")
            self.wait_until("window.finished", CELL_SECONDS)
        return self.cells()[cell]["outputs"]

    def press_stop(self) -> None:
        self.page.locator('[data-command="notebook:interrupt-kernel"]').first.click()

    def errors(self) -> list[str]:
        """List what is red: errors, and texts on stderr."""
        outputs = [output for cell in self.cells() for output in cell.get("outputs", [])]
        errors = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        return errors + ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]

    def broken_pictures(self) -> list[tuple[int, str]]:
        """List the cells whose figures are not to be seen when the reader comes to them."""
        broken = []
        for i, cell in enumerate(self.cells()):
            kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
            if kinds & {"image/png", "image/jpeg"}:
                self.go_to(i)
                seen = f"[...book.widgets[{i}].node.querySelectorAll('.jp-OutputArea img')]"
                ready = (
                    f"(pictures => pictures.length && pictures.every(p => p.naturalWidth))({seen})"
                )
                try:
                    self.wait_until(ready, 60)
                except Exception as error:
                    broken.append((i, str(error)[:100]))
        return broken


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


def shown(outputs: list[dict]) -> str:
    """Join the texts and tables among some outputs."""
    parts = [output.get("text", "") for output in outputs]
    parts += [output.get("data", {}).get("text/html", "") for output in outputs]
    return "".join("".join(part) for part in parts)


def test_the_first_notebook_is_run_changed_and_stopped(opened, screenshots):
    lab = opened("01_cifar10_cnn_from_scratch.ipynb")
    presets, training = "PRESETS = {", 'rung("plain CNN"'
    small = {"PRESET": '"quick"', "DATASET": '"shapes10"', "TRAIN_PICTURES": "1000", "EPOCHS": "2"}
    for name, value in small.items():
        lab.type_parameter(name, value)
    lab.run_all()
    lab.page.screenshot(path=screenshots / "1 run.png")
    assert lab.errors() == []
    assert lab.broken_pictures() == []

    assert words(lab.run(training)) == []  # the same run again: nothing to compare it with
    lab.type_parameter("LEARNING_RATE", "0.01")
    after = lab.run("PRESET = ", presets, training)
    lab.page.screenshot(path=screenshots / "1 changed.png")
    assert {"plain CNN lr=0.002", "plain CNN lr=0.01"} <= set(words(after)[0].split("; "))

    lab.type_parameter("EPOCHS", "50")
    lab.run("PRESET = ", presets)
    lab.go_to(lab.find(training))
    lab.start("notebook:run-cell")
    lab.wait_until("book.activeCell.outputArea.node.textContent.includes('epoch 3/50')", 120)
    lab.press_stop()
    lab.wait_until("window.finished", 30)
    lab.page.screenshot(path=screenshots / "1 stopped.png")
    assert lab.errors() == []
    kept = lab.cells()[lab.find(training)]["outputs"]
    assert "stopped in epoch" in shown(kept)
    assert "epochs=50" in words(kept)[0]
