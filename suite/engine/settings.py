"""How a plan is executed."""

from dataclasses import dataclass
from pathlib import Path

from suite.planning.limits import device, positive, seconds, truth


@dataclass(frozen=True)
class Settings:
    """How a plan is executed; nothing here changes a result's identity. Raises `UserError` for an
    invalid value."""

    out: Path
    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    """Seconds a cell may take."""
    fail_fast: bool = False
    allow_dirty: bool = False
    """A folder that git keeps takes results of code that is not committed."""
    offline: bool = False
    """Nothing is fetched, even if there is a network."""
    quiet: bool = False
    """No progress on stderr."""

    def __post_init__(self) -> None:
        device(self.device, "--device: ")
        if self.jobs is not None:
            positive(self.jobs, "--jobs: ")
        if self.timeout is not None:
            seconds(self.timeout, "--timeout: ")
        truth(self.fail_fast, "--fail-fast: ")
        truth(self.allow_dirty, "--allow-dirty: ")
        truth(self.offline, "--offline: ")
        truth(self.quiet, "--quiet: ")
