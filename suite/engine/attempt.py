"""What becomes of a cell whose training or storing ends in an error."""

import contextlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from suite.console import one_line
from suite.errors import Diverged, Unsupported, UserError
from suite.planning.cells import Cell
from suite.results.folder import work_folder
from suite.results.records import Result, Status

T = TypeVar("T")
_SHORTAGE = ("allocate memory", "out of memory", "ALLOC_FAILED")
"""Words of errors that are of no type of their own: torch's on a CPU, CUDA's, and those of its
libraries."""


@dataclass(frozen=True)
class Failure:
    """Why a part of a cell came to no end."""

    status: Status
    reason: str


def attempt(function: Callable[[], T]) -> T | Failure:
    """What a part of a cell gives, or how it failed; the traceback goes to the log."""

    from suite.engine.cell_checks import CellError

    def failed(status: Status, error: BaseException) -> Failure:
        if status != "unsupported":
            with contextlib.suppress(OSError, ValueError):  # the log may have been closed
                traceback.print_exc()
        reason = " ".join(message_of(error).split()) or type(error).__name__
        if not isinstance(error, UserError | Unsupported | Diverged | CellError):
            reason = f"{type(error).__name__}: {reason}"
        return Failure(status, reason)

    try:
        return function()
    except Unsupported as error:
        return failed("unsupported", error)
    except Diverged as error:
        return failed("diverged", error)
    except Exception as error:
        return failed("oom" if _is_shortage(error) else "failed", error)


def _is_shortage(error: BaseException | None) -> bool:
    """Whether memory ran out, which libraries say in many ways, and which may be the cause of
    another error."""
    import torch

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        if any(words in message_of(error) for words in _SHORTAGE):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def message_of(error: BaseException) -> str:
    """Its message, even if its class cannot give one."""
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
