"""Worker processes: how they start, and how they and all that they started end."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import ModuleType

from suite.engine.lifetime import PARENTS_SIGNALS
from suite.engine.settings import Settings
from suite.engine.worker import Order, work
from suite.registry import Registry

PATIENCE_SECONDS = 5.0
"""How long an idle worker may take to end by itself."""

_GUARD = """
import os, signal, sys

groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for end in (os.killpg, os.kill):
    for group in groups:
        try:
            end(group, signal.SIGKILL)
        except OSError:
            pass
"""


class Guard:
    """A small process that outlives this one, and then ends what its workers have left running.

    A worker cannot be trusted with that: it may hold the interpreter's lock, and what it has
    started does not know of this process.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not meant for it
        )

    def watch(self, process: int) -> None:
        """End the process, and its group, with this one."""
        self._tell(f"+{process}")

    def forget(self, process: int) -> None:
        """The process and its group have ended."""
        self._tell(f"-{process}")

    def stop(self) -> None:
        """End the guard, and every group that it still watches."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # somebody has ended it
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


@dataclass(eq=False)
class Worker:
    """A process that computes cells, and the pipe to it."""

    process: SpawnProcess
    pipe: Connection
    guard: Guard

    def is_alive(self) -> bool:
        """Whether the process runs, whatever it has started."""
        return self.process.is_alive()

    def order(self, order: Order) -> None:
        """Send a cell to compute. That a worker is dead is noticed when it is listened to."""
        with contextlib.suppress(OSError):
            self.pipe.send(order)

    def dismiss(self) -> None:
        """Tell the worker that there are no more cells."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def end(self, patience: float = 0.0) -> None:
        """End the worker and all that it has started, after so many seconds at the latest."""
        self.process.join(patience)
        assert self.process.pid
        # A group keeps its number as long as a process is in it, and this one is not yet forgotten.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.guard.forget(self.process.pid)
        self.pipe.close()


def start_worker(
    registry: Registry, settings: Settings, device: str, threads: int, guard: Guard
) -> Worker:
    """Start a worker process that waits for cells."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(
        target=work,
        args=(theirs, registry, settings.out, device, threads, settings.offline),
        daemon=True,
    )
    # A terminal sends Ctrl-C to every process of the group. Until `work` leaves it, a starting
    # interpreter would print a traceback. A child inherits the signal mask of the thread that
    # starts it, so signals are blocked here around `start` alone; what arrives meanwhile stays
    # pending and is delivered to this process once the mask is restored.
    # Starting the resource tracker unblocks SIGINT, so it must already run by then.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
    # A spawned process imports the parent's main script again, so that it can unpickle what the
    # script defines. No cell needs that, and a script without a `__main__` guard would start this
    # run anew in every worker: during `start` the main module is an empty one.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
        assert process.pid
        guard.watch(process.pid)
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # With this copy closed, the worker holds the only one: its death is the end of the pipe here.
    theirs.close()
    return Worker(process, pipe, guard)
