"""Checks of a result against itself: values that follow from other values of the same result.

Reads no data and trains nothing. `suite.engine.rescore` loads the stored delta and scores it again.
"""

from collections.abc import Iterator

import numpy as np

from suite.registry.metrics import UNPARSED, ordered
from suite.registry.schema import MultiLabel, Regression, TaskEntry
from suite.results.records import Ledger, Result, TaskScore, Verified
from suite.results.scores import evaluate, score, shapes

TOLERANCE = 0.02
"""Points by which a metric may differ when computed from predictions that were rounded to four
digits: Spearman's coefficient moves most, where two round to the same number."""


def problems(result: Result, tasks: dict[str, TaskEntry]) -> list[str]:
    """The contradictions within a result, in words; empty if there are none.

    `tasks` are the entries of the cell's tasks that the registry has, by name.
    """
    return list(_problems(result, tasks))


def _problems(result: Result, tasks: dict[str, TaskEntry]) -> Iterator[str]:
    cell = result.cell
    if result.identity.seed != cell.seed:
        yield f"identity.seed is {result.identity.seed}, cell.seed {cell.seed}"
    if set(result.identity.tasks) != set(cell.tasks):
        yield f"identity.tasks names {_names(result.identity.tasks)}, the cell {_names(cell.tasks)}"
    if result.status != "ok":
        if result.scores or result.ledger:
            yield f"status is {result.status}, yet there are scores or costs"
        if not result.reason:
            yield f"status is {result.status} and reason is empty"
        return
    scored = [own.task for own in result.scores]
    if sorted(scored) != sorted(cell.tasks):
        yield f"scores are of {_names(scored)}, the cell is of {_names(cell.tasks)}"
    for own in result.scores:
        yield from _of_score(own, tasks.get(own.task))
    if result.ledger is None:
        yield "ledger is missing"
    else:
        yield from _of_ledger(result.ledger, cell.tasks)
    for name in ("backbone_parameters", "steps"):
        if getattr(result, name) <= 0:
            yield f"{name} is {getattr(result, name)}"
    if result.trained_parameters < 0:
        yield f"trained_parameters is {result.trained_parameters}"
    for name in ("train_seconds", "processor_seconds", "total_seconds"):
        value = getattr(result, name)
        if value is not None and value < 0:
            yield f"{name} is {value}"
    if result.recipe is None:
        yield "recipe is missing"
    if result.verified:
        yield from _of_verified(result.verified, result)


def _of_score(own: TaskScore, entry: TaskEntry | None) -> Iterator[str]:
    where = f"scores of {own.task}"
    predictions, targets = np.array(own.predictions), np.array(own.targets)
    if not own.metrics:
        yield f"{where}: there are no metrics"
        return
    if abs(score(own.metrics) - own.score) > 1e-3:
        yield f"{where}: score is {own.score}, the mean of its metrics {score(own.metrics):.4f}"
    # Without the task's entry, of another checkout say, its metrics cannot be computed.
    if entry is None:
        return
    if tuple(own.metrics) != tuple(entry.metrics):
        yield f"{where}: metrics are {_names(own.metrics)}, the task's {_names(entry.metrics)}"
        return
    for what, values, shape, bounds in zip(
        ("predictions", "targets"),
        (predictions, targets),
        shapes(entry, len(targets)),
        _bounds(entry),
        strict=True,
    ):
        if values.shape != shape:
            yield f"{where}: {what} have the shape {list(values.shape)}, not {list(shape)}"
            return
        if bounds and (values.min() < bounds[0] or values.max() > bounds[1] or (values % 1).any()):
            yield f"{where}: {what} lie outside the task's {_count(entry)} labels"
            return
    for name, value in evaluate(entry, predictions, targets).items():
        if abs(value - own.metrics[name]) > TOLERANCE:
            yield f"{where}: {name} is {own.metrics[name]}, its predictions give {value:.4f}"


def _bounds(entry: TaskEntry) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The least and the largest of predictions and of targets that are whole numbers."""
    if isinstance(entry.output, Regression):
        return None, None
    least, most = (0, 1) if isinstance(entry.output, MultiLabel) else (UNPARSED, _count(entry) - 1)
    return None if ordered(entry.metrics) else (least, most), (0, most)


def _count(entry: TaskEntry) -> int:
    return len(getattr(entry.output, "labels", ()))


def _of_verified(verified: Verified, result: Result) -> Iterator[str]:
    if not result.delta:
        yield "verified says that a delta was scored, delta is empty"
    answers = sum(len(own.targets) for own in result.scores)
    if verified.answers != answers or not 0 <= verified.otherwise <= answers:
        yield f"verified counts {verified.otherwise} of {verified.answers} answers of {answers}"
    if not 0 <= verified.difference <= 100:
        yield f"verified.difference is {verified.difference}"


def _of_ledger(ledger: Ledger, tasks: tuple[str, ...]) -> Iterator[str]:
    parts = {"shared_bits": ledger.shared_bits, "buffer_bits": ledger.buffer_bits}
    parts |= {f"task_bits.{name}": bits for name, bits in ledger.task_bits.items()}
    parts |= {f"head_bits.{name}": bits for name, bits in ledger.head_bits.items()}
    for name, bits in parts.items():
        if bits < 0:
            yield f"ledger.{name} is {bits}"
    for own in (ledger.task_bits, ledger.head_bits):
        if strangers := sorted(set(own) - set(tasks)):
            yield f"ledger counts for {_names(strangers)}, which the cell is not of"
    total = sum(parts.values())
    if total != 8 * ledger.tensor_bytes:
        yield f"ledger.tensor_bytes is {ledger.tensor_bytes}, its parts make {total / 8:g}"
    if ledger.file_bytes < ledger.tensor_bytes:
        yield f"ledger.file_bytes is {ledger.file_bytes}, its tensors {ledger.tensor_bytes}"


def _names(names: object) -> str:
    return ", ".join(names) or "nothing"  # type: ignore[arg-type]
