"""Made-up examples of a task in the files of its full-scale source: the same folders, splits,
columns and kinds of answers, so that everything that reads them can be rehearsed."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from suite.planning.locate import hub_splits
from suite.registry.schema import Classification, HubSource, MultiLabel, Regression, TaskEntry

NOTE = "made-up examples"
MARK = NOTE.encode()
"""A key in the metadata of every such file, from which its reader knows what it is."""
ROWS = 16
"""Of every split that is scored, and of what is trained on."""
WORDS = ("red", "green", "blue", "one", "two", "three", "big", "small", "old", "new")
TEXT_WORDS = 12
IMAGE_SIDE = 64
"""Pixels; readers resize."""


def small_source(source: HubSource) -> HubSource:
    """The source with a validation split that can be carved from so few rows."""
    return source.model_copy(update={"carve": min(source.carve, ROWS)})


def write_examples(task: TaskEntry, folder: Path) -> None:
    """Write the files of the task's full source below `folder`/datasets."""
    import pyarrow as pa
    from pyarrow import parquet

    source = task.sources.full
    assert source is not None, "only tasks with a full source are rehearsed"
    place = folder / "datasets" / source.hub / source.config
    place.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(hub_splits(source).values()):
        rng = np.random.Generator(np.random.PCG64(number))
        # Of a split that is divided both parts are to have so many.
        rows = ROWS if source.split_rule == "named" else 2 * ROWS
        columns = _inputs(task, source, rows, rng) | _answers(task, source, rows, rng)
        table = pa.table(columns).replace_schema_metadata({MARK: b""})
        parquet.write_table(table, place / f"{name}-00000-of-00001.parquet")


def is_made_up(files: Sequence[Path]) -> bool:
    """Whether one of a split's files was written by `write_examples`."""
    from pyarrow.parquet import read_schema

    return any(MARK in (read_schema(path).metadata or {}) for path in files)


def _inputs(
    task: TaskEntry, source: HubSource, rows: int, rng: np.random.Generator
) -> dict[str, list[object]]:
    if task.text:
        return {
            column: [" ".join(rng.choice(WORDS, TEXT_WORDS)) for _ in range(rows)]
            for column in task.text.columns
        }
    return {source.image: [{"bytes": _picture(rng), "path": None} for _ in range(rows)]}


def _picture(rng: np.random.Generator) -> bytes:
    from PIL import Image

    pixels = rng.integers(0, 256, (IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _answers(
    task: TaskEntry, source: HubSource, rows: int, rng: np.random.Generator
) -> dict[str, list[object]]:
    first, *_ = columns = source.label_columns
    match task.output:
        case Regression(minimum=low, maximum=high):
            return {first: rng.uniform(low, high, rows).tolist()}
        case MultiLabel(labels=labels):
            sets = rng.random((rows, len(labels))) < 0.5
            if len(columns) == len(labels):
                return dict(zip(columns, sets.T.astype(int).tolist(), strict=True))
            held = _held(labels)
            return {first: [[held[i] for i in np.flatnonzero(row)] for row in sets]}
        case Classification(labels=labels):
            # No two neighbours are of one class, so that no split has one class alone.
            held = _held(labels)
            return {first: [held[row % len(held)] for row in range(rows)]}


def _held(labels: Sequence[str]) -> list[int]:
    """How a file of numbers holds classes: by their index, or as the numbers that they are."""
    try:
        return [int(label) for label in labels]
    except ValueError:
        return list(range(len(labels)))
