"""What a user asks for, in words or in Python values, as one frozen request."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from suite.errors import UserError
from suite.planning.limits import factor, positive, texts, truth
from suite.planning.shard import Shard
from suite.registry.entries import split_names
from suite.registry.names import did_you_mean
from suite.registry.options import stores_named, written
from suite.registry.schema import (
    MOST_EXAMPLES,
    MOST_IN_A_BATCH,
    MOST_STEPS,
    REQUESTED,
    OptionValue,
    Precision,
    Scale,
    Store,
)

MOST_SEEDS = 10_000
Names = str | Iterable[str]
"""Names or globs: one text with commas or spaces between them, or several texts. Those that begin
with `!` are taken away from the others."""
Seeds = int | str | Iterable[int | str]
"""A number, a range `0-4` or `0..4` with both ends, or several of them."""
Assignments = Mapping[str, OptionValue | Sequence[OptionValue]] | Iterable[str]
"""`{"METHOD.OPTION": value}`, or a list of values, or texts `METHOD.OPTION=VALUE`."""


@dataclass(frozen=True)
class Request:
    """What the user asked for. Names may be globs; no backbones means those of each track."""

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    backbones: tuple[str, ...] = ()
    scale: Scale = Scale.MINI
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    batch_size: int | None = None
    examples: int | None = None
    precision: Precision | None = None
    budget: float | None = None
    """What every recipe's own steps are multiplied by."""
    throughout: bool = False
    """Whether what is changed of recipes holds for the cells that others start from, too."""
    options: tuple[str, ...] = ()
    """`METHOD.OPTION=VALUE`, several values with commas between them."""
    store: tuple[Store, ...] = (Store.FLOAT32,)
    """The precisions in which methods are stored for which `options` assigns none."""
    force: bool = False
    only_failed: bool = False
    shard: Shard | None = None
    """The part of the cells to plan; None for all."""
    trial: int | None = None
    """Take the learning rate at this place of each method's grid, not its recipe's; places below 0
    and beyond the grid continue it."""

    @property
    def flags(self) -> list[str]:
        """The words of the command line for what it changes of every recipe."""
        asked = {key: getattr(self, key) for key in REQUESTED}
        return [
            word
            for key, value in asked.items()
            if value is not None
            for word in (f"--{key.replace('_', '-')}", str(value))
        ]

    def unlimited(self) -> "Request":
        """The same with every recipe's own budget and precision."""
        return replace(
            self, steps=None, batch_size=None, examples=None, precision=None, budget=None
        )


def request(
    methods: Names,
    tasks: Names,
    backbones: Names = (),
    *,
    seeds: Seeds = 0,
    scale: str = "mini",
    steps: int | None = None,
    batch_size: int | None = None,
    examples: int | None = None,
    precision: str | None = None,
    budget: float | None = None,
    options: Assignments = (),
    store: Names = Store.FLOAT32,
    force: bool = False,
    only_failed: bool = False,
    shard: Shard | None = None,
) -> Request:
    """The request that these words make. Raises `UserError` for a word of no meaning; whether
    names exist is found out by planning."""
    if steps is not None and budget is not None:
        raise UserError("--steps and --budget both say how long to train: give one of them")
    return Request(
        methods=_names(methods, "--methods: "),
        tasks=_names(tasks, "--tasks: "),
        backbones=_backbones(backbones),
        scale=_scale(scale),
        seeds=_seeds(seeds),
        steps=None if steps is None else positive(steps, "--steps: ", MOST_STEPS),
        batch_size=(
            None if batch_size is None else positive(batch_size, "--batch-size: ", MOST_IN_A_BATCH)
        ),
        examples=None if examples is None else positive(examples, "--examples: ", MOST_EXAMPLES),
        precision=None if precision is None else _precision(precision),
        budget=None if budget is None else factor(budget, "--budget: "),
        options=_assignments(options),
        store=_stores(store),
        force=truth(force, "--force: "),
        only_failed=truth(only_failed, "--only-failed: "),
        shard=shard,
    )


def _names(words: Names, where: str) -> tuple[str, ...]:
    return split_names(texts(words, where))


def _backbones(words: Names) -> tuple[str, ...]:
    names = _names(words, "--backbones: ")
    if words and not names:
        raise UserError("--backbones names no backbone")
    return names


def _scale(word: str) -> Scale:
    try:
        return Scale(word)
    except ValueError:
        near = did_you_mean(str(word), Scale)
        raise UserError(f"--scale: must be {' or '.join(Scale)}, not '{word}'{near}") from None


def _precision(word: str) -> Precision:
    known = get_args(Precision)
    if word in known:
        return cast(Precision, word)
    near = did_you_mean(str(word), known)
    raise UserError(f"--precision: must be {' or '.join(known)}, not '{word}'{near}")


def _seeds(seeds: Seeds) -> tuple[int, ...]:
    several = seeds if isinstance(seeds, Iterable) and not isinstance(seeds, str) else [seeds]
    words = split_names(map(str, several))
    try:
        numbers = tuple(dict.fromkeys(number for word in words for number in _numbers(word)))
    except ValueError:
        raise UserError(
            f"--seeds: whole numbers and ranges such as 0-4, not '{','.join(words):.80}'"
        ) from None
    if not numbers or min(numbers) < 0:
        raise UserError("--seeds: give at least one number, none below 0")
    return numbers


def _numbers(word: str) -> Iterable[int]:
    """`3`, or both ends and all between of `0-4` and `0..4`. Raises ValueError for other words."""
    ends = re.fullmatch(r"(\d+)(?:-|\.\.)(\d+)", word)
    if not ends:
        return [int(word)]
    first, last = map(int, ends.groups())
    if last < first:
        raise ValueError(word)
    if last - first >= MOST_SEEDS:
        raise UserError(f"--seeds: '{word:.80}' is more than {MOST_SEEDS:,} seeds")
    return range(first, last + 1)


def _stores(words: Names) -> tuple[Store, ...]:
    if not (found := stores_named(_names(words, "--store: "), "--store")):
        raise UserError(f"--store names no precision; it could be: {', '.join(Store)}")
    return found


def _assignments(options: Assignments) -> tuple[str, ...]:
    if not isinstance(options, Mapping):
        return texts(options, "--set: ")
    return tuple(f"{target}={_values(value)}" for target, value in options.items())


def _values(value: OptionValue | Sequence[OptionValue]) -> str:
    several = value if isinstance(value, list | tuple) else [value]
    return ",".join(map(written, several))
