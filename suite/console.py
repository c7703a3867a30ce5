"""What the user sees: results on stdout, everything else on stderr, colour only on a terminal."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

_COLOURS = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "dim": 2}
_CONTROL = re.compile(r"\x1b\[[0-9;]*m")


def out(text: str) -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(text + "\n")


def out_json(value: object) -> None:
    """The answer for machines, on stdout."""
    out(json.dumps(value, indent=2))


def say(text: str) -> None:
    """A message, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream is a terminal that wants one."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def shown(path: Path) -> str:
    """A path as the user would type it: relative to the current directory if it is inside it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns without trailing spaces."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    text = [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([coloured(text[0], "bold"), *text[1:]])


def _width(text: str) -> int:
    return len(_CONTROL.sub("", text))
