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
    "results/test_simulated_boards.py",
    "engine/test_pool.py",
    "engine/test_local_executor.py",
    "cli/test_command_line.py",
    "test_door.py",
    "test_readme.py",
    "engine/test_shared.py",
    "cli/test_submit.py",
    "tasks/test_glue_mini.py",
)
"""Files that take longest. They come first, so that no process is still busy with one when the
others have nothing left to do."""


# Before numpy is imported: the processes that share the cores have one thread each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before datasets is: it would look for a server at every file that is read, and wait where none is.
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"


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
def own_files_are_read_once():
    """A registry that a test writes stands before the package's own, of two hundred files, which
    do not change while tests run: each `load` would parse and check them anew, and each plan would
    follow the code of the same methods anew, wherever they were written."""
    from suite.planning import code_cache
    from suite.registry import loader, remembered

    parse, validate, state, current = (
        loader.read, loader.validate, remembered._state, code_cache._current
    )  # fmt: skip
    documents, entries, states, known = {}, {}, {}, {}

    def read(path):
        if not path.is_relative_to(ROOT):
            return parse(path)
        if path not in documents:
            documents[path] = parse(path)
        # What checks find is added to the document.
        return replace(documents[path], problems=[*documents[path].problems])

    def checked(document, kind, adapter):
        if not document.path.is_relative_to(ROOT) or document.problems:
            return validate(document, kind, adapter)
        key = document.path, kind
        if key not in entries:
            found = validate(document, kind, adapter)
            if document.problems:
                return found
            entries[key] = found
        return entries[key]

    def digest(folders):
        found = []
        for folder in folders:
            if folder.is_relative_to(ROOT) and folder not in states:
                states[folder] = state([folder])
            found.append(states[folder] if folder in states else state([folder]))
        return None if None in found else " ".join(found)

    def of_code(methods):
        found = current(methods)
        first = known.setdefault((methods.name, found.files), found)
        found.cells, found.metrics = first.cells, first.metrics
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "read", read)
        patch.setattr(loader, "validate", checked)
        patch.setattr(remembered, "_state", digest)
        patch.setattr(code_cache, "_current", of_code)
        yield


def _work(*arguments):
    from suite.engine.worker import work

    # pytest's stand-ins write elsewhere than to the descriptors that a worker sends to its log.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    work(*arguments)


@pytest.fixture(scope="module")
def forked(request):
    """Workers are forked from this process, which has imported what they need, and not started
    anew, with imports of some seconds in each. What needs real ones runs `shell.suite`."""
    from suite.engine import processes, shared
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
        if not request.module.__name__.endswith("test_shared"):
            # Each worker would list all functions of the libraries, for changes that no cell makes.
            patch.setattr(shared, "WATCHED", ("suite",))
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
