"""Where the suite keeps what it can always make again."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/suite`, by default `~/.cache/suite`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "suite"


def keep(target: Path, content: str | bytes) -> bool:
    """Write a file of the cache completely or not at all; returns whether that worked."""
    part = target.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(target)
    except OSError:
        # A read-only home or a full disk costs time on the next run, nothing else.
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def given_backbones() -> Path:
    """The folder of the entries of backbones that were given by an id or a folder."""
    return cache_folder() / "backbones"
