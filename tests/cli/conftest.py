"""A small registry to run commands on, in a folder of the test's own."""

from pathlib import Path

import pytest
from registries import write_registry

import suite
from suite.cli.main import main
from suite.leaderboards import plot

PLOTS: dict[str, bytes | None] = {}
"""Of boards that hold published numbers alone."""


@pytest.fixture(autouse=True)
def published_plots(monkeypatch):
    """What is published comes with the package: its plots are the same in every test, take seconds,
    and are drawn once."""
    draw = plot.render

    def render(board):
        if board.rows:
            return draw(board)
        key = repr((board.name, board.published))
        if key not in PLOTS:
            PLOTS[key] = draw(board)
        return PLOTS[key]

    monkeypatch.setattr(plot, "render", render)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SUITE_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(suite.__file__).parent.parent))
    folder = write_registry(tmp_path / "registry")
    monkeypatch.setenv("SUITE_REGISTRY", str(folder))
    return folder


@pytest.fixture
def call(folder, capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
