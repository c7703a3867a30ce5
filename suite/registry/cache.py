"""Where the suite keeps what it can always make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/suite`, by default `~/.cache/suite`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "suite"


def given_backbones() -> Path:
    """The folder of the entries of backbones that were given by an id or a folder."""
    return cache_folder() / "backbones"
