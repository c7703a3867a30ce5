"""Packed results: one text file a board, a sorted set of lines that git can merge.

A line is a result, or a value that many results share, such as the targets of a task:

    {"cell":{...},"schema_version":1,...,"recipe":"0f83a5c1d2e4b697",...,"predictions":"0110",...}
    {"shared":"0f83a5c1d2e4b697","value":{...}}

Shared values are named by their content. Predictions and targets that are small whole numbers are
written as one character each; everything else is the JSON of the record, so nothing is lost and a
new key of a record needs no change here.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.results.files import NoResult, mismatch
from suite.results.records import CellKey, Result

R = TypeVar("R", bound=BaseModel)

FOLDER = "data"
"""Where packs lie below an output folder."""

_CELL = '{"cell":'
_SHARED = '{"shared":"'
_VALUE = '","value":'
_ANSWERS = ("predictions", "targets")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
"""The character of each class; the last one is that of -1, an answer that could not be parsed."""
_NUMBERS = {digit: number for number, digit in enumerate(_DIGITS[:-1])} | {"-": -1}
_MARKS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


def pack_name(cell: Mapping[str, Any]) -> str:
    """Name of the pack of a cell's board, from the cell's keys."""
    return f"{cell['track']}.{cell['backbone']}.{cell['scale']}.jsonl"


def pack_paths(out: Path) -> list[Path]:
    """The packs of an output folder, in the order of their names."""
    return sorted((out / FOLDER).glob("*.*.*.jsonl"))


@dataclass(frozen=True)
class Pack:
    """The lines of one pack, not yet read: by the JSON of their cell, or by their digest."""

    path: Path
    cells: Mapping[str, str]
    shared: Mapping[str, str]
    foreign: tuple[str, ...] = ()
    """Lines that are neither."""
    _values: dict[str, Any] = field(default_factory=dict)

    def find(self, cell: CellKey) -> str | None:
        """The line of a cell, or None."""
        return self.cells.get(_json(cell.model_dump(mode="json")))

    def read(self, line: str, kind: type[R]) -> R:
        """The result in a line of this pack, or the part of it that `kind` declares.

        Raises `NoResult` for a line of another version, or one that lacks a shared value.
        """
        try:
            record = json.loads(line)
            # A line that was copied between packs would be ranked on the wrong board.
            if pack_name(record["cell"]) != self.path.name:
                raise ValueError(f"belongs into {pack_name(record['cell'])}")
            for holder, key in _shared_places(record):
                holder[key] = self._value(holder[key])
            if "scores" in kind.model_fields:
                for score in record["scores"]:
                    score |= {key: _numbers(score[key]) for key in _ANSWERS}
            return kind.model_validate(record)
        except ValidationError as error:
            raise NoResult(self.place(line), mismatch(error)) from None
        except (ValueError, RecursionError) as error:
            raise NoResult(self.place(line), str(error)) from None
        except (LookupError, TypeError, AttributeError):
            raise NoResult(self.place(line), "not a line of a pack of this version") from None

    def place(self, line: str) -> str:
        """`file:line`, as messages name it; the file alone if another process has changed it."""
        lines = self.path.read_text().split("\n") if self.path.is_file() else []
        return f"{shown(self.path)}:{lines.index(line) + 1}" if line in lines else shown(self.path)

    def _value(self, digest: str) -> Any:
        if digest not in self._values:
            line = self.shared.get(digest)
            if line is None:
                raise ValueError(f"the shared value {digest} is missing from its file")
            text = line[len(_SHARED) + len(digest) + len(_VALUE) : -1]
            # Many results rest on one shared value: an edit by hand would change all of them.
            if _digest(text) != digest:
                raise ValueError(f"the shared value {digest} was changed")
            self._values[digest] = json.loads(text)
        return self._values[digest]


def read_pack(path: Path) -> Pack:
    """The pack at `path`; an empty one if there is none.

    Raises `UserError` if a merge left both sides of a conflict, or two results of one cell.
    """
    cells: dict[str, str] = {}
    shared: dict[str, str] = {}
    foreign = []
    lines = read_lines(path)
    for number, line in enumerate(lines, 1):
        cell = _cell_of(line)
        # Equal lines may stand twice after a merge; only different results of a cell conflict.
        if cell is not None:
            if cells.setdefault(cell, line) != line:
                first = lines.index(cells[cell]) + 1
                raise UserError(
                    f"{shown(path)}:{number}: a second result of the cell in line {first}; "
                    f"{settle(path)}"
                )
        elif line.startswith(_SHARED):
            shared[line[len(_SHARED) :].partition('"')[0]] = line
        elif line:
            foreign.append(line)
    return Pack(path, cells, shared, tuple(foreign))


def read_lines(path: Path) -> list[str]:
    """The lines of a pack; none if there is no such file.

    Raises `UserError` if a merge left the marks of a conflict.
    """
    lines = _lines(path)
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKS):
            raise UserError(f"{shown(path)}:{number}: a merge left two sides; {settle(path)}")
    return lines


def settle(path: Path) -> str:
    """The advice for a pack in which a merge left both sides."""
    return f"to keep both: python -m suite pack --out {shown(path.parents[1])}"


def both_sides(path: Path) -> Iterator[str]:
    """The lines of a pack without the marks of a conflict; what both sides replaced is dropped."""
    in_base = False
    for line in _lines(path):
        if line.startswith(_MARKS):
            in_base = line.startswith("|||||||")
        elif line and not in_base:
            yield line


def lines_of(result: Result) -> list[str]:
    """The lines of a result: its own first, then those of the values that it shares."""
    record = result.model_dump(mode="json")
    shared = []
    for score in record["scores"]:
        for key in _ANSWERS:
            score[key] = _written(score[key])
    for holder, key in _shared_places(record):
        text = _json(holder[key])
        holder[key] = _digest(text)
        shared.append(f"{_SHARED}{holder[key]}{_VALUE}{text}}}")
    # The cell comes first, so that a line is found without reading the rest of it.
    return [_json({"cell": record.pop("cell"), **record}), *shared]


def merged(lines: Iterable[str], newer: Iterable[str] = ()) -> list[str]:
    """A sorted set of lines with one result per cell, the one that finished, was carried or
    was verified last.

    A result in `newer` without a time, such as a failure, is taken to be later than those in
    `lines`. Shared values stay even if no result uses them any more, because a result on another
    branch may.
    """
    kept: dict[str, str] = {}
    # Sorted first, so that a tie is decided in the same way on every machine.
    for line in sorted(set(lines)):
        key = _cell_of(line) or line
        if key not in kept or _written_at(line) >= _written_at(kept[key]):
            kept[key] = line
    for line in newer:
        key = _cell_of(line) or line
        if key not in kept or comes_after(finished(line), finished(kept[key])):
            kept[key] = line
    return sorted(kept.values())


def finished(line: str) -> str:
    """When the cell of a line finished; empty if that is not recorded."""
    return _text(line, "environment", "finished")


def _written_at(line: str) -> tuple[str, str, str]:
    """When the cell of a line finished, and when its result was carried and verified."""
    return finished(line), _text(line, "carried", "date"), _text(line, "verified", "date")


def _text(line: str, part: str, key: str) -> str:
    """A text in a part of a record; empty where the line has none, or is no record."""
    try:
        return str(json.loads(line)[part][key])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def comes_after(written: str, packed: str) -> bool:
    """Whether a result in a file of its own replaces a packed one, by when they finished.

    A file of its own was written after the pack, unless the pack came with a merge.
    """
    return not written or not packed or written >= packed


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        return path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{shown(path)}: cannot be read ({error})") from None


def _cell_of(line: str) -> str | None:
    """The JSON of the cell that a line begins with; None for any other line."""
    if not line.startswith(_CELL):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(line, len(_CELL))
    except (ValueError, RecursionError):
        return None
    return line[len(_CELL) : end]


def _shared_places(record: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The places in a record of values that many results have in common."""
    if record.get("recipe") is not None:
        yield record, "recipe"
    if record.get("environment") is not None:
        yield record["environment"], "versions"
    for score in record["scores"]:
        yield score, "targets"


def _written(answers: list[Any]) -> str | list[Any]:
    """Whole numbers from -1 to 61 as one character each, others as they are; where an answer is a
    list, each list alike."""
    if answers and all(isinstance(answer, list) for answer in answers):
        return [_written(answer) for answer in answers]
    # The alphabet starts at -1, the answer that could not be parsed.
    if all(type(number) is int and -1 <= number < len(_DIGITS) - 1 for number in answers):
        return "".join(_DIGITS[int(number)] for number in answers)
    return answers


def _numbers(answers: str | list[Any]) -> list[Any]:
    if isinstance(answers, str):
        return [_NUMBERS[digit] for digit in answers]
    return [_numbers(answer) if isinstance(answer, str) else answer for answer in answers]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
