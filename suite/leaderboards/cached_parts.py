"""Parts of boards and their plots, kept from one time that pages are written to the next.

In a folder of many results, a part whose results have not changed is taken from the user's cache
folder, and so is the plot of a board whose points have not. What is kept is what `parts` and
`render` give, so that pages are the same with it and without.
"""

import hashlib
import pickle
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import scipy

from suite.errors import UserError
from suite.leaderboards import plot
from suite.leaderboards.board import Board
from suite.leaderboards.parts import Part, parts
from suite.registry.cache import cache_folder
from suite.results.files import NoResult, replace_file
from suite.results.shares import Moved, Share, shares

if TYPE_CHECKING:
    from suite.registry import Registry

MANY = 1000
"""Results of a folder from which on parts are kept: fewer are soon read again."""
_PACKAGE = Path(__file__).parents[1]
_READERS = ("leaderboards", "registry", "results")
"""The packages whose code makes parts of results."""
_WHERE = "folder.txt"


@dataclass(frozen=True)
class Found:
    """The parts of all boards of an output folder."""

    parts: tuple[Part, ...]
    left_out: tuple[NoResult, ...]
    """Files, and lines of packs, that are no results."""
    draw: Callable[[Board], bytes | None]
    """Gives the plot of a board."""


def read_parts(out: Path, registry: "Registry", *, anew: bool = False) -> Found:
    """The parts of an output folder; `anew`: all from the results, whatever is kept.

    Raises `UserError` if a result belongs to a track that the registry does not have, and for a
    pack in which a merge left both sides.
    """
    while True:
        # A result that was packed after its folder was listed is a line in the next list.
        with suppress(Moved):
            return _read(out, registry, anew=anew)


def _read(out: Path, registry: "Registry", *, anew: bool) -> Found:
    every = shares(out)
    kept = None if anew or sum(map(len, every)) < MANY else _Kept(out, registry)
    found: list[Part] = []
    left_out: list[NoResult] = []
    for share in every:
        own = kept.parts(share) if kept else None
        if own is None:
            results = share.read()
            own = parts([*results.values()], registry)
            left_out += results.left_out
            if kept and not results.left_out:
                kept.keep(share, own)
        found += own
    left_out.sort(key=lambda reason: reason.place)
    return Found(tuple(found), tuple(left_out), kept.draw if kept else plot.render)


class _Kept:
    """What is kept of one output folder: a file for each share and each plot."""

    def __init__(self, out: Path, registry: "Registry") -> None:
        self.out = out.resolve()
        self.registry = registry
        self.folder = cache_folder() / "boards" / _digest(str(self.out))[:16]
        versions = f"{sys.version} {np.__version__} {scipy.__version__}"
        tracks = [track.model_dump_json() for track in registry.tracks.values()]
        # Read each time: a size and a time of modification would miss some quick edits.
        files = [path for name in _READERS for path in sorted((_PACKAGE / name).rglob("*.py"))]
        self.basis = _digest("\0".join([versions, *tracks, *(p.read_text() for p in files)]))

    def parts(self, share: Share) -> list[Part] | None:
        """The parts of a share as it is now, if they are kept."""
        found: list[Part] | None = self._find(share.name, self._state(share))
        return found

    def keep(self, share: Share, found: list[Part]) -> None:
        """Keep the parts of a share for the next time."""
        self._keep(share.name, self._state(share), found)

    def draw(self, board: Board) -> bytes | None:
        """The plot of a board."""
        name = f"plot {board.name}"
        state = _digest(f"{self.basis}\0{matplotlib.__version__}\0{plot.content(board)!r}")
        image: bytes | None = self._find(name, state)
        if image is None:
            image = plot.render(board)
            self._keep(name, state, image)
        return image

    def _find(self, name: str, state: str) -> Any:
        # Whatever is wrong with the file, what it held can be made again.
        with suppress(Exception):
            kept, content = pickle.loads(self._path(name).read_bytes())
            if kept == state:
                return content
        return None

    def _keep(self, name: str, state: str, content: object) -> None:
        # A read-only home costs time on the next run, nothing else.
        with suppress(UserError):
            if not self.folder.is_dir():
                self._tidy()
                replace_file(self.folder / _WHERE, str(self.out))
            replace_file(self._path(name), pickle.dumps((state, content)))

    def _tidy(self) -> None:
        """Remove what is kept of folders that are gone."""
        for where in self.folder.parent.glob(f"*/{_WHERE}"):
            # Another process may tidy as well.
            with suppress(OSError, ValueError):
                if not Path(where.read_text()).is_dir():
                    shutil.rmtree(where.parent, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{_digest(name)[:16]}.pickle"

    def _state(self, share: Share) -> str:
        entry = self.registry.methods.get(share.method)
        described = entry.model_dump_json() if entry else ""
        return _digest(f"{self.basis}\0{share.state}\0{described}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
