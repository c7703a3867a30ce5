"""From parsed arguments to a request: shared by `run`, `plan`, `tune` and `why`."""

import argparse
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from suite.console import say
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.given import with_given
from suite.planning.output import results_folder
from suite.planning.request import Request, request
from suite.planning.shard import shard_of
from suite.registry import Registry, load
from suite.registry.entries import split_names
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import Store
from suite.results.folder import R, Results
from suite.results.records import CellKey, Result

__all__ = [
    "Invocation",
    "load_with_warnings",
    "matching",
    "results_folder",
    "warned",
]


@dataclass(frozen=True)
class Invocation:
    """A command that plans cells, as it was typed."""

    words: tuple[str, ...]
    request: Request
    settings: Settings
    registry: Path | None
    json: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Invocation":
        """The request that the options make. Raises `UserError` for invalid values."""
        given = vars(options)
        settings = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
        return cls(
            words=tuple(options.words),
            request=request(
                options.methods,
                options.tasks,
                options.backbones,
                seeds=options.seeds,
                scale=options.scale,
                steps=options.steps,
                batch_size=options.batch_size,
                examples=options.examples,
                precision=options.precision,
                budget=options.budget,
                options=options.settings,
                store=given.get("store", Store.FLOAT32),
                force=given.get("force", False),
                only_failed=given.get("only_failed", False),
                # A verb without the option, `tune`, needs every cell.
                shard=shard_of(given["shard"], os.environ) if "shard" in given else None,
            ),
            settings=Settings(**settings),
            registry=options.registry,
            json=options.json,
        )

    def with_given(self, registry: Registry, *, fetch: bool) -> tuple["Invocation", Registry]:
        """The same with the backbones that are given by id or folder as entries of the registry."""
        registry, names = with_given(registry, self.request.backbones, fetch=fetch)
        return replace(self, request=replace(self.request, backbones=names)), registry

    def again(self, *more: str) -> str:
        """The command line that continues this one, with some more words."""
        words = [*self.words, *(word for word in more if word not in self.words)]
        return shlex.join(["python", "-m", "suite", *words])


def matching(
    results: Iterable[Result],
    methods: Sequence[str],
    tasks: Sequence[str],
    backbones: Sequence[str],
) -> list[Result]:
    """The results of these methods, tasks (or tracks) and backbones; no names mean all.

    A method's name stands for all its settings; `!name` leaves some out. Raises `UserError` for a
    name of no result.
    """
    kept = list(results)
    for kind, words, names in (
        ("method", methods, lambda cell: (cell.method, cell.name)),
        ("task or track", tasks, _task_names),
        ("backbone", backbones, lambda cell: (cell.backbone,)),
    ):
        asked = split_names(words)
        if not asked:
            continue
        patterns = ["*" if word == "all" else word for word in asked if not word.startswith("!")]
        without = [word[1:] for word in asked if word.startswith("!")]
        if not patterns:
            raise UserError(f"'!{without[0]}' leaves out of nothing: name what to take, or 'all'")
        known = {name for result in kept for name in names(result.cell)}
        for pattern in (*patterns, *without):
            if not any(_is_meant(name, pattern) for name in known):
                near = did_you_mean(pattern, known)
                raise UserError(f"there is no result of the {kind} '{pattern}'{near}")
        kept = [
            result
            for result in kept
            if any(_is_meant(name, p) for name in names(result.cell) for p in patterns)
            and not any(_is_meant(name, p) for name in names(result.cell) for p in without)
        ]
    return kept


def _task_names(cell: CellKey) -> tuple[str, ...]:
    return (cell.track, *cell.tasks, *(f"{cell.track}/{task}" for task in cell.tasks))


def _is_meant(name: str, pattern: str) -> bool:
    # The brackets of `lora[rank=4]` are a set of characters to a glob.
    return name == pattern or fnmatchcase(normal(name), normal(pattern))


def load_with_warnings(folder: Path | None) -> Registry:
    """The registry; broken entries are named on stderr, and refused only if selected."""
    registry = load(folder)
    for entry in registry.broken:
        say(f"warning: {entry.kind} '{entry.name}' is broken: {entry.problems[0]}")
    return registry


def warned(results: Results[R]) -> Results[R]:
    """The results that were read; files that are not results are named on stderr."""
    if results.warning:
        say(results.warning)
    return results
