"""The contract test of a task: the checks that its examples must pass."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from suite.data.sources import load_splits
from suite.data.splits import Columns, Splits
from suite.errors import UserError
from suite.planning.locate import DatasetFiles, Missing, locate_dataset
from suite.registry.schema import Classification, MultiLabel, Regression, Scale, TaskEntry

Checks = Mapping[str, Callable[[TaskEntry, Splits], str]]
MAJORITY = 0.9
SMALLEST_TEST = 50
IMAGE_SIZE = 32
"""Of real images: no check depends on it."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of a task."""

    scale: Scale
    check: str
    fault: str
    """What is wrong; empty if the task keeps this promise."""


def check_task(task: TaskEntry) -> Iterator[Finding]:
    """Generate the task and check its examples, and those of its full-scale source if they are on
    this machine. Raises `UserError` if there is nothing to check."""
    found = locate_dataset(task) if task.sources.full else None
    if task.sources.mini is None and isinstance(found, Missing):
        raise UserError(f"{task.name} has no mini source, and of its full one:\n{found}")
    if task.sources.mini:
        yield from _check(task, Scale.MINI, None, "generates what its digest says", GENERATED)
    if isinstance(found, DatasetFiles):
        yield from _check(task, Scale.FULL, IMAGE_SIZE, "files are read and split", READ)


def _check(
    task: TaskEntry, scale: Scale, image_size: int | None, first: str, checks: Checks
) -> Iterator[Finding]:
    try:
        splits = load_splits(task, scale, image_size)
    except UserError as error:
        yield Finding(scale, first, str(error))
        return
    yield Finding(scale, first, "")
    for name, check in checks.items():
        fault = check(task, splits)
        yield Finding(scale, name, fault)
        if fault and check is _columns:
            return  # the rest reads columns


def _repeats(task: TaskEntry, splits: Splits) -> str:
    again = load_splits(task, Scale.MINI, None).digest()
    return "" if again == splits.digest() else "generated twice, the examples differ"


def _columns(task: TaskEntry, splits: Splits) -> str:
    wanted = {*(task.text.columns if task.text else ("image",)), "label"}
    for name, columns in _splits(splits):
        if set(columns) != wanted:
            return f"{name} has the columns {sorted(columns)}, not {sorted(wanted)}"
        lengths = {column: len(values) for column, values in columns.items()}
        if len(set(lengths.values())) != 1:
            return f"the columns of {name} are not equally long: {lengths}"
        if not lengths["label"]:
            return f"{name} has no examples"
        kind = np.asarray(columns["label"]).dtype.kind
        if isinstance(task.output, Classification) and kind not in "iu":
            return f"label of {name} must be whole numbers: indices of output.labels"
        if isinstance(task.output, Regression) and kind not in "iuf":
            return f"label of {name} must be numbers"
        if isinstance(task.output, MultiLabel):
            shape = (lengths["label"], len(task.output.labels))
            if kind not in "iu" or np.shape(columns["label"]) != shape:
                return f"label of {name} must be 0 or 1 for each label, whole numbers {list(shape)}"
        for column in task.text.columns if task.text else ():
            if not isinstance(columns[column], list):
                return f"{column} of {name} is not a list of texts"
        image = np.asarray(columns.get("image", ()))
        if not task.text and (image.dtype != np.uint8 or image.shape[3:] != (3,)):
            return f"image of {name} is not uint8 [N, H, W, 3]"
    return ""


def _labels(task: TaskEntry, splits: Splits) -> str:
    for name, columns in _splits(splits):
        label = np.asarray(columns["label"])
        if isinstance(task.output, Regression):
            low, high = task.output.minimum, task.output.maximum
            if not ((label >= low) & (label <= high)).all():
                return f"labels of {name} leave the range {low:g} to {high:g}"
            continue
        if isinstance(task.output, MultiLabel):
            if set(np.unique(label)) - {0, 1}:
                return f"labels of {name} are not all 0 or 1"
            if not label.any(axis=0).all():
                first = task.output.labels[int(label.any(axis=0).argmin())]
                return f"{name} has no example of '{first}'"
            continue
        absent = set(range(len(task.output.labels))) - set(label.tolist())
        beyond = set(label.tolist()) - set(range(len(task.output.labels)))
        if beyond:
            return f"{name} has the label {min(beyond)}, output.labels has no such index"
        if absent:
            return f"{name} has no example of '{task.output.labels[min(absent)]}'"
    return ""


def _disjoint(task: TaskEntry, splits: Splits) -> str:
    train, test = _rows(splits.train), _rows(splits.test)
    both = len(test.keys() & train.keys())
    return f"{both} examples of test are also in train" if both else ""


def _balanced(task: TaskEntry, splits: Splits) -> str:
    if isinstance(task.output, Regression):
        return ""
    label = np.asarray(splits.test["label"])
    share = np.unique(label, axis=0, return_counts=True)[1].max() / len(label)
    what = "class" if isinstance(task.output, Classification) else "set of labels"
    return f"one {what} is {share:.0%} of test" if share > MAJORITY else ""


def _large_enough(task: TaskEntry, splits: Splits) -> str:
    count = len(splits.test["label"])
    return f"test has only {count} examples" if count < SMALLEST_TEST else ""


def _splits(splits: Splits) -> Iterator[tuple[str, Columns]]:
    for name in ("train", "validation", "test"):
        yield name, getattr(splits, name)


def _rows(columns: Columns) -> Counter[str]:
    inputs = [values for name, values in sorted(columns.items()) if name != "label"]
    return Counter(
        hashlib.sha256(
            b"\0".join(
                value.tobytes() if isinstance(value, np.ndarray) else value.encode()
                for value in row
            )
        ).hexdigest()
        for row in zip(*inputs, strict=True)
    )


GENERATED: Checks = {
    "is the same every time": _repeats,
    "has the columns it declares": _columns,
    "has labels in range, all classes": _labels,
    "shares no example of test and train": _disjoint,
    "is not one class": _balanced,
    "has enough test examples": _large_enough,
}
READ: Checks = {
    "is not one class": _balanced,
    "has enough test examples": _large_enough,
}
"""Columns, labels, and examples of test that are in train: reading refuses them."""
