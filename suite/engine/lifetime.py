"""A worker lives as long as its parent, and what it forks as long as the worker."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection

_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def end_with_parent(pipe: Connection) -> None:
    """Called by a worker at its start: it ends with its parent, in a group of its own, and what it
    forks ends with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    _end_with_parent()
    if os.getppid() != parent.pid:
        os._exit(1)  # it had ended before that

    def in_child() -> None:
        _end_with_parent()
        # A child answers for no cell, and does not keep the pipe open when its parent has ended.
        pipe.close()

    os.register_at_fork(after_in_child=in_child)


def _end_with_parent() -> None:
    """Let the kernel end this process when the one that started it ends; the guard does it where
    the kernel is another one than Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
