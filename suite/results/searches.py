"""Searches for learning rates: a record per method, track and backbone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.registry.schema import Scale
from suite.results import packs
from suite.results.files import NoResult, mismatch, read_record, replace_file
from suite.results.records import Record, Result
from suite.results.seeds import FIRST_SEARCH_SEED

FOLDER = "tuning"
"""Folder of the files of single searches, below an output folder."""
EXTENSIONS = 4
"""Most rates that a search tries beyond its grid. Every method's grid grows by the same rule."""
PACK = "tuning.jsonl"
"""The file of all searches below an output folder that is packed, a line each."""


class Trial(Record):
    """One learning rate: the validation score of every task, and their mean over tasks and seeds.

    The mean is None if a cell did not finish; `reason` says why.
    """

    learning_rate: PositiveFloat
    scores: dict[str, float]
    score: float | None
    reason: str = ""


class Search(Record):
    """The trials of one setting of a method on one track and backbone."""

    schema_version: Literal[1] = 1
    method: str
    setting: str = ""
    """`OPTION=VALUE,...`; empty for the method as it is."""
    backbone: str
    scale: Scale
    track: str
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    steps: int
    """Optimizer steps per task, the mean over tasks."""
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """The method with its setting."""
        return f"{self.method}[{self.setting}]" if self.setting else self.method

    @property
    def best(self) -> Trial | None:
        """The trial that `best_of` takes."""
        return best_of(self.trials)

    @property
    def apart(self) -> bool:
        """Whether its seeds are ones that no result is scored with."""
        return min(self.seeds) >= FIRST_SEARCH_SEED

    @property
    def best_is_at_edge(self) -> bool:
        """Whether no lower rate was tried than the best, or no higher one."""
        tried = [trial.learning_rate for trial in self.trials]
        return self.best is not None and self.best.learning_rate in (min(tried), max(tried))

    @property
    def file_name(self) -> str:
        """Name of the search's file."""
        return f"{self.scale}.{self.name}.{self.track}.{self.backbone}.json"

    def write(self, out: Path) -> Path:
        """Write to the output folder so that a reader sees the old file or the whole new one."""
        text = json.dumps(self.model_dump(mode="json"), indent=1) + "\n"
        return replace_file(out / FOLDER / self.file_name, text)


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The trial with the highest validation score; None without.

    On a tie the one that is furthest from the edges of what was tried, then the lower rate: rates
    at which a method changes nothing score alike, however far one goes.
    """
    finished = sorted(
        (trial for trial in trials if trial.score is not None), key=lambda t: t.learning_rate
    )
    middle = (len(finished) - 1) / 2
    order = {id(trial): abs(place - middle) for place, trial in enumerate(finished)}
    return max(finished, key=lambda t: (t.score, -order[id(t)]), default=None)


def search_paths(out: Path) -> list[Path]:
    """The files of single searches below an output folder, in the order of their names."""
    return sorted((out / FOLDER).glob("*.json"))


def pack_path(out: Path) -> Path:
    """The file of all searches below an output folder."""
    return out / packs.FOLDER / PACK


@dataclass(frozen=True)
class Searches:
    """The searches of an output folder, in the order of their file names."""

    found: tuple[Search, ...]
    left_out: tuple[NoResult, ...] = ()
    """Files, and lines of the pack, that are no searches."""


def read_searches(out: Path) -> Searches:
    """Every search recorded below an output folder.

    A file of its own takes precedence over the pack: it is later. Files and lines that are not
    such records are named in `left_out`. Raises `UserError` for a pack in which a merge left both
    sides.
    """
    left_out: list[NoResult] = []
    found, foreign = _packed(pack_path(out), packs.read_lines(pack_path(out)))
    found |= _singles(out, left_out)
    left_out += foreign.values()
    return Searches(tuple(found[name] for name in sorted(found)), tuple(left_out))


def merged_searches(out: Path, left_out: list[NoResult]) -> list[str]:
    """The lines of a pack of every search below an output folder, whatever a merge left of it.

    Lines that are no searches stay in it; files that are none are added to `left_out`.
    """
    found, foreign = _packed(pack_path(out), packs.both_sides(pack_path(out)))
    found |= _singles(out, left_out)
    return sorted([*(search.model_dump_json() for search in found.values()), *foreign])


def _singles(out: Path, left_out: list[NoResult]) -> dict[str, Search]:
    found: dict[str, Search] = {}
    for path in search_paths(out):
        try:
            search = read_record(path, Search)
        except FileNotFoundError:
            continue  # packed by another process since the folder was listed
        except NoResult as reason:
            left_out.append(reason)
            continue
        # A copy under another name would count as a second search.
        if path.name == search.file_name:
            found[path.name] = search
        else:
            left_out.append(NoResult(shown(path), f"holds the search of {search.file_name}"))
    return found


def _packed(path: Path, lines: Iterable[str]) -> tuple[dict[str, Search], dict[str, NoResult]]:
    """The searches in a pack by their file names, and what is wrong with its other lines."""
    found: dict[str, Search] = {}
    foreign: dict[str, NoResult] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            search = Search.model_validate_json(line)
        except ValidationError as error:
            foreign[line] = NoResult(f"{shown(path)}:{number}", mismatch(error))
            continue
        if found.setdefault(search.file_name, search) != search:
            raise UserError(
                f"{shown(path)}: two searches of {search.name} on {search.track} and "
                f"{search.backbone}; delete the line of the one that shall not count"
            )
    return found, foreign


def trial_of(rate: float, results: Sequence[Result]) -> Trial:
    """Judge a learning rate by its cells' scores on validation data; the test split stays out."""
    # If one cell fails the rate has no mean: it would be over fewer tasks than the other rates'.
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
