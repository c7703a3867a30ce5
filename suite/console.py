"""What the user sees: results on stdout, everything else on stderr, colour only on a terminal."""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

_COLOURS = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "dim": 2}
_CONTROL = re.compile(r"\x1b\[[0-9;]*m")


def out(text: str) -> None:
    """A line of the answer, on stdout."""
    _write(sys.stdout, text)


def out_json(value: object) -> None:
    """The answer for machines, on stdout."""
    out(json.dumps(value, indent=2))


def say(text: str) -> None:
    """A message, on stderr."""
    _write(sys.stderr, text)


def prepare_streams() -> None:
    """Make the standard streams such that nothing that is written to them ends the program."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Closed: the next file that is opened would get its number, and what is printed.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files need not be text, and not every terminal has all letters.
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Bring everything to stdout that has been written to it."""
    with _lost(sys.stdout):
        sys.stdout.flush()


def _write(stream: TextIO, text: str) -> None:
    # Flushed each time: a reader that is gone is then noticed here, and not at exit.
    with _lost(stream):
        stream.write(text + "\n")
        stream.flush()


@contextlib.contextmanager
def _lost(stream: TextIO) -> Iterator[None]:
    """Go on if a stream is closed or full: cells matter more than lines about them."""
    try:
        yield
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            say(f"stdout: cannot be written ({error})")


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream is a terminal that wants one."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def shown(path: Path) -> str:
    """A path as the user would type it: relative to the current directory if it is inside it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def one_line(text: str) -> str:
    """A text that somebody else wrote, with line breaks and control characters written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
