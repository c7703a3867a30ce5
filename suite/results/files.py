"""Files of results: each is written whole or not at all, and read only if it is one."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from suite.console import shown
from suite.errors import UserError
from suite.registry.files import Unreadable, content

R = TypeVar("R", bound=BaseModel)

LARGEST_BYTES = 64 * 2**20
"""No file above this is read as one result: predictions of millions of examples take less."""
_SHOWN = 10


def replace_file(target: Path, content: str | bytes) -> Path:
    """Write a file, its folder too, so that a crash leaves the old one or the whole new one.

    Raises `UserError` if that is impossible: a full disk, a folder that is read-only.
    """
    with replacing(target) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return target


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """What is written inside becomes the file `target` at the end, all of it or nothing.

    Raises `UserError` for an `OSError`, that of what is written inside included.
    """
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{secrets.token_hex(8)}.tmp")
        # Opened as any file is, so that the umask decides who may read and replace it.
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise UserError(f"{shown(target)}: cannot be written ({error.strerror})") from None
    finally:
        if part:
            part.unlink(missing_ok=True)


class NoResult(UserError):
    """A file or line that holds no result of this version; `reason` says what it is instead."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"{place}: {reason}; move it away or delete it, and its cell will run again"
        )
        self.place = place
        self.reason = reason


def warning_of(left_out: Sequence[NoResult], kind: str = "result") -> str:
    """What was left out because it is no `kind`, and why; empty if nothing was."""
    if not left_out:
        return ""
    lines = [f"  {each.place}: {each.reason}" for each in left_out[:_SHOWN]]
    more = len(left_out) - len(lines)
    lines += [f"  and {more} more"] if more else []
    return "\n".join([f"warning: left out, because it is no {kind}:", *lines])


def read_record(path: Path, kind: type[R]) -> R:
    """The record in the file at `path`, or the part of it that `kind` declares.

    Raises `NoResult` for anything else that lies there: it is never overwritten unseen. Raises
    `FileNotFoundError` where nothing does.
    """
    try:
        return kind.model_validate_json(content(path, LARGEST_BYTES, "results"))
    except ValidationError as error:
        raise NoResult(shown(path), mismatch(error)) from None
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise NoResult(shown(path), f"cannot be read ({error.strerror})") from None
    except Unreadable as error:
        raise NoResult(shown(path), str(error)) from None


def mismatch(error: ValidationError) -> str:
    """The reason, on one line, why a value is not a result."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    what = f"{place}: {first['msg']}" if place else first["msg"]
    return f"not a result of this version ({what})"
