"""What a search for a learning rate found: one small file per method, track and backbone."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from suite.registry.schema import Scale
from suite.results.records import Record, Result, read_record, replace_file

FOLDER = "tuning"
"""Where searches lie below an output folder."""


class Trial(Record):
    """One learning rate: the validation score of every task, and their mean over tasks and seeds.

    The mean is None where a cell did not finish; `reason` says why.
    """

    learning_rate: float
    scores: dict[str, float]
    score: float | None
    reason: str = ""


class Search(Record):
    """The trials of one method on one backbone, in the order of its `tuning`."""

    schema_version: Literal[1] = 1
    method: str
    backbone: str
    scale: Scale
    track: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest validation score, the lower rate on a tie; None without."""
        finished = [trial for trial in self.trials if trial.score is not None]
        return max(finished, key=lambda t: (t.score, -t.learning_rate), default=None)

    @property
    def file_name(self) -> str:
        """Name of the search's file."""
        return f"{self.scale}.{self.method}.{self.track}.{self.backbone}.json"

    def write(self, out: Path) -> Path:
        """Write to the output folder so that a reader sees the old file or the whole new one."""
        text = json.dumps(self.model_dump(mode="json"), indent=1) + "\n"
        return replace_file(out / FOLDER / self.file_name, text)


def read_searches(out: Path) -> list[Search]:
    """Every search recorded below an output folder, in the order of file names.

    Raises `UserError` for a file that is not such a record.
    """
    return [read_record(path, Search) for path in sorted((out / FOLDER).glob("*.json"))]


def trial_of(rate: float, results: Sequence[Result]) -> Trial:
    """Judge a learning rate by its cells' scores on validation data; the test split stays out."""
    broken = [result for result in results if result.status != "ok"]
    found: dict[str, list[float]] = {}
    for result in results:
        for score in result.scores:
            found.setdefault(score.task, []).append(score.validation_score)
    scores = {task: round(fmean(values), 2) for task, values in found.items()}
    if broken:
        reason = f"{broken[0].status}: {broken[0].reason}"
        return Trial(learning_rate=rate, scores=scores, score=None, reason=reason)
    return Trial(learning_rate=rate, scores=scores, score=round(fmean(scores.values()), 2))
