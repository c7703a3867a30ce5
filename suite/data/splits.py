"""The three splits of a task as plain columns, before any backbone has seen them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Columns = Mapping[str, "Sequence[str] | np.ndarray"]
"""Equally long columns: texts as lists of str, `label` as int64 or float32 [N], `image` as uint8
[N, H, W, 3]."""


@dataclass(frozen=True)
class Splits:
    """Train, validation and test examples of one task."""

    train: Columns
    validation: Columns
    test: Columns

    def digest(self) -> str:
        """SHA-256 over every column of every split: names, order, types, shapes and values."""
        sha = hashlib.sha256()
        for split in ("train", "validation", "test"):
            columns: Columns = getattr(self, split)
            for name in sorted(columns):
                values = columns[name]
                sha.update(f"{split}/{name}/{len(values)}\n".encode())
                if isinstance(values, np.ndarray):
                    sha.update(f"{values.dtype.str}{values.shape}".encode())
                    sha.update(np.ascontiguousarray(values).tobytes())
                else:
                    sha.update("\x00".join(values).encode())
        return sha.hexdigest()
