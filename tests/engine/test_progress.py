"""What is shown while cells run."""

import io

import pytest

from suite.engine import progress
from suite.engine.progress import LiveProgress, Progress, time_left
from suite.planning.cells import Cell
from suite.results.records import CellKey, Identity, Result


def cell(seed):
    key = CellKey(
        method="taps", backbone="bert_mini", scale="mini", track="glue", tasks=("rte",), seed=seed
    )
    identity = Identity(
        schema_version=2, method="", recipe="", tasks={}, backbone="", seed=seed, digest=""
    )
    return Cell(key, None, {}, identity)


def failed(item):
    return Result(cell=item.key, identity=item.identity, status="failed", reason="boom")


@pytest.mark.parametrize(
    ("elapsed", "done", "cells", "words"),
    [
        (10, 0, 4, ""),
        (10, 4, 4, ""),
        (10, 1, 4, "about 30 s left"),
        (0.1, 1, 2, "about 1 s left"),
        (60, 2, 8, "about 3 min left"),
        (3600, 1, 3, "about 2.0 h left"),
    ],
)
def test_the_time_left_is_that_of_finished_cells(elapsed, done, cells, words):
    assert time_left(elapsed, done, cells) == words


def test_a_pipe_gets_a_line_a_cell_that_says_how_long_is_left(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    first, second = cell(0), cell(1)
    with Progress(2) as shown:
        shown.started(first)
        shown.preparing(first, "loading bert_mini")
        now = 105.0
        shown.finished(failed(first))
        shown.finished(failed(second))
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] taps  glue/rte  bert_mini  seed 0  failed: boom  about 5 s left",
        "[2/2] taps  glue/rte  bert_mini  seed 1  failed: boom",
    ]


def test_a_terminal_says_what_a_cell_waits_for_before_its_first_step():
    from rich.console import Console

    shown, item = LiveProgress(2), cell(0)

    def screen():
        console = Console(file=io.StringIO(), width=120)
        console.print(shown.bars.get_renderable())
        return console.file.getvalue()

    shown.started(item)
    assert "starting" in screen()
    shown.preparing(item, "loading bert_mini")
    assert "loading bert_mini" in screen()
    shown.preparing(item, "reading rte")
    assert "loading" not in screen()
    shown.stepped(item, 40, 100)
    assert "step 40 of 100" in screen()
    assert "reading" not in screen()
    assert "0 of 2" in screen()
    shown._print = lambda line: None
    shown.finished(failed(item))
    assert "1 of 2, about 1 s left" in screen()
