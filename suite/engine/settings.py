"""How a plan is executed."""

from dataclasses import dataclass
from pathlib import Path

from suite.errors import UserError
from suite.planning.limits import devices, positive, seconds, truth


@dataclass(frozen=True)
class Settings:
    """How a plan is executed; nothing here changes a result's identity. Raises `UserError` for an
    invalid value."""

    out: Path
    device: str = "auto"
    """`auto`, `cpu`, `cuda` for every visible GPU, or some: `cuda:0,cuda:1`."""
    jobs: int | None = None
    """Cells at a time, on all devices together; None for as many as cores and memory allow."""
    timeout: float | None = None
    """Seconds a cell may take."""
    fail_fast: bool = False
    allow_dirty: bool = False
    """A folder that git keeps takes results of code that is not committed."""
    offline: bool = False
    """Nothing is fetched, even if there is a network."""
    quiet: bool = False
    """No progress on stderr."""
    executor: str = "local"
    """What computes the cells: a module of `suite.engine.executors`."""
    executor_options: str = ""
    """What that is told: `partition=a100,gpus=8`."""
    wait: bool = True
    """Wait for cells that other processes compute on behalf of this run."""

    def __post_init__(self) -> None:
        # Once, for whatever changes the current directory later.
        try:
            object.__setattr__(self, "out", self.out.absolute())
        except OSError:
            raise UserError("the current directory is gone; go to another one") from None
        devices(self.device, "--device: ")
        if self.jobs is not None:
            positive(self.jobs, "--jobs: ")
        if self.timeout is not None:
            seconds(self.timeout, "--timeout: ")
        truth(self.fail_fast, "--fail-fast: ")
        truth(self.allow_dirty, "--allow-dirty: ")
        truth(self.offline, "--offline: ")
        truth(self.quiet, "--quiet: ")
        truth(self.wait, "--wait: ")
