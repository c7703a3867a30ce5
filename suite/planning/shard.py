"""One of several equal parts of a plan, for processes that do not share a folder."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from suite.errors import UserError
from suite.registry.schema import Store
from suite.results.records import CellKey


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts."""

    number: int
    """From 1."""
    count: int
    origin: str = ""
    """The variables that it comes from; empty if it was asked for."""

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, cells: Iterable[CellKey]) -> frozenset[CellKey]:
        """Every `count`-th training of a plan, with its cells in all precisions."""
        places: dict[CellKey, int] = {}
        return frozenset(
            cell
            for cell in cells
            if places.setdefault(cell.stored_as(Store.FLOAT32), len(places)) % self.count
            == self.number - 1
        )


def shard_of(word: str | None, variables: Mapping[str, str]) -> Shard | None:
    """The part that `word` names (`2/8`), or that a job array or an indexed job gives this process.

    Raises `UserError` for a word that names none, and for variables that do not say which it is.
    """
    if word is not None:
        named = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", word)
        if not named or not 1 <= int(named[1]) <= int(named[2]):
            raise UserError(
                f"--shard: must be I/N, from 1/N to N/N (1/4, 2/4, 3/4, 4/4), not '{word}'"
            )
        return Shard(int(named[1]), int(named[2]))
    if "SLURM_ARRAY_TASK_ID" in variables:
        return _of_array(variables)
    if "JOB_COMPLETION_INDEX" in variables and "JOB_COMPLETIONS" in variables:
        names = ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")
        index, count = (_number(name, variables) for name in names)
        return _checked(index, count, names)
    return None


def _of_array(variables: Mapping[str, str]) -> Shard:
    names = tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN"))
    task, count, first = (_number(name, variables) for name in names)
    # Slurm sets it for arrays such as 0-30:10.
    step = _number("SLURM_ARRAY_TASK_STEP", variables, default=1)
    index, between = divmod(task - first, max(1, step))
    return _checked(-1 if between else index, count, names)


def _checked(index: int, count: int, names: tuple[str, ...]) -> Shard:
    if not 0 <= index < count:
        raise UserError(
            f"--shard: {', '.join(names)} do not tell which part of {count} this is; give one, "
            "or --shard 1/1 for all cells"
        )
    return Shard(index + 1, count, " and ".join([", ".join(names[:-1]), names[-1]]))


def _number(name: str, variables: Mapping[str, str], default: int | None = None) -> int:
    value = variables.get(name, "" if default is None else str(default))
    if not value.isdecimal():
        raise UserError(
            f"--shard: {name} must be a whole number, not '{value}'; give a part, or 1/1 for all"
        )
    return int(value)
