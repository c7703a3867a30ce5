"""A process that runs cells one after another and reports to its parent over a pipe."""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from suite.console import one_line
from suite.engine.lifetime import end_with_parent, leave_signals_to_parent
from suite.errors import Diverged, Unsupported, UserError
from suite.planning.cells import Cell
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results.claims import Claim
from suite.results.folder import SINGLES, Lookup, delta_path, work_folder
from suite.results.records import CellKey, Result, Status

if TYPE_CHECKING:
    from suite.engine.cell import Trained
    from suite.engine.shared import Shared
    from suite.engine.workspace import Workspace

T = TypeVar("T")
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
class Failure:
    """Why a part of a cell came to no end."""

    status: Status
    reason: str


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
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    from tqdm import tqdm

    from suite.engine.announcing import AnnouncingWorkspace
    from suite.engine.cell import Trained
    from suite.engine.checkpoint import remove as remove_checkpoint
    from suite.engine.shared import Shared

    # tqdm's default lock is a semaphore between processes, which would leak if a worker is killed.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        # Images of a task have one size, so that cuDNN's trials for each shape pay off.
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
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
                    _attempt(partial(_trained, order, workspace, shared, out, pipe))
                    if kept is None
                    else kept
                )
                _end_copy(own)
                held = order.claim.is_held()
                made = _stored(order, ready, workspace, folder) if held else None
                _end_copy(own)
                changed = shared.changed()
                if changed:
                    print(f"changed, so that this process ends: {changed}")  # noqa: T201
                    made = made and _excluded(made, changed)
            succeeded = not isinstance(ready, Failure)
            kept = ready if order.more and not isinstance(ready, Failure) else None
            del ready
            if device.startswith("cuda"):
                torch.cuda.empty_cache()  # cells of other processes may need this memory
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
    return _attempt(partial(store_cell, order.cell, trained, workspace, folder))


def _attempt(function: Callable[[], T]) -> T | Failure:
    """What a part of a cell gives, or how it failed; the traceback goes to the log."""
    import torch

    from suite.engine.cell_checks import CellError

    def failed(status: Status, error: BaseException) -> Failure:
        if status != "unsupported":
            with contextlib.suppress(OSError, ValueError):  # the log may have been closed
                traceback.print_exc()
        reason = " ".join(_message(error).split()) or type(error).__name__
        if not isinstance(error, UserError | Unsupported | Diverged | CellError):
            reason = f"{type(error).__name__}: {reason}"
        return Failure(status, reason)

    try:
        return function()
    except Unsupported as error:
        return failed("unsupported", error)
    except Diverged as error:
        return failed("diverged", error)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return failed("oom", error)
    except Exception as error:
        # "DefaultCPUAllocator: can't allocate memory" is a plain RuntimeError.
        return failed("oom" if "allocate memory" in _message(error) else "failed", error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be read"


def failure(cell: Cell, status: Status, reason: str, log_of: Cell | None = None) -> Result:
    """The result of a cell that produced none: its status and the reason. `log_of` is the cell
    whose log tells more, if it is another one."""
    log = work_folder(Path(), (log_of or cell).key) / "log.txt"
    return Result(
        cell=cell.key,
        identity=cell.identity,
        status=status,
        # A name of a file need not be text, and a message is shortened before it is escaped.
        reason=one_line(reason[:500])[:500],
        log="" if status == "unsupported" else str(log),
        recipe=cell.recipe,
        options=dict(cell.options),
    )


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
