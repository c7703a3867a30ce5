"""All entries, and the selections a user makes among them."""

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from suite.errors import UserError
from suite.registry.names import did_you_mean, normal
from suite.registry.problems import Problem, as_error
from suite.registry.schema import BackboneEntry, MethodEntry, TaskEntry, TrackEntry

Kind = Literal["method", "task", "track", "backbone"]
E = TypeVar("E")
GIVEN = "\nwhat is no entry: hf:OWNER/NAME and timm:NAME of the hub, and ./FOLDER"


@dataclass(frozen=True)
class Broken:
    """An entry that could not be read. It takes part in nothing, but it is never hidden."""

    kind: Kind
    name: str
    path: Path
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Registry:
    """Every entry by name; tasks by `track/name`. `folders` were searched in this order."""

    methods: Mapping[str, MethodEntry]
    tasks: Mapping[str, TaskEntry]
    tracks: Mapping[str, TrackEntry]
    backbones: Mapping[str, BackboneEntry]
    broken: tuple[Broken, ...] = ()
    folders: tuple[Path, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every mistake in every entry."""
        return tuple(problem for entry in self.broken for problem in entry.problems)

    def require_valid(self) -> None:
        """Raise one `UserError` that lists every mistake, if there is one."""
        if self.problems:
            raise as_error(self.problems)

    def select_methods(self, patterns: Iterable[str]) -> tuple[MethodEntry, ...]:
        """Methods by name or glob, in the order of the registry; `!` takes methods away."""
        return self._select("method", self.methods, patterns)

    def select_backbones(self, patterns: Iterable[str]) -> tuple[BackboneEntry, ...]:
        """Backbones by name or glob; `!` takes backbones away."""
        ids = {entry.source.id: name for name, entry in self.backbones.items()}
        for pattern in split_names(patterns):
            if pattern in ids and pattern not in self.backbones:
                raise UserError(f"'{pattern}' is the backbone '{ids[pattern]}': write its name")
        return self._select("backbone", self.backbones, patterns)

    def tasks_of(self, track: TrackEntry) -> tuple[TaskEntry, ...]:
        """The tasks of a track in the track's order; raises if one of them is broken."""
        self._refuse_broken("task", {f"{track.name}/{name}" for name in track.tasks})
        return tuple(self.tasks[f"{track.name}/{name}"] for name in track.tasks)

    def select_tasks(self, patterns: Iterable[str]) -> tuple[TaskEntry, ...]:
        """Tasks by track (`glue`), name (`rte`) or both (`pacs/sketch`), each with globs.

        A word that names a track means the track; one that begins with `!` takes tasks away.
        Raises `UserError` for an unknown word, for a name that several tracks have, and if a
        selected entry is broken.
        """
        tasks = {*self.tasks, *self._broken_names("task")}
        tracks = {*self.tracks, *self._broken_names("track")}
        found = {
            pattern: self._matching_tasks(pattern.removeprefix("!"), tasks, tracks)
            for pattern in split_names(patterns)
        }
        choices = [*tracks, *tasks, *(key.partition("/")[2] for key in tasks)]
        _refuse_unknown("task or track", found, choices, f"tracks: {_listed(tracks)}")
        keys = _chosen("task", found)
        self._refuse_broken("track", {key.partition("/")[0] for key in keys})
        self._refuse_broken("task", keys)
        return tuple(
            self.tasks[f"{track.name}/{name}"]
            for track in self.tracks.values()
            for name in track.tasks
            if f"{track.name}/{name}" in keys
        )

    def _matching_tasks(self, pattern: str, tasks: set[str], tracks: set[str]) -> set[str]:
        if pattern == "all":
            return tasks
        in_tracks = {
            key for key in tasks for track in [key.partition("/")[0]] if _matches(track, pattern)
        }
        if in_tracks or any(_matches(track, pattern) for track in tracks):
            return in_tracks or {f"{track}/" for track in tracks if _matches(track, pattern)}
        if "/" in pattern:
            return {key for key in tasks if _matches(key, pattern)}
        found = {key for key in tasks if _matches(key.partition("/")[2], pattern)}
        if len(found) > 1 and not _is_glob(pattern):
            raise UserError(
                f"'{pattern}' is a task of several tracks; write one of: {', '.join(sorted(found))}"
            )
        return found

    def _select(
        self, kind: Kind, entries: Mapping[str, E], patterns: Iterable[str]
    ) -> tuple[E, ...]:
        names = {*entries, *self._broken_names(kind)}
        found = {
            pattern: {name for name in names if _matches(name, pattern.removeprefix("!"))}
            for pattern in split_names(patterns)
        }
        given = GIVEN if kind == "backbone" else ""
        _refuse_unknown(kind, found, names, f"{kind}s: {_listed(names)}{given}")
        chosen = _chosen(kind, found)
        self._refuse_broken(kind, chosen)
        return tuple(entry for name, entry in entries.items() if name in chosen)

    def _broken_names(self, kind: Kind) -> set[str]:
        return {entry.name for entry in self.broken if entry.kind == kind}

    def _refuse_broken(self, kind: Kind, names: set[str]) -> None:
        problems = [
            problem
            for entry in self.broken
            if entry.kind == kind and entry.name in names
            for problem in entry.problems
        ]
        if problems:
            raise as_error(problems)


def split_names(words: Iterable[str]) -> tuple[str, ...]:
    """Names from comma- or space-separated words. A path of a folder is one name, whatever
    characters it has."""
    return tuple(
        name
        for word in words
        for name in ([word] if _is_folder(word) else word.replace(",", " ").split())
    )


def _is_folder(word: str) -> bool:
    return "/" in word and Path(word).expanduser().is_dir()


def _chosen(kind: Kind, found: Mapping[str, set[str]]) -> set[str]:
    """What the patterns match, without what those with `!` match."""
    taken = {pattern: names for pattern, names in found.items() if not pattern.startswith("!")}
    if found and not taken:
        words = ",".join(found)
        raise UserError(f"'{words}' takes {kind}s away from none; write 'all,{words}'")
    away = (names for pattern, names in found.items() if pattern not in taken)
    return set().union(*taken.values()).difference(*away)


def _refuse_unknown(
    kind: str, found: Mapping[str, set[str]], choices: Collection[str], known: str
) -> None:
    """Raise one `UserError` for all patterns that match nothing."""
    unknown = [
        f"unknown {kind} '{name}'{did_you_mean(_bare(kind, name), choices)}"
        for pattern, names in found.items()
        for name in [pattern.removeprefix("!")]
        if not names
    ]
    if unknown:
        raise UserError("\n".join([*unknown, known]))


def _bare(kind: str, name: str) -> str:
    """A backbone's name without the organisation in front, as in ids of the hub."""
    return name.rpartition("/")[2] if kind == "backbone" else name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _matches(name: str, pattern: str) -> bool:
    return pattern == "all" or fnmatch.fnmatchcase(normal(name), normal(pattern))
