"""Errors of many libraries are told apart: what ran out of memory may run again alone."""

from itertools import pairwise

import pytest
import torch

from suite.engine.attempt import attempt
from suite.errors import Diverged, Unsupported, UserError


def raised(*errors):
    """The last one, each caused by the one before."""
    for before, error in pairwise(errors):
        error.__cause__ = before
    return errors[-1]


def own_cause():
    error = ValueError("of itself")
    error.__cause__ = error
    return error


def handled():
    """An error that has nothing to do with the one that was handled before it."""
    error = KeyError("no such name")
    error.__context__, error.__suppress_context__ = MemoryError(), True
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "oom"),
        (raised(torch.OutOfMemoryError("2 GiB"), RuntimeError("could not be captured")), "oom"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "failed"),
        (raised(KeyError("memory"), ValueError("no such name")), "failed"),
        (own_cause(), "failed"),
        (handled(), "failed"),
        (Diverged("the loss is not finite"), "diverged"),
        (Unsupported("no convolutions"), "unsupported"),
        (UserError("there is no such file"), "failed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_status_of_a_cell_says_how_it_ended(error, status, capfd):
    def fail():
        raise error

    ended = attempt(fail)
    assert ended.status == status
    assert str(error)[:20] in ended.reason
    assert ("Traceback" in capfd.readouterr().err) == (status != "unsupported")
