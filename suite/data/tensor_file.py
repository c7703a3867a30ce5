"""A file of tensors that is written in parts and known to be whole when it is read.

In the format of safetensors, with a digest of everything in its metadata. Tensors that are read lie
in the mapped file: several workers share its pages, and data larger than memory can be trained on.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

Layout = Mapping[str, tuple[np.dtype, tuple[int, ...]]]
"""Name -> data type and shape of a tensor."""

_TYPES = {
    "uint8": "U8", "int16": "I16", "int32": "I32", "int64": "I64", "float32": "F32",
}  # fmt: skip
_UNKNOWN = "0" * 64
"""Stands for the digest until it is known, and while it is computed."""
_CHUNK = 1 << 24


class TensorFile:
    """The file while it is written: fill `arrays`, then `close`.

    It has another name until then, so that nobody reads half of it. Raises OSError if the disk has
    no room for it.
    """

    def __init__(self, path: Path, layout: Layout, note: str) -> None:
        self.path = path
        self.part = path.with_suffix(f".{os.getpid()}.part")
        self.header, size = _header(layout, note)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.part.open("wb") as file:
            file.write(self.header)
            # Taken from the disk now: a page of a mapped file that finds no room ends the process.
            os.posix_fallocate(file.fileno(), 0, len(self.header) + size)
        self.arrays: dict[str, np.ndarray] = {}
        start = len(self.header)
        for name, (dtype, shape) in layout.items():
            mapped = np.memmap(self.part, np.uint8, "r+", start, prod(shape) * dtype.itemsize)
            self.arrays[name] = mapped.view(dtype).reshape(shape)
            start += mapped.nbytes

    def close(self) -> None:
        """Write the digest and give the file its name."""
        self.arrays.clear()
        digest = _file_digest(self.part).encode()
        with self.part.open("r+b") as file:
            file.seek(self.header.index(_UNKNOWN.encode()))
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        self.part.replace(self.path)

    def discard(self) -> None:
        """Remove what was written."""
        self.arrays.clear()
        self.part.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], str] | None:
    """The tensors and the note of a file; None if there is none, or it is not as it was written."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if _file_digest(path, metadata.get("sha256", "")) != metadata.get("sha256"):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, metadata["note"]
    except (OSError, SafetensorError, KeyError):
        return None


def _header(layout: Layout, note: str) -> tuple[bytes, int]:
    """The first bytes of the file, and how many follow them."""
    entries: dict[str, object] = {"__metadata__": {"sha256": _UNKNOWN, "note": note}}
    start = 0
    for name, (dtype, shape) in layout.items():
        end = start + prod(shape) * dtype.itemsize
        entries[name] = {
            "dtype": _TYPES[dtype.name], "shape": list(shape), "data_offsets": [start, end],
        }  # fmt: skip
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, start


def _file_digest(path: Path, known: str = "") -> str:
    """SHA-256 of the file with `_UNKNOWN` in the place of its digest, which may be `known`."""
    sha = hashlib.sha256()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        length = 8 + int.from_bytes(data[:8], "little")
        header = data[:length]
        sha.update(header.replace(known.encode(), _UNKNOWN.encode(), 1) if known else header)
        for start in range(length, len(data), _CHUNK):
            sha.update(data[start : start + _CHUNK])
    return sha.hexdigest()
