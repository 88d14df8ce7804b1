"""The HTML pages that notebooks/run.py makes: on a phone, on a dark screen, read aloud."""

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PHONE, DESK = {"width": 420, "height": 800}, {"width": 1280, "height": 900}
# Whatever a notebook may show: pictures, charts, tables, boxes, long lines.
TEXT = """# A title

Prose with `code`, a [link](#Second), and **more**.

# Second

| a | b |
|---|---|
| 1 | 2 |
"""
CODE = """
import numpy as np
from IPython.display import HTML, display
from cnnlab import plots, sources
print("a line of numbers " * 12)  # a comment that is rather long, as long as any that there is
display(HTML(sources.box("Something is missing", "It can be had elsewhere. " * 5)))
display(HTML(f"<table><tr>{'<td>a cell of a wide table</td>' * 12}</tr></table>"))
display(plots.grid(np.full((6, 8, 8, 3), 90, np.uint8), ["one", "two"] * 3, title="Pictures"))
display(plots.board({"": np.full((2, 8, 8, 3), 90, np.uint8)}, ["x", "y"], title="A board"))
plots.lines({"up": ([1, 2], [3, 4])}, xlabel="seconds", ylabel="loss", title='Say "lines" & <more>')
"""


@pytest.fixture(scope="module")
def write_page(tmp_path_factory):
    script = runpy.run_path(str(ROOT / "notebooks" / "run.py"))

    def write(book, name):
        path = tmp_path_factory.mktemp("pages") / f"{name}.html"
        path.write_text(script["page"](book, name), encoding="utf-8")
        return path.as_uri()

    return write


@pytest.fixture(scope="module")
def addresses(write_page):
    """Pages: one of a notebook that has just run, and those of the notebooks as committed."""
    cells = [nbformat.v4.new_markdown_cell(TEXT), nbformat.v4.new_code_cell(CODE)]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book).execute()
    books = {"just run": book}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        books[path.stem] = nbformat.read(path, as_version=4)
    return {name: write_page(book, name) for name, book in books.items()}


NAMES = ["just run", *sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))]


@pytest.fixture(params=NAMES)
def page(request, chromium, addresses):
    """Open a page without a network; nothing may be written to the console."""
    context = chromium.new_context(viewport=DESK, offline=True)
    page = context.new_page()
    page.set_default_timeout(180_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:200]))
    page.goto(addresses[request.param])
    page.name = request.param
    yield page
    context.close()
    assert complaints == []


def test_a_page_fits_a_phone_and_a_desk_in_light_and_in_dark(page, screenshots):
    for size in (PHONE, DESK):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            path = screenshots / f"page, {page.name}, {size['width']} px, {scheme}.png"
            page.screenshot(path=path, full_page=page.name == "just run")
    lines = page.evaluate(
        "[...document.querySelectorAll('.jp-RenderedMarkdown p')].map(p => p.clientWidth)"
    )
    assert 300 < max(lines) < 760


def test_a_figure_grows_where_it_is_tapped_on_a_phone(page):
    page.set_viewport_size(PHONE)
    figure = page.locator(".jp-RenderedImage").first
    before = figure.locator("img").bounding_box()["width"]
    figure.click()
    assert before < PHONE["width"] < 500 < figure.locator("img").bounding_box()["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_every_picture_of_a_page_has_a_description(page):
    texts = page.evaluate("[...document.images].map(image => image.alt)")
    if page.name == "just run":
        assert texts[0] == "Pictures. Pictures: one; two"
        assert texts[2] == 'Say "lines" & <more>. Chart: loss against seconds'
    assert all(texts)
    assert len(texts) > 2


def test_a_page_lists_its_sections(page):
    links = page.evaluate(
        "[...document.querySelectorAll('nav a')].map(a => decodeURI(a.hash.slice(1)))"
    )
    headings = page.evaluate("[...document.querySelectorAll('h1')].map(heading => heading.id)")
    assert links == headings[1:] != []


def test_axe_finds_nothing_serious(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = {node["html"][:100] for node in violation["nodes"]}
                found.append((scheme, violation["id"], sorted(nodes)[:9]))
    assert found == []
