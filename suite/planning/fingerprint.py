"""SHA-256 of files, remembered by size and modification time, so that planning reads none twice."""

import functools
import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from suite.registry.cache import cache_folder, keep

_RACY_NS = 2_000_000_000
"""A file changed this recently may change again within the clock's resolution: do not remember."""

_memory: dict[str, tuple[int, int, str]] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of one file's bytes."""
    status = path.stat()
    key = str(path.resolve())
    for store in (_memory, _remembered()):
        known = store.get(key)
        if known and tuple(known[:2]) == (status.st_size, status.st_mtime_ns):
            return known[2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _memory[key] = (status.st_size, status.st_mtime_ns, digest)
    return digest


def files_digest(files: Iterable[tuple[str, Path]]) -> str:
    """One SHA-256 over named files: their names and their contents."""
    sha = hashlib.sha256()
    for name, path in sorted(files):
        sha.update(f"{name}\0{file_digest(path)}\n".encode())
    return sha.hexdigest()


def remember() -> None:
    """Keep what was computed for the next process, in the user's cache folder."""
    settled = {key: known for key, known in _memory.items() if known[1] < time.time_ns() - _RACY_NS}
    if not settled.keys() - _remembered().keys():
        return
    keep(_cache_file(), json.dumps({**_remembered(), **settled}))


@functools.cache
def _remembered() -> dict[str, tuple[int, int, str]]:
    try:
        kept = json.loads(_cache_file().read_text())
        return {
            path: (int(size), int(modified), str(digest))
            for path, (size, modified, digest) in kept.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _cache_file() -> Path:
    return cache_folder() / "fingerprints.json"
