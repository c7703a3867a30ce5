"""Packing an output folder: files of single results and searches go into one file a board."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from suite.console import shown
from suite.results.claims import alone
from suite.results.files import NoResult, replace_file
from suite.results.folder import file_version, read_singles, single_paths
from suite.results.packs import FOLDER, both_sides, lines_of, merged, pack_name, pack_paths
from suite.results.records import Result
from suite.results.searches import merged_searches, pack_path, search_paths


@dataclass(frozen=True)
class Packed:
    """The outcome of packing."""

    written: tuple[Path, ...]
    """The packs that changed."""
    replaced: int
    """Results that were replaced by a later one of their cell."""
    left: tuple[NoResult, ...]
    """Files that are no results and no searches, and stay where they are."""


def is_packed(out: Path) -> bool:
    """Whether an output folder keeps packs: then every new result ends in one."""
    return bool(pack_paths(out)) or pack_path(out).is_file()


def pack(out: Path) -> Packed:
    """Put every result and search of an output folder into its pack, and resolve what a merge left.

    Of two results of a cell, the one that finished later stays, as if both had been run here.
    Every pack is on disk before the files that went into it are removed. Raises `UserError` where
    that is impossible, and for two unlike searches of one method: no time tells which is later.
    """
    with alone(out / FOLDER, "packing"):
        singles = _versions([*single_paths(out), *search_paths(out)])
        left: list[NoResult] = []
        new: dict[str, list[str]] = defaultdict(list)
        for _, result in read_singles(out, Result, left):
            new[pack_name(result.cell.model_dump())] += lines_of(result)
        written, replaced = [], 0
        for target in sorted({*pack_paths(out), *(out / FOLDER / name for name in new)}):
            old = [*both_sides(target)]
            lines = merged(old, new[target.name])
            replaced += len({*old, *new[target.name]}) - len(lines)
            written += _write(target, lines)
        written += _write(pack_path(out), merged_searches(out, left))
        _keep_names(written)
        foreign = {reason.place for reason in left}
        for path, version in singles.items():
            if shown(path) not in foreign and _versions([path]) == {path: version}:
                path.unlink(missing_ok=True)
        return Packed(tuple(written), replaced, tuple(left))


def _keep_names(written: list[Path]) -> None:
    """Put on disk under which names files were written, as well as what is in them."""
    for folder in {path.parent for path in written}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _versions(paths: list[Path]) -> dict[Path, tuple[int, ...]]:
    """The versions of files, so that a result written meanwhile is not removed."""
    found = {path: file_version(path) for path in paths}
    return {path: version for path, version in found.items() if version}


def _write(target: Path, lines: list[str]) -> list[Path]:
    """Write a pack if its lines changed; returns it if so."""
    text = "".join(f"{line}\n" for line in lines)
    if not lines or (target.is_file() and target.read_text() == text):
        return []
    return [replace_file(target, text)]
