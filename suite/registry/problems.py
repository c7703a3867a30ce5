"""Mistakes in registry files, each with its exact place."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suite.console import one_line, shown
from suite.errors import UserError

Location = tuple[str | int, ...]
"""Keys and list indices from the top of a document to a value."""


@dataclass(frozen=True)
class Problem:
    """One mistake. Lines and columns count from 1."""

    path: Path
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{shown(self.path)}:{self.line}:{self.column}"
        text = f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"
        return one_line(text)


def dotted(location: Location) -> str:
    """`options.rank` or `tasks[2]`, as messages name a value."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def as_error(problems: Iterable[Problem]) -> UserError:
    """All problems as the one message a user sees."""
    lines = [str(problem) for problem in problems]
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return UserError("\n".join([f"{count} in the registry:", *lines]))
