"""Read the examples of a task: generated beside its YAML, or from parquet files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from suite.console import shown
from suite.data.labels import (
    Place,
    classes,
    keep,
    label_columns,
    label_sets,
    numbers,
    texts,
)
from suite.data.made_up import NOTE, is_made_up
from suite.data.orientation import as_seen
from suite.data.pictures import Pictures
from suite.data.splits import Columns, Splits, checked, take
from suite.data.tables import read_table
from suite.errors import UserError
from suite.planning.locate import dataset_files
from suite.registry.modules import load_module
from suite.registry.schema import (
    Classification,
    GeneratedSource,
    HubSource,
    Regression,
    Scale,
    TaskEntry,
)

if TYPE_CHECKING:
    import datasets

PERMUTATION_SEED = 42


def load_splits(task: TaskEntry, scale: Scale, image_size: int | None) -> Splits:
    """All examples of a task at a scale.

    `image_size` (pixels) is the backbone's; images of a full-scale task are resized to it: the
    shorter side, then a central crop. Raises UserError if the data are missing or differ from what
    the registry says.
    """
    source = task.sources.at(scale)
    assert source is not None, "the plan lets no task without a source through"
    if isinstance(source, GeneratedSource):
        return _generated(task, source)
    return _tabular(task, source, image_size)


def departure(task: TaskEntry, scale: Scale, train: int, validation: int, test: int) -> str:
    """How the rows read at full scale differ from the official counts; empty if they do not."""
    source = task.sources.at(scale)
    if not isinstance(source, HubSource) or not task.official:
        return ""
    match source.split_rule:
        case "halve_validation":
            rows = {"train": train, "validation": validation + test}
        case "carve_from_train":
            rows = {
                source.splits.get("train", "train"): train + validation,
                source.splits.get("test", "test"): test,
            }
        case "named":
            sizes = {"train": train, "validation": validation, "test": test}
            rows = {name: sizes[split] for split, name in source.splits.items()}
    parts = [
        f"{split} has {rows[split]:,} of {official:,} rows"
        for split, official in task.official.items()
        if split in rows and rows[split] != official
    ]
    return f"not the official data: {', '.join(parts)}" if parts else ""


def _generated(task: TaskEntry, source: GeneratedSource) -> Splits:
    make: Callable[[], Splits] = getattr(
        load_module(task.path.parent / source.python), source.function
    )
    maker = f"{shown(task.path)}: {source.function}() of {source.python}"
    splits, digest = _made(make, maker)
    if digest != source.digest:
        if _made(make, maker)[1] != digest:
            raise UserError(f"{maker} makes other data at every call: seed what it draws from")
        raise UserError(
            f"{maker} made data with digest {digest}, but sources.mini.digest is {source.digest}. "
            "If the generator was meant to change, raise its version and write the new digest"
        )
    return splits


def _made(make: Callable[[], Splits], maker: str) -> tuple[Splits, str]:
    """The splits that a contributor's function returns, and their digest."""
    try:
        splits = make()
        if not isinstance(splits, Splits):
            raise UserError(f"{maker} returns {type(splits).__name__}, not Splits")
        return splits, splits.digest()
    except (Exception, SystemExit) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{maker} raises {type(error).__name__}: {error}") from error


def _tabular(task: TaskEntry, source: HubSource, image_size: int | None) -> Splits:
    files = dataset_files(task)

    def read(split: str) -> Columns:
        rows = read_table(files.splits[split], files.fingerprint)
        return _columns(rows, split, task, source, image_size)

    match source.split_rule:
        case "named":
            splits = Splits(read("train"), read("validation"), read("test"))
        case "halve_validation":
            held_out = read("validation")
            order = _permutation(len(held_out["label"]))
            first, second = np.array_split(order, 2)
            splits = Splits(read("train"), take(held_out, first), take(held_out, second))
        case "carve_from_train":
            train = read("train")
            order = _permutation(len(train["label"]))
            carved, kept = order[: source.carve], np.sort(order[source.carve :])
            if not len(kept):
                raise UserError(
                    f"{shown(task.path)}: carve: {source.carve} leaves nothing of the "
                    f"{len(order)} rows of train"
                )
            splits = Splits(take(train, kept), take(train, carved), read("test"))
    splits = checked(task, source, splits)
    if any(map(is_made_up, files.splits.values())):
        return replace(splits, note="; ".join(filter(None, (NOTE, splits.note))))
    return splits


