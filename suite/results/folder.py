"""The results of an output folder: a file a cell while cells run, a pack a board afterwards."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from suite.console import shown
from suite.errors import UserError
from suite.results.files import NoResult, read_record, warning_of
from suite.results.history import Listed, Past
from suite.results.packs import (
    FOLDER,
    Pack,
    comes_after,
    pack_name,
    pack_paths,
    read_pack,
)
from suite.results.records import CellKey, Result

SINGLES = "results"
"""Where files of single results lie below an output folder."""
WORK = "work"
"""Where each cell has a folder below an output folder, with its log and its delta."""

R = TypeVar("R", bound=Result | Past)


@dataclass(frozen=True, eq=False)
class Results(Mapping[CellKey, R]):
    """The record of each cell, in the order of file names."""

    found: Mapping[CellKey, R]
    left_out: tuple[NoResult, ...] = ()
    """Files, and lines of packs, that are no results."""

    def __getitem__(self, cell: CellKey) -> R:
        return self.found[cell]

    def __iter__(self) -> Iterator[CellKey]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    @property
    def warning(self) -> str:
        """What was left out, and why; empty if nothing was."""
        return warning_of(self.left_out)


def read_results(out: Path) -> Results[Result]:
    """Every result of an output folder, from packs and from files of single results.

    Files and lines that are not results are named in `left_out`. Raises `UserError` for a pack in
    which a merge left both sides.
    """
    return _read(out, Result)


def read_history(out: Path) -> Results[Past]:
    """The head of every result of an output folder, as `read_results`."""
    return _read(out, Past)


def read_listed(out: Path) -> Results[Listed]:
    """The same with scores and costs."""
    return _read(out, Listed)


class Lookup(Generic[R]):
    """The results of single cells of an output folder, whatever else lies there.

    `kind` is what is read of each: `Result`, or `Past` for its head alone.
    """

    def __init__(self, out: Path, kind: type[R]) -> None:
        self.out = out
        self.kind = kind
        self._packs: dict[str, tuple[tuple[int, ...], Pack]] = {}

    def get(self, cell: CellKey) -> R | None:
        """The result of a cell, or None.

        Raises `UserError` if something else lies in the place of its result, which a run would
        write over, and for a pack in which a merge left both sides.
        """
        try:
            single = read_single(self.out / SINGLES / cell.file_name, self.kind)
        except FileNotFoundError:
            single = None
        pack = self._pack(pack_name(cell.model_dump()))
        line = pack.find(cell)
        if line is None:
            return single
        packed = pack.read(line, self.kind)
        return packed if single is None or not _comes_after(single, packed) else single

    def _pack(self, name: str) -> Pack:
        path = self.out / FOLDER / name
        # Another process may have packed since.
        version = file_version(path)
        if name not in self._packs or self._packs[name][0] != version:
            self._packs[name] = version, read_pack(path)
        return self._packs[name][1]


def file_version(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced; empty for one that does not exist."""
    try:
        return _version(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def work_folder(out: Path, cell: CellKey) -> Path:
    """Where the log and the delta of a cell lie."""
    return out / WORK / Path(cell.file_name).stem


def delta_path(out: Path, cell: CellKey) -> Path:
    """The delta of a cell, if it is kept."""
    return work_folder(out, cell) / "delta.safetensors"


def single_paths(out: Path) -> list[Path]:
    """The files of single results, whatever they hold, in the order of their names.

    Raises `UserError` if the folder cannot be read.
    """
    return [out / SINGLES / entry.name for entry in _entries(out)]


def single_versions(out: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The names of these files with their versions, as `file_version`, of many at a time."""
    for entry in _entries(out):
        with suppress(FileNotFoundError):  # packed by another process meanwhile
            yield entry.name, _version(entry.stat())


def _entries(out: Path) -> list["os.DirEntry[str]"]:
    folder = out / SINGLES
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    return sorted(found, key=lambda entry: entry.name)


def read_singles(out: Path, kind: type[R], left_out: list[NoResult]) -> Iterator[tuple[Path, R]]:
    """The results in files of their own; those that are none are added to `left_out`."""
    for path in single_paths(out):
        try:
            yield path, read_single(path, kind)
        except FileNotFoundError:
            continue  # packed by another process since the folder was listed
        except NoResult as reason:
            left_out.append(reason)


def _read(out: Path, kind: type[R]) -> Results[R]:
    # Packs are read last: a result that is packed meanwhile is then seen twice, never missed.
    left_out: list[NoResult] = []
    singles = [record for _, record in read_singles(out, kind, left_out)]
    packs = map(read_pack, pack_paths(out))
    lines = ((pack, line) for pack in packs for line in (*pack.cells.values(), *pack.foreign))
    return together(singles, lines, kind, left_out)


def together(
    singles: Iterable[R], lines: Iterable[tuple[Pack, str]], kind: type[R], left_out: list[NoResult]
) -> Results[R]:
    """Results from files of their own and from lines of packs: one for each cell."""
    found = {record.cell: record for record in singles}
    for pack, line in lines:
        try:
            record = pack.read(line, kind)
        except NoResult as reason:
            left_out.append(reason)
            continue
        single = found.get(record.cell)
        if single is None or not _comes_after(single, record):
            found[record.cell] = record
    ordered = dict(sorted(found.items(), key=lambda item: item[0].file_name))
    return Results(ordered, tuple(left_out))


def read_single(path: Path, kind: type[R]) -> R:
    """The result in a file of its own, or the part of it that `kind` declares.

    Raises `NoResult` for anything else, and FileNotFoundError.
    """
    # A copy under another name would count as a second run.
    record = read_record(path, kind)
    if path.name != record.cell.file_name:
        reason = f"holds the result of {record.cell.file_name}"
        raise NoResult(shown(path), reason)
    return record


def _comes_after(single: R, packed: R) -> bool:
    return comes_after(_finished(single), _finished(packed))


def _finished(record: R) -> str:
    return record.environment.finished if record.environment else ""
