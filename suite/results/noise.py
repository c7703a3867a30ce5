"""How runs vary on the published boards, for results with a single seed.

One seed does not show how another would have turned out. The rows of the published boards were run
with several, and `noise.json` keeps the variances that they show.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.registry.schema import Scale
from suite.results.files import mismatch
from suite.results.records import Record
from suite.results.statistics import RunNoise

NAME = "noise.json"
_PACKAGE = Path(__file__).parents[1]


class Variance(Record):
    """Of the score of one seed, in points squared, with its degrees of freedom."""

    variance: float
    freedom: float

    @classmethod
    def of(cls, noise: RunNoise) -> "Variance":
        """Rounded, so that the file does not depend on a processor's last bits."""
        return cls(variance=float(f"{noise.variance:.4g}"), freedom=float(f"{noise.freedom:.4g}"))

    @property
    def noise(self) -> RunNoise:
        """The same in the form that the statistics use."""
        return RunNoise(self.variance, self.freedom)


class Pool(Record):
    """The run noise that the rows of one kind, per-task or joint, show on one board."""

    track: str
    backbone: str
    scale: Scale
    joint: bool
    steps: int
    """Optimizer steps per task: runs that train for longer vary differently."""
    data: dict[str, str]
    """Task -> digest of its data."""
    tasks: dict[str, Variance]
    """Of one task's score."""
    whole: Variance
    """Of the track's score."""

    def fits(self, data: Mapping[str, str], steps: int) -> bool:
        """Whether it was measured on the same data for these tasks, with as many steps."""
        same = all(self.data.get(task) == digest for task, digest in data.items())
        return same and self.steps == steps

    def of_mean(self, tasks: Sequence[str]) -> RunNoise | None:
        """Of the mean score over some of the tasks; unknown of a task that it does not
        have, and for a joint run over a part of them, whose errors on different tasks are
        correlated."""
        if set(tasks) == set(self.tasks):
            return self.whole.noise
        if self.joint or not set(tasks) <= self.tasks.keys():
            return None
        parts = np.array([self.tasks[task].variance for task in tasks]) / len(tasks) ** 2
        freedoms = np.array([self.tasks[task].freedom for task in tasks])
        spread = float((parts**2 / freedoms).sum())
        total = float(parts.sum())
        return RunNoise(total, total**2 / spread if spread else float(freedoms.sum()))


_POOLS = TypeAdapter(tuple[Pool, ...])


def written(pools: Iterable[Pool]) -> bytes:
    """The content of `noise.json`, a line for each pool."""
    lines = [json.dumps(pool.model_dump(mode="json"), sort_keys=True) for pool in pools]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


@cache
def published() -> tuple[Pool, ...]:
    """The pools that come with the package; none if its boards are absent.

    Raises `UserError` for a file that is no such list, as one that a merge left in conflict.
    """
    for path in (_PACKAGE / "_registry" / NAME, _PACKAGE.parent / "leaderboards" / NAME):
        if path.is_file():
            try:
                return _POOLS.validate_json(path.read_bytes())
            except ValidationError as error:
                raise UserError(
                    f"{shown(path)}: {mismatch(error)}; delete it and write it again with: "
                    f"python -m suite leaderboard --out {shown(path.parent)}"
                ) from None
    return ()
