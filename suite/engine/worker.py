"""A process that runs cells one after another and reports to its parent over a pipe."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from suite.engine.attempt import Failure, attempt, failure, message_of
from suite.engine.lifetime import end_with_parent, leave_signals_to_parent
from suite.errors import UserError
from suite.planning.cells import Cell
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results.claims import Claim
from suite.results.folder import SINGLES, Lookup, delta_path, work_folder
from suite.results.records import CellKey, Result

if TYPE_CHECKING:
    from suite.engine.cell import Trained
    from suite.engine.shared import Shared
    from suite.engine.workspace import Workspace

REPORT_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class Preparing:
    """A running cell waits for something before its first step."""

    what: str


@dataclass(frozen=True)
class Order:
    """A cell to run."""

    cell: Cell
    trained: bool
    """Whether the float32 delta of its training is there."""
    more: bool
    """Whether a cell of the same training comes next."""
    claim: Claim
    begins: bool
    """Whether the cell before, if there was one, was of another training."""


@dataclass(frozen=True)
class Stepped:
    """A running cell has done `step` of `steps` optimizer steps."""

    step: int
    steps: int


@dataclass(frozen=True)
class Continued:
    """A running cell goes on from a checkpoint after `step` optimizer steps."""

    step: int


@dataclass(frozen=True)
class TrainingEnded:
    """What fails from now on is the storing of the running cell."""


@dataclass(frozen=True)
class Finished:
    """A cell is over and its result is on disk, unless it ran out of memory: what comes of that
    depends on what ran beside it."""

    result: Result
    trained: bool
    """Whether its training succeeded."""
    changed: str
    """What it has changed of the things that cells of a process share; empty if nothing."""


@dataclass(frozen=True)
class TakenOver:
    """A cell has no result, because another run has taken its claim."""

    cell: CellKey


@dataclass(frozen=True)
class Unwritable:
    """The files of a cell cannot be written, and so those of no other cell either."""

    reason: str


def work(
    pipe: Connection, registry: Registry, out: Path, device: str, threads: int, offline: bool
) -> None:
    """Run every cell that comes through the pipe until None comes. Entry point of a process."""
    leave_signals_to_parent()
    end_with_parent(pipe)
    own = os.getpid()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # datasets would tell a server of every file of this machine that it loads.
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    from tqdm import tqdm

    from suite.engine import gpu_process
    from suite.engine.announcing import AnnouncingWorkspace
    from suite.engine.cell import Trained
    from suite.engine.checkpoint import remove as remove_checkpoint
    from suite.engine.shared import Shared

    # tqdm's default lock is a semaphore between processes, which would leak if a worker is killed.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        gpu_process.settle_on(device)
    workspace = AnnouncingWorkspace(
        registry, torch.device(device), threads, say=lambda what: pipe.send(Preparing(what))
    )
    shared = Shared(workspace)
    kept: Trained | None = None
    while (order := pipe.recv()) is not None:
        cell = order.cell
        folder = work_folder(out, cell.key)
        if order.begins:
            kept = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _captured(folder / "log.txt"):
                # The cell before, if it is kept, differs from this one in nothing but `store`.
                ready: Trained | Failure = (
                    attempt(partial(_trained, order, workspace, shared, out, pipe))
                    if kept is None
                    else kept
                )
                _end_copy(own)
                held = order.claim.is_held()
                made = _stored(order, ready, workspace, folder) if held else None
                _end_copy(own)
                changed = _changed(shared, failed=isinstance(made or ready, Failure))
                if changed:
                    print(f"changed, so that this process ends: {changed}")  # noqa: T201
                    made = made and _excluded(made, changed)
            succeeded = not isinstance(ready, Failure)
            kept = ready if order.more and not isinstance(ready, Failure) else None
            del ready
            if device.startswith("cuda"):
                gpu_process.free()
            if made is None or not order.claim.is_held():
                pipe.send(TakenOver(cell.key))
                continue
            result = failure(cell, made.status, made.reason) if isinstance(made, Failure) else made
            # On disk before the parent hears of it: what it has reported is never lost.
            if result.status != "oom":
                result.write(out / SINGLES)
                remove_checkpoint(folder)
        except OSError as error:
            pipe.send(Unwritable(f"{folder}: cannot be written ({error.strerror})"))
        except UserError as error:
            pipe.send(Unwritable(str(error)))
        else:
            pipe.send(Finished(result, succeeded, changed))


def _changed(shared: "Shared", *, failed: bool) -> str:
    """What of all that cells share a cell has changed, in words."""
    try:
        return shared.changed()
    except RuntimeError as error:
        # After some faults nothing can be read from a GPU any more: the cell's failure tells why.
        if not failed:
            raise
        return f"the state of the device ({message_of(error)})"


def _excluded(made: Result | Failure, changed: str) -> Result | Failure:
    """What becomes of a cell that changed what cells share: none that changed what computes or
    judges its own result has one."""
    if isinstance(made, Failure) or not changed.startswith(
        ("suite.", "the weights", "the answers")
    ):
        return made
    return Failure("failed", f"it changed {changed}, which the cells of a process share")


def _trained(
    order: Order, workspace: "Workspace", shared: "Shared", out: Path, pipe: Connection
) -> "Trained":
    from suite.engine.cell import train_cell, trained_before
    from suite.engine.cell_checks import CellError
    from suite.engine.checkpoint import Checkpoint, training_key

    last = 0.0

    def progress(step: int, steps: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= REPORT_EVERY_SECONDS:
            last = now
            pipe.send(Stepped(step, steps))

    cell = order.cell
    # Loaded before the method's own code runs, and remembered as it is then, loaded or not: what
    # libraries do when they are imported is no doing of the cell.
    try:
        workspace.backbone(cell.key.backbone)
        workspace.tasks(cell)
    finally:
        shared.remember()
    if order.trained:
        exact = cell.key.stored_as(Store.FLOAT32)
        result = Lookup(out, Result).get(exact)
        if result is None:
            raise CellError(f"the result of {exact.label} is gone")
        trained = trained_before(cell, result, delta_path(out, exact), workspace)
    else:
        checkpoint = Checkpoint(
            work_folder(out, cell.key),
            training_key(cell, workspace.device.type),
            lambda step: pipe.send(Continued(step)),
        )
        trained = train_cell(cell, workspace, progress, checkpoint)
    pipe.send(TrainingEnded())
    return trained


def _stored(
    order: Order, trained: "Trained | Failure", workspace: "Workspace", folder: Path
) -> Result | Failure:
    from suite.engine.cell import store_cell

    if isinstance(trained, Failure):
        return trained
    return attempt(partial(store_cell, order.cell, trained, workspace, folder))


@contextlib.contextmanager
def _captured(path: Path) -> Iterator[None]:
    """Send everything the process prints, C libraries included, to a file."""
    # Replacing `sys.stdout` would miss what libraries in C write: they use the descriptors.
    _flush()
    saved = os.dup(1), os.dup(2)
    # A new file: an old one may be another user's, or that of a process that is about to end.
    path.unlink(missing_ok=True)
    with path.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            for descriptor, target in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A cell may have closed the stream, its descriptor, or put something else in its place.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _end_copy(own: int) -> None:
    """End a child that a method has forked and that came back from it, as if it were the worker."""
    if os.getpid() != own:
        os._exit(0)
