"""From parsed arguments to a request: shared by `run`, `plan`, `tune` and `why`."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from suite.console import say
from suite.engine.settings import Settings
from suite.planning.output import results_folder
from suite.planning.request import Request, request
from suite.registry import Registry, load
from suite.registry.schema import Store
from suite.results.folder import R, Results

__all__ = ["Invocation", "load_with_warnings", "results_folder", "warned"]


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
                options=options.settings,
                store=given.get("store", Store.FLOAT32),
                force=given.get("force", False),
                only_failed=given.get("only_failed", False),
            ),
            settings=Settings(**settings),
            registry=options.registry,
            json=options.json,
        )

    def again(self, *more: str) -> str:
        """The command line that continues this one, with some more words."""
        words = [*self.words, *(word for word in more if word not in self.words)]
        return shlex.join(["python", "-m", "suite", *words])


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
