"""The answers and texts of a data set's rows: read as the task means them, or refused by row."""

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from suite.errors import UserError
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import Classification, MultiLabel, Regression

T = TypeVar("T", int, float, list[int])
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
"""A label that is a number itself; with more digits it is a code."""
_TRUTH = {False: "false", True: "true"}


@dataclass(frozen=True)
class Place:
    """A column of a split, as messages name it."""

    task: str
    """The task's file."""
    split: str
    column: str
    rows: int
    """Of the files, those that are left out too."""
    kept: Sequence[int] | np.ndarray | None = None
    """The numbers of the rows that are read; None for all."""

    def problem(self, row: int, what: str) -> UserError:
        """The error of one of the rows that are read. It is named by its number in the files, which
        counts from 0, as in pandas."""
        number = row if self.kept is None else self.kept[row]
        return UserError(
            f"{self.task}: {self.split}, row {number} of 0 to {self.rows - 1}, "
            f"column '{self.column}': {what}"
        )


def texts(values: Sequence[object], place: Place) -> list[str]:
    """Texts as they are; an empty one is a text, a missing one or another type is not."""
    for row, value in enumerate(values):
        if not isinstance(value, str):
            found = "no text (null)" if value is None else f"not a text but {value!r:.60}"
            raise place.problem(row, found)
    return list(values)  # type: ignore[arg-type]


def classes(
    values: Sequence[object], output: Classification, names: Sequence[str] | None, place: Place
) -> np.ndarray:
    """Class indices int64 [N] from whole numbers, or from names of `output.labels`.

    `names` are those that the file gives its numbers, if it does. If they are the task's labels, or
    some of them, numbers are translated by their names; if none is, the task's order counts. Where
    the labels are numbers themselves, as stars from 1 to 5, so are those of the file; where they
    are `true` and `false`, truth values are named.
    """
    return np.array(_each(values, _reader(output, names), place), np.int64)


def label_sets(
    values: Sequence[object], output: MultiLabel, names: Sequence[str] | None, place: Place
) -> np.ndarray:
    """0 or 1 for each label, uint8 [N, L], from the list of each row's labels: whole numbers, or
    names of `output.labels`. `names` as for `classes`."""
    read = _reader(output, names)
    sets = np.zeros((len(values), len(output.labels)), np.uint8)

    def read_set(value: object) -> list[int] | str:
        if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
            return f"{_said(value)} is no list of labels"
        found = [read(label) for label in value]
        if wrong := next((each for each in found if isinstance(each, str)), None):
            return wrong
        if len(set(found)) < len(found):
            return (
                f"{_said(list(value))} has a label twice: it must hold the labels that the row "
                "has, not a 0 or 1 for each"
            )
        return [each for each in found if isinstance(each, int)]

    for row, own in enumerate(_each(values, read_set, place)):
        sets[row, own] = 1
    return sets


def label_columns(columns: Sequence[Sequence[object]], place: Callable[[int], Place]) -> np.ndarray:
    """0 or 1 for each label, uint8 [N, L], from a column of each label; `place` names a column by
    its number."""

    def read(value: object) -> int | str:
        number = _whole(value)
        if number in (0, 1):
            return int(number)
        hint = "; to drop such rows: drop_labels: [-1]" if number == -1 else ""
        return f"{_said(value)} is neither 0 nor 1{hint}"

    own = [_each(values, read, place(number)) for number, values in enumerate(columns)]
    return np.array(own, np.uint8).T.copy()


def _reader(
    output: Classification | MultiLabel, names: Sequence[str] | None
) -> Callable[[object], int | str]:
    """Reads the index of one label, or says what is wrong."""
    labels = list(output.labels)
    index = {label: number for number, label in enumerate(labels)}
    truth = {label.lower(): label for label in labels}
    meant = _meant(labels, names)
    known = f"{len(meant)}, {min(meant)} to {max(meant)}"

    def read(value: object) -> int | str:
        if isinstance(value, bool) and truth.keys() >= {*_TRUTH.values()}:
            value = truth[_TRUTH[value]]
        if isinstance(value, str):
            if value in index:
                return index[value]
            return f"'{value:.60}' is not in output.labels{did_you_mean(value, labels)}"
        number = value if isinstance(value, float) and value in meant else _whole(value)
        if number is None:
            return f"{_said(value)} is no class: a whole number or a name of output.labels is"
        if number not in meant:
            hint = "; to drop such rows: drop_labels: [-1]" if number == -1 else ""
            said = number if abs(number) < 2**64 else f"{float(number):g}"
            return f"class {said}, but output.labels has {known}{hint}"
        if meant[number] not in index:
            near = did_you_mean(meant[number], labels)
            return f"{number} is '{meant[number]:.60}', which is not in output.labels{near}"
        return index[meant[number]]

    return read


def _meant(labels: Sequence[str], names: Sequence[str] | None) -> dict[float, str]:
    """The name that each number of a file stands for."""
    # Also where they are only spelled otherwise, `Yes` for `yes`: in the file's order, and refused.
    if names is not None and not {*map(normal, labels)}.isdisjoint(map(normal, names)):
        return dict(enumerate(names))
    if all(_NUMBER.fullmatch(label) for label in labels):
        numbers = [float(label) for label in labels]
        if len(set(numbers)) == len(labels):
            whole = (_whole(number) for number in numbers)
            keys = (n if w is None else w for n, w in zip(numbers, whole, strict=True))
            return dict(zip(keys, labels, strict=True))
    return dict(enumerate(labels))


def numbers(values: Sequence[object], output: Regression, place: Place) -> np.ndarray:
    """Numbers float32 [N] in the task's range."""

    def read(value: object) -> float | str:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return f"{_said(value)} is no number"
        if not math.isfinite(value):
            return f"{value} is not finite"
        if not output.minimum <= value <= output.maximum:
            return f"{value:g} is outside {output.minimum:g} to {output.maximum:g}"
        return float(value)

    return np.array(_each(values, read, place), np.float32)


def keep(
    columns: Sequence[Sequence[object]], drop: Collection[object], names: Sequence[str] | None
) -> np.ndarray:
    """The rows to keep, int64 [N]: all but those with a label that is one of `drop`, as it is or by
    the name that the file gives it. `columns` hold the labels, `names` are as for `classes`."""

    def dropped(value: object) -> bool:
        if value in drop:
            return True
        return (
            names is not None
            and isinstance(value, int)
            and value in range(len(names))
            and (names[value] in drop)
        )

    rows = zip(*columns, strict=True)
    return np.array([row for row, own in enumerate(rows) if not any(map(dropped, own))], np.int64)


def _each(values: Sequence[object], read: Callable[[object], T | str], place: Place) -> list[T]:
    found: list[T] = []
    for row, value in enumerate(values):
        result = read(value)
        if isinstance(result, str):
            raise place.problem(row, result)
        found.append(result)
    return found


def _whole(value: object) -> int | None:
    """A number without a fraction, whatever its type; None for anything else."""
    if isinstance(value, bool | int | np.integer | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating) and math.isfinite(value) and value == int(value):
        return int(value)
    return None


def _said(value: object) -> str:
    return "null" if value is None else repr(value)[:60]
