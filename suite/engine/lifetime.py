"""A worker lives as long as its parent, and what it forks as long as the worker."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

_BATCH_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What a batch system sends to every process of a job that is about to end."""
PARENTS_SIGNALS = (signal.SIGINT, *_BATCH_SIGNALS)


def leave_signals_to_parent() -> None:
    """Called by a worker at its start: its parent alone decides what happens after Ctrl-C, and when
    a batch system ends the job. It has blocked these signals for this process so far."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def set_all(handler: signal.Handlers | Callable[[int, object], None]) -> None:
        for each in _BATCH_SIGNALS:
            signal.signal(each, handler)

    # Not ignored, and unblocked: either would be passed on to children, which are to end if asked.
    set_all(lambda number, frame: None)
    os.register_at_fork(after_in_child=lambda: set_all(signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BATCH_SIGNALS)


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
