"""What computes cells: the seam between a plan and the processes or machines that it runs on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from suite.engine import executors
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Cell, Job, Plan
from suite.registry import Registry
from suite.registry.names import did_you_mean
from suite.results.claims import Claim
from suite.results.records import Result


@dataclass(frozen=True)
class Outcome:
    """A cell that was submitted is over."""

    cell: Cell
    result: Result | None
    """It is on disk. None for a cell that was not computed: another run had taken its claim, or
    this one stops at the first failure."""


class Executor(Protocol):
    """Computes jobs. Each has been claimed, and keeps its claim until all of its cells are over.

    What happens to a cell (a loss of its process, a time limit) is recorded as its result by the
    executor; it tells `Progress` when a cell starts and what it does.
    """

    def has_room(self, job: Job) -> bool:
        """Whether the job would start now if it were submitted."""
        ...

    def submit(self, job: Job, claim: Claim) -> None:
        """Start a job that there is room for."""
        ...

    def receive(self, patience: float) -> Sequence[Outcome]:
        """The cells that are over, after waiting for at most so many seconds.

        Raises `UserError` if results cannot be kept.
        """
        ...

    def stop(self) -> None:
        """End everything that still runs, without results."""
        ...


MakeExecutor = Callable[[Plan, Registry, Settings, Progress], Executor]
"""The function `make` of a module in `suite/engine/executors`; such a module is all that a new
executor needs."""
Delegate = Callable[[Plan, Registry, Settings, Progress], None]
"""Instead of `make`, the function `delegate` of a module whose cells are computed by other runs on
the folder, which it starts. It returns when they are over, or at once if `Settings.wait` is False.
"""


def chosen(settings: Settings) -> tuple[MakeExecutor | None, Delegate | None]:
    """The function of the executor that `settings` names: `make` or `delegate`.

    Raises `UserError` if there is none of that name, if it needs a package that is not installed,
    and for settings that it does not know.
    """
    name = settings.executor
    names = [module.name for module in iter_modules(executors.__path__)]
    if name not in names:
        near = did_you_mean(name, names)
        raise UserError(f"--executor: there is no '{name}'{near}")
    try:
        module = import_module(f"{executors.__name__}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "suite").partition(".")[0] == "suite":
            raise
        raise UserError(
            f"--executor {name}: needs the package '{error.name}'; "
            f"in a checkout: pip install -c constraints.txt '.[{name}]'"
        ) from None
    make, delegate = getattr(module, "make", None), getattr(module, "delegate", None)
    if not delegate and settings.executor_options:
        raise UserError(f"--executor-options: the executor '{name}' has none")
    if not delegate and not settings.wait:
        raise UserError(f"--no-wait: the executor '{name}' computes as long as this command runs")
    return make, delegate