def _values(rows: "datasets.Dataset", column: str, place: Place) -> list[object]:
    """A column as Python's values. Raises UserError for a text that is not UTF-8."""
    try:
        return list(rows[column])
    except UnicodeDecodeError:
        for row in range(len(rows)):
            try:
                rows[row][column]
            except UnicodeDecodeError as error:
                raise place.problem(row, f"is not UTF-8 ({error.reason})") from None
        raise


def _columns(
    rows: "datasets.Dataset",
    split: str,
    task: TaskEntry,
    source: HubSource,
    image_size: int | None,
) -> Columns:
    wanted = [*task.text.columns] if task.text else [source.image]
    absent = [name for name in [*wanted, *source.label_columns] if name not in rows.column_names]
    if absent:
        raise UserError(
            f"{shown(task.path)}: {source.hub} has no column {', '.join(absent)}; "
            f"it has {', '.join(rows.column_names)}"
        )
    kept: np.ndarray | None = None
    total = len(rows)

    def place(column: str) -> Place:
        return Place(shown(task.path), split, column, total, kept)

    answers = [_values(rows, name, place(name)) for name in source.label_columns]
    names = _label_names(rows, source.label_columns[0])
    chosen = keep(answers, source.drop_labels, names)
    if not len(chosen):
        left = f", all {total} of them dropped by drop_labels" if total else ""
        raise UserError(f"{shown(task.path)}: {split} of {source.hub} has no rows{left}")
    if len(chosen) < total:
        kept, rows = chosen, rows.select(chosen)
        answers = [[column[row] for row in chosen] for column in answers]
    label = _label(answers, task, source, names, place)
    if task.text:
        columns = {
            name: texts(_values(rows, name, place(name)), place(name)) for name in task.text.columns
        }
        return {**columns, "label": label}
    assert image_size is not None, "an image backbone states its image size"
    import datasets

    encoded = rows.select_columns([source.image])
    if isinstance(encoded.features[source.image], datasets.Image):
        # As bytes: what is not a whole image is then found in our hands, with its row.
        encoded = encoded.cast_column(source.image, datasets.Image(decode=False))
    problem = place(source.image).problem

    def read(row: int) -> object:
        try:
            return as_seen(encoded[row][source.image])
        except ValueError as error:
            raise problem(row, str(error)) from None

    pictures = Pictures(np.arange(len(rows)), read, problem, image_size)
    return {"image": pictures, "label": label}


def _label_names(rows: "datasets.Dataset", column: str) -> Sequence[str] | None:
    """The names that a file gives the numbers of a column, if it does."""
    import datasets

    kind = rows.features[column]
    # Of a list the kind of what it holds.
    kind = getattr(kind, "feature", kind)
    return kind.names if isinstance(kind, datasets.ClassLabel) else None


def _label(
    answers: Sequence[Sequence[object]],
    task: TaskEntry,
    source: HubSource,
    names: Sequence[str] | None,
    place: Callable[[str], Place],
) -> np.ndarray:
    """The answers of all rows, from the columns that hold them."""
    if not isinstance(source.label, str):
        return label_columns(answers, lambda number: place(source.label_columns[number]))
    (own,) = answers
    if isinstance(task.output, Regression):
        return numbers(own, task.output, place(source.label))
    if isinstance(task.output, Classification):
        return classes(own, task.output, names, place(source.label))
    return label_sets(own, task.output, names, place(source.label))


def _permutation(rows: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(rows)
