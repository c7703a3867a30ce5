"""Makes the helpers in this folder (`tiny.py`) importable from every test."""

import gc
import importlib
import multiprocessing
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = (
    "methods/test_contracts.py",
    "planning/test_cell_code.py",
    "contract/test_contract.py",
    "test_documents.py",
    "contract/test_networks.py",
    "cli/test_tune.py",
    "export/test_exported_models.py",
    "engine/test_pool.py",
    "engine/test_local_executor.py",
    "cli/test_command_line.py",
    "test_door.py",
)
"""Files that take longest. They come first, so that no process is still busy with one when the
others have nothing left to do."""


# xdist's controller runs no test: what needs torch, whose import takes seconds, is imported later.


def pytest_configure(config):
    """Tests start from an empty cache: a user's may know networks that were given once."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="suite-cache-")
        config.add_cleanup(folder.cleanup)
        os.environ["XDG_CACHE_HOME"] = folder.name
        # The list of fonts is the same in the empty caches that tests make for themselves.
        os.environ["MPLCONFIGDIR"] = str(Path(folder.name, "matplotlib"))


def pytest_collection_modifyitems(items):
    """Order the files; see `LONGEST`."""
    folder = Path(__file__).parent
    order = {folder / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session", autouse=True)
def economy():
    """One thread for each of the processes that share the cores, and no search for garbage among
    the objects that all tests need."""
    import torch

    torch.set_num_threads(1)
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_files_are_parsed_once():
    """A registry that a test writes stands before the package's own, of two hundred files, which
    each `load` would parse anew. They are still read, and checked, each time."""
    from suite.registry import loader

    parse = loader.read
    documents = {}

    def read(path):
        if not path.is_relative_to(ROOT):
            return parse(path)
        key = path, path.read_bytes()
        if key not in documents:
            documents[key] = parse(path)
        # What checks find is added to the document.
        return replace(documents[key], problems=[*documents[key].problems])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "read", read)
        yield


def _work(*arguments):
    from suite.engine.worker import work

    # pytest's stand-ins write elsewhere than to the descriptors that a worker sends to its log.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    work(*arguments)


@pytest.fixture(scope="module")
def forked():
    """Workers are forked from this process, which has imported what they need, and not started
    anew, with imports of some seconds in each. What needs real ones runs `shell.suite`."""
    from suite.engine import processes
    from suite.engine.devices import resolve_device

    with pytest.MonkeyPatch.context() as patch:
        # A process cannot use a GPU that the one it was forked from may have used.
        if resolve_device("auto") == "cpu":
            for module in ("suite.engine.announcing", "timm", "transformers.models.auto"):
                importlib.import_module(module)
            context = multiprocessing.get_context("fork")
            stand_in = SimpleNamespace(get_context=lambda kind: context)
            patch.setattr(processes, "multiprocessing", stand_in)
            patch.setattr(processes, "work", _work)
        yield


@pytest.fixture
def start(forked):
    """Starts a command in a process that is forked from this one; see `shell.Command`."""
    from shell import Command

    importlib.import_module("suite.leaderboards")
    started = []

    def start(*words):
        started.append(Command(*words))
        return started[-1]

    yield start
    for command in started:
        command.close()
