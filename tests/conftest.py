"""Makes the helpers in this folder (`tiny.py`) importable from every test."""

import importlib
import multiprocessing
import os
import sys
import tempfile
from types import SimpleNamespace

import pytest
import torch

from suite.engine import processes, worker
from suite.engine.devices import resolve_device

torch.set_num_threads(1)


def pytest_configure(config):
    """Tests start from an empty cache: a user's may know networks that were given once."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="suite-cache-")
        config.add_cleanup(folder.cleanup)
        os.environ["XDG_CACHE_HOME"] = folder.name


def _work(*arguments):
    # pytest's stand-ins write elsewhere than to the descriptors that a worker sends to its log.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    worker.work(*arguments)


@pytest.fixture(scope="module")
def forked():
    """Workers are forked from this process, which has imported what they need, and not started
    anew, with imports of some seconds in each. What needs real ones runs `shell.suite`."""
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
