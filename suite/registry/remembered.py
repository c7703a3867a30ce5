"""A registry is parsed and checked once, and then remembered until one of its files changes."""

import pickle
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pydantic

from suite.registry.cache import cache_folder, keep
from suite.registry.entries import Registry
from suite.registry.families import FOLDER as FAMILIES

KINDS = {".yaml", ".yml", ".py"}


def remembered(folders: Iterable[Path], read: Callable[[], Registry]) -> Registry:
    """What `read` makes of the files in these folders, from the user's cache folder if they are
    the same as when it was made. A registry with mistakes is not remembered."""
    folders = list(folders)
    state = _state([*folders, Path(__file__).parent, FAMILIES, FAMILIES.with_name("family.py")])
    if state is None:
        return read()
    name = sha256("\0".join(map(str, folders)).encode()).hexdigest()[:16]
    path = cache_folder() / "registry" / f"{name}.pickle"
    # Whatever is wrong with the file, the registry can be read again.
    with suppress(Exception):
        kept, registry = pickle.loads(path.read_bytes())
        if kept == state and isinstance(registry, Registry):
            return registry
    registry = read()
    if not registry.broken:
        keep(path, pickle.dumps((state, registry)))
    return registry


def _state(folders: Iterable[Path]) -> str | None:
    """A digest of all that a registry is made from; None if some of it is no plain file."""
    state = sha256(f"{sys.version}\0{pydantic.VERSION}\0".encode())
    for folder in folders:
        # The second, because the first does not look into folders that are links.
        inside = {*folder.rglob("*"), *folder.glob("*/*")} if folder.is_dir() else {folder}
        for path in sorted(inside):
            if path.suffix.lower() in KINDS:
                # Read each time: a size and a time of modification would miss some quick edits.
                try:
                    if not path.is_file():
                        return None
                    content = sha256(path.read_bytes()).hexdigest()
                except OSError:
                    return None
                state.update(f"{path}\0{content}\n".encode())
    return state.hexdigest()
