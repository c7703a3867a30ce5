"""Files that somebody else wrote, read without waiting for what never ends."""

import os
import stat
from pathlib import Path


class Unreadable(Exception):
    """What lies at a path is no plain file of a sensible size; the message says what it is."""


def content(path: Path, largest: int, what: str) -> bytes:
    """The bytes of a file of at most `largest` bytes; `what` names in the plural what is read.

    Raises `OSError` as reading does, and `Unreadable` for a larger file and for a folder, a device
    or a pipe.
    """
    # A pipe that nobody writes to would be waited for: opening it must not block.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size > largest:
            raise Unreadable(f"{status.st_size / 1e6:.0f} MB, larger than {what} are")
        with os.fdopen(file, "rb", closefd=False) as whole:
            return whole.read()
    finally:
        os.close(file)
