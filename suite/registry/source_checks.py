"""What can be wrong with where a task's examples come from, as far as its file shows."""

from collections.abc import Iterator, Mapping, Sequence

from suite.registry.names import stays_inside
from suite.registry.problems import Location
from suite.registry.schema import HubSource, SplitName, TaskEntry

Mistakes = Iterator[tuple[Location, str]]
"""Where in the entry's file, and what is wrong there."""
READ: Mapping[str, tuple[SplitName, ...]] = {
    "halve_validation": ("train", "validation"),
    "carve_from_train": ("train", "test"),
    "named": ("train", "validation", "test"),
}
"""The splits that each rule reads."""


def source_mistakes(entry: TaskEntry, source: HubSource) -> Mistakes:
    """The names, splits and columns of a full source."""
    here: Location = ("sources", "full")
    for key in ("hub", "config"):
        yield from path_mistakes((*here, key), getattr(source, key))
    for split, name in source.splits.items():
        yield from path_mistakes((*here, "splits", split), name)
    yield from _split_mistakes(source)
    yield from _same_split_mistakes(source)
    yield from _column_mistakes(entry, source)


def _split_mistakes(source: HubSource) -> Mistakes:
    needed = {
        "halve_validation": (),
        "carve_from_train": ("test",),
        "named": ("train", "validation", "test"),
    }[source.split_rule]
    missing = [split for split in needed if split not in source.splits]
    if missing:
        yield (
            ("sources", "full", "splits"),
            f"the rule '{source.split_rule}' needs the hub's name for: {', '.join(missing)}",
        )


def _same_split_mistakes(source: HubSource) -> Mistakes:
    first: dict[str, SplitName] = {}
    for split in READ[source.split_rule]:
        name = source.splits.get(split, split)
        if name in first:
            yield (
                ("sources", "full", "splits", split),
                f"'{name}' is the {first[name]} split already: rows that are chosen by, or trained "
                "on, must not be scored",
            )
        first.setdefault(name, split)


def _column_mistakes(entry: TaskEntry, source: HubSource) -> Mistakes:
    """Inputs and answers are in different columns, and of several labels each has its own."""
    at: Location = ("sources", "full", "label")
    inputs = entry.text.columns if entry.text else (source.image,)
    for name in source.label_columns:
        if name in inputs:
            yield at, f"'{name}' is an input of the task, and cannot hold its answers"
    if entry.text and "label" in entry.text.columns and "label" not in source.label_columns:
        yield ("text", "columns"), "no text can be called 'label', as the answers are"
    if isinstance(source.label, str):
        return
    yield from twice(at, source.label)
    labels = getattr(entry.output, "labels", ())
    if entry.output.type != "multilabel":
        yield at, f"several columns of answers are for multilabel, not {entry.output.type}"
    elif len(source.label) != len(labels):
        yield at, f"{len(source.label)} columns for {len(labels)} labels: name one for each"
    elif {*source.label} == {*labels} and source.label != labels:
        yield at, "the columns are those of output.labels in another order: give them in that order"


def twice(location: Location, names: Sequence[str]) -> Mistakes:
    """The names of a list that stand in it before."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield (*location, index), f"'{name}' is listed twice"
        seen.add(name)


def path_mistakes(location: Location, value: str) -> Mistakes:
    """Of a name that becomes part of a path."""
    if not stays_inside(value):
        yield location, f"'{value}' is not a plain relative name (letters, digits, . _ - and /)"
