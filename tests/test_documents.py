"""What docs/python.md and docs/quickstart.ipynb say that their code prints, it prints."""

import json

import pytest
from notebook import Notebook
from pages import BLOCK, NOTEBOOK, PAGE, PUBLISHED, differences, workplace

POINTS = 3.0
"""Scores after a few steps differ from processor to processor, by less than this."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, cache, forked):
    with workplace(tmp_path, cache, PUBLISHED):
        yield tmp_path


def run_all(pieces):
    """Run (code, stated) pairs in one namespace; what is stated must be what is printed."""
    notebook = Notebook()
    for code, stated in pieces:
        printed = notebook.run(code)
        wrong = differences(stated, printed, POINTS)
        assert not wrong, f"{code}\n{wrong}"


def test_the_page_on_python_prints_what_it_says(folder):
    pieces = [(block["code"], block["printed"] or "") for block in BLOCK.finditer(PAGE.read_text())]
    assert len(pieces) == PAGE.read_text().count("```python\n")
    run_all(pieces)


def test_the_notebook_prints_what_it_has_stored(folder):
    cells = [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]
    assert all(cell["outputs"] or "class " in "".join(cell["source"]) for cell in cells[1:])
    run_all([("".join(cell["source"]), stated(cell)) for cell in cells])


def stated(cell) -> str:
    texts = [
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in cell["outputs"]
        if output["output_type"] in ("stream", "execute_result")
    ]
    return "".join("".join(text) for text in texts)


def test_a_difference_is_seen():
    assert differences("score  71.25", "score 70.0", POINTS) == ""
    assert "printed: score 75.0" in differences("score  71.25", "score 75.0", POINTS)
    assert "printed: none" in differences("4 ok", "none", POINTS)
    assert "stated: 4 ok" in differences("4 ok\n", "", POINTS)
    assert differences("3 ok", "4 ok", POINTS)
