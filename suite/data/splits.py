"""The three splits of a task as plain columns, before any backbone has seen them."""

import hashlib
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from suite.console import shown
from suite.data.pictures import Pictures
from suite.errors import UserError
from suite.registry.schema import Classification, HubSource, Regression, TaskEntry

Column = Sequence[str] | np.ndarray | Pictures
Columns = Mapping[str, Column]
"""Equally long columns: texts as lists of str, `label` as int64 or float32 [N] or, of several
labels, 0 and 1 [N, L], `image` as uint8 [N, H, W, 3] or as `Pictures`, decoded when read."""


@dataclass(frozen=True)
class Splits:
    """Train, validation and test examples of one task."""

    train: Columns
    validation: Columns
    test: Columns
    note: str = ""
    """What a reader of scores must know about these rows."""

    def digest(self) -> str:
        """SHA-256 over every column of generated splits: names, order, types, shapes and values."""
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
                    assert not isinstance(values, Pictures), "generated images are arrays"
                    sha.update("\x00".join(values).encode())
        return sha.hexdigest()


def take(columns: Columns, rows: np.ndarray) -> Columns:
    """Some rows of every column, by number."""

    def of(values: Column) -> Column:
        if isinstance(values, Pictures):
            return values.take(rows)
        return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]

    return {name: of(values) for name, values in columns.items()}


def checked(task: TaskEntry, source: HubSource, splits: Splits) -> Splits:
    """The splits, with a note of test examples that are in train as well, and of unused classes.

    Raises `UserError` if a split is empty or all its answers are equal, which any constant scores
    perfectly, if more of the test split is in train than the source allows, and if it is a copy of
    validation.
    """
    for name in ("train", "validation", "test"):
        label = getattr(splits, name)["label"]
        if not len(label):
            raise UserError(f"{shown(task.path)}: the {name} split has no rows")
        if (label == label[0]).all():
            equal = f"{label[0]:g}" if label.ndim == 1 else "the same set of labels"
            raise UserError(f"{shown(task.path)}: all {len(label)} answers of {name} are {equal}")
    known = set(_examples(splits.train))
    tested = [*_examples(splits.test)]
    seen = sum(example in known for example in tested)
    total = len(tested)
    if seen > source.duplicates * total:
        least = math.ceil(1000 * seen / total) / 1000
        allowed = f", more than duplicates: {source.duplicates:g} allows"
        raise UserError(
            f"{shown(task.path)}: {seen:,} of {total:,} test examples are also in train"
            f"{allowed if source.duplicates else ''}; "
            "scores on them would say what was remembered. Take them out of train; a benchmark "
            f"that has them states it: sources.full.duplicates: {least:g}"
        )
    if {*tested} == {*_examples(splits.validation)}:
        raise UserError(
            f"{shown(task.path)}: the {total:,} test examples are those of validation, by which "
            "what is scored is chosen: name or carve another split"
        )
    notes = []
    if seen:
        allowed = f"up to {source.duplicates:.1%} are allowed"
        notes = [f"{seen:,} of {total:,} test examples are also in train ({allowed})"]
    if not isinstance(task.output, Regression):
        everywhere = np.concatenate(
            [np.asarray(own["label"]) for own in (splits.train, splits.validation, splits.test)]
        )
        if isinstance(task.output, Classification):
            used = set(np.unique(everywhere).tolist())
        else:
            used = set(np.flatnonzero(everywhere.any(axis=0)).tolist())
        unused = [name for number, name in enumerate(task.output.labels) if number not in used]
        if unused:
            notes.append(f"no example of {', '.join(unused[:3])}{' ...' if unused[3:] else ''}")
    return replace(splits, note="; ".join(notes))


def _examples(columns: Columns) -> Iterator[Hashable]:
    """The inputs of each row, as something that can be compared."""
    inputs = [values for name, values in columns.items() if name != "label"]
    return zip(
        *(values.fingerprints() if isinstance(values, Pictures) else values for values in inputs),
        strict=True,
    )
