"""A small registry to run commands on, in a folder of the test's own."""

from pathlib import Path

import pytest
from registries import write_registry

import suite
from suite.cli.main import main


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
