"""A notebook that is open in JupyterLab, in a browser: what a test does there, and sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

# What a test does in the page. Where a notebook is open, `book` is its panel's content.
BOOK = "const book = jupyterapp.shell.currentWidget.content;"
CELL_SECONDS, ALL_SECONDS, STOP_SECONDS = 600, 2400, 120  # on a machine that does much else


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
        """Begin to run cells, and return at once; note what the active one shows from now on."""
        self.do(
            """
            window.finished = false;
            window.shown = {pictures: new Set(), texts: new Set()};
            window.observer?.disconnect();
            const area = book.activeCell.outputArea.node;
            window.observer = new MutationObserver(() => {
                area.querySelectorAll('img').forEach(image => shown.pictures.add(image.src));
                shown.texts.add(area.textContent);
            });
            observer.observe(area, {childList: true, subtree: true, attributes: true});
            jupyterapp.commands.execute(argument).then(() => { window.finished = true; });
            """,
            command,
        )

    def shown(self, what: str) -> int:
        """Count the different "pictures" or "texts" that the active cell has shown as it ran."""
        return self.do("return shown[argument].size;", what)

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

    def stop(self, text: str, moment: str) -> list[dict]:
        """Run a cell, and press Stop once a text in its output matches; return its outputs."""
        cell = self.find(text)
        self.go_to(cell)
        self.start("notebook:run-cell")
        output = "book.activeCell.outputArea.node.textContent"
        self.wait_until(f"new RegExp({json.dumps(moment)}).test({output})", CELL_SECONDS)
        self.page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
        self.wait_until("window.finished", STOP_SECONDS)
        return self.cells()[cell]["outputs"]

    def screenshot(self, path: Path) -> None:
        """Save what the reader sees of the active cell's output, from its lower end up."""
        self.do("book.activeCell.outputArea.node.scrollIntoView({block: 'end'});")
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=path)

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
