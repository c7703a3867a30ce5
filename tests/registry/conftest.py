"""A registry of the test's own, and nothing else that could be found."""

import pytest
from registries import write_registry


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    """A current directory without a registry of its own."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("SUITE_REGISTRY", raising=False)


@pytest.fixture
def folder(tmp_path):
    return write_registry(tmp_path)
