"""A notebook to run in, without a notebook."""

import types

import pytest

from cnnlab import _notebook


class Notebook:
    """A kernel's shell, and what is shown below its cells.

    Attributes:
        shown: The texts of the line, each as it was shown.
        lines: How many lines there are.
    """

    def __init__(self):
        self.kernel, self.shown, self.lines, self.hooks = object(), [], 0, []
        self.events = types.SimpleNamespace(register=self._register)

    def _register(self, event, function):
        assert event == "pre_run_cell"
        if function not in self.hooks:
            self.hooks.append(function)

    def display(self, line, *, display_id):
        self.lines += 1
        self.update(line)
        return self

    def update(self, line):
        self.shown.append(repr(line))

    def next_cell(self):
        for function in self.hooks:
            function(None)


@pytest.fixture
def notebook(monkeypatch):
    fake = Notebook()
    monkeypatch.setattr("IPython.get_ipython", lambda: fake)
    monkeypatch.setattr("IPython.display.display", fake.display)
    monkeypatch.setattr(_notebook, "SECONDS_A_LINE", 0.0)
    yield fake
    fake.next_cell()
