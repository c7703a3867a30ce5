"""Parts of boards, kept from one time that pages are written to the next.

In a folder of many results, a part whose results have not changed is taken from the user's cache
folder. What is kept is what `parts` gives, so that pages are the same with it and without.
"""

import hashlib
import pickle
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy

from suite.leaderboards.aggregate import track_of
from suite.leaderboards.parts import Part, parts
from suite.registry.cache import cache_folder
from suite.results.records import NoResult
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
        own = kept.find(share) if kept else None
        if own is None:
            results = share.read()
            for cell in results:
                track_of(cell, registry)
            own = parts([*results.values()], registry)
            left_out += results.left_out
            if kept and not results.left_out:
                kept.keep(share, own)
        found += own
    return Found(tuple(found), tuple(sorted(left_out, key=lambda reason: reason.place)))


class _Kept:
    """What is kept of one output folder: a file for each share."""

    def __init__(self, out: Path, registry: "Registry") -> None:
        self.out = out.resolve()
        self.registry = registry
        self.folder = cache_folder() / "boards" / _digest(str(self.out))[:16]
        versions = f"{sys.version} {np.__version__} {scipy.__version__}"
        tracks = [track.model_dump_json() for track in registry.tracks.values()]
        # Read each time: a size and a time of modification would miss some quick edits.
        files = [path for name in _READERS for path in sorted((_PACKAGE / name).rglob("*.py"))]
        self.basis = _digest("\0".join([versions, *tracks, *(p.read_text() for p in files)]))

    def find(self, share: Share) -> list[Part] | None:
        """The parts of a share as it is now."""
        # Whatever is wrong with the file, the results can be read again.
        with suppress(Exception):
            state, found = pickle.loads(self._path(share).read_bytes())
            if state == self._state(share):
                return list(found)
        return None

    def keep(self, share: Share, found: list[Part]) -> None:
        """Keep the parts of a share for the next time."""
        # A read-only home costs time on the next run, nothing else.
        with suppress(OSError):
            if not self.folder.is_dir():
                self._tidy()
                self.folder.mkdir(parents=True)
                (self.folder / _WHERE).write_text(str(self.out))
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                file.write(pickle.dumps((self._state(share), found)))
            Path(file.name).replace(self._path(share))

    def _tidy(self) -> None:
        """Remove what is kept of folders that are gone."""
        for where in self.folder.parent.glob(f"*/{_WHERE}"):
            if not Path(where.read_text()).is_dir():
                shutil.rmtree(where.parent, ignore_errors=True)

    def _path(self, share: Share) -> Path:
        return self.folder / f"{_digest(share.name)[:16]}.pickle"

    def _state(self, share: Share) -> str:
        entry = self.registry.methods.get(share.method)
        described = entry.model_dump_json() if entry else ""
        return _digest(f"{self.basis}\0{share.state}\0{described}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
