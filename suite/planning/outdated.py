"""Results that were measured with other code than the present one, and nothing else besides."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from suite.errors import UserError
from suite.planning.cell_code import Code
from suite.planning.cells import Cell
from suite.planning.identity import differences, identity, recipe_digest
from suite.planning.plan import plan
from suite.planning.request import Request, request
from suite.registry import Registry
from suite.results.history import Past
from suite.results.records import CellKey, Identity, Result

COUNTS = ("steps", "batch_size", "examples")
"""Keys of a setting that are whole numbers, beside the options of a method."""


@dataclass(frozen=True)
class Outdated:
    """A result, and what its identity would be if the present code had computed it."""

    result: Result
    identity: Identity


class Group(NamedTuple):
    """Results that one comparison speaks for: of one method and family, from one commit.

    `commit` is None where none was recorded, `dirty` says that it was not all of the code.
    """

    method: str
    family: str
    commit: str | None
    dirty: bool


@dataclass(frozen=True)
class Sorted:
    """All results of a folder, by what must happen to them."""

    current: int
    groups: dict[Group, list[Outdated]]
    undefined: list[Outdated]
    """Of methods that are not defined on their backbone: nothing was computed."""
    others: dict[str, list[str]]
    """Why results cannot be carried -> their cells."""


def sort_out(results: Iterable[Result], registry: Registry) -> Sorted:
    """Which results differ from the present code, and in nothing else."""
    current = 0
    groups: dict[Group, list[Outdated]] = defaultdict(list)
    undefined: list[Outdated] = []
    others: dict[str, list[str]] = defaultdict(list)
    for alike in _alike(results):
        cells = _cells_today(alike, registry)
        for result in alike:
            cell = cells.get(result.cell)
            reason = "its entries are gone or broken" if cell is None else _more(result, cell)
            if cell is None or reason:
                others[reason].append(result.cell.label)
                continue
            found = Outdated(result, _carried_identity(result, cell))
            if found.identity.digest == result.identity.digest:
                current += 1
            elif result.status == "unsupported":
                undefined.append(found)
            elif result.status != "ok":
                others["it has no score"].append(result.cell.label)
            else:
                where = result.environment
                family = registry.backbones[result.cell.backbone].family
                commit = where.commit if where else None
                group = Group(result.cell.method, family, commit, bool(where and where.dirty))
                groups[group].append(found)
    return Sorted(current, dict(groups), undefined, dict(others))


def stale(results: Iterable[Result], registry: Registry) -> dict[CellKey, str]:
    """The results that are not what the present code and data would compute, each with the reason.

    Where data or weights are missing, nothing is known, and the reason says so.
    """
    found: dict[CellKey, str] = {}
    for alike in _alike(results):
        try:
            known = {result.cell: result for result in alike}
            planned = plan(request_for(alike), registry, known).planned
            today = {item.cell.key: item for item in planned}
        except UserError as error:
            found |= {result.cell: str(error).splitlines()[0] for result in alike}
            continue
        for result in alike:
            item = today.get(result.cell)
            if item is None:
                found[result.cell] = "its entries are gone or broken"
            elif item.action == "missing":
                found[result.cell] = f"cannot be compared: {item.reason}"
            elif reason := differences(result, item.cell):
                found[result.cell] = f"stale: {reason}"
            elif result.identity != item.cell.identity:
                found[result.cell] = "identity.parts are not those of the code"
    return found


def request_for(results: Sequence[Result | Past]) -> Request:
    """What asks for the cells of results that are alike but for task and seed.

    Raises `UserError` for a setting that no request has.
    """
    first = results[0]
    cell = first.cell
    parts = [part.partition("=") for part in cell.setting.split(",") if part]
    asked = {name: value for name, _, value in parts}
    counts = [value for name, value in asked.items() if name in COUNTS]
    if not all(asked.values()) or not all(map(str.isdecimal, counts)):
        raise UserError(f"{cell.label}: '{cell.setting}' is no setting")
    return request(
        cell.method,
        {f"{cell.track}/{task}": None for r in results for task in r.cell.tasks},
        cell.backbone,
        seeds=sorted({r.cell.seed for r in results}),
        scale=cell.scale,
        steps=int(asked["steps"]) if "steps" in asked else None,
        batch_size=int(asked["batch_size"]) if "batch_size" in asked else None,
        examples=int(asked["examples"]) if "examples" in asked else None,
        precision=asked.get("precision"),
        options={f"{cell.method}.{name}": value for name, value in first.options.items()},
        store=cell.store,
    )


def _alike(results: Iterable[Result]) -> Iterable[list[Result]]:
    """Results that one request asks for."""
    found: dict[object, list[Result]] = defaultdict(list)
    for result in results:
        cell = result.cell
        several = cell.tasks if len(cell.tasks) > 1 else ()
        options = tuple(sorted(result.options.items()))
        setting = (cell.method, cell.setting, cell.store)
        key = (*setting, cell.track, cell.backbone, cell.scale, several, options)
        found[key].append(result)
    return found.values()


def _cells_today(results: Sequence[Result], registry: Registry) -> dict[CellKey, Cell]:
    try:
        made = plan(request_for(results), registry)
    except UserError:
        return {}
    return {item.cell.key: item.cell for item in made.planned}


def _carried_identity(result: Result, cell: Cell) -> Identity:
    """Of the present code, with the recipe of the result."""
    now = cell.identity
    recipe = recipe_digest(result.recipe) if result.recipe else now.recipe
    return identity(
        now.method, Code(now.code, now.parts), recipe, now.tasks, now.backbone, now.seed, now.start
    )


def _more(result: Result, cell: Cell) -> str:
    """What differs beside the code, in words; empty if nothing does."""
    before, now = result.identity, cell.identity
    # Version 1 had the code of the method before its settings.
    settings = before.method.partition(".")[2] if before.schema_version == 1 else before.method
    # The longest text is part of what a task asks.
    longest = result.recipe is not None and result.recipe.max_length != cell.recipe.max_length
    different = {
        "other options or regime": settings != now.method or result.options != cell.options,
        "other examples": longest or before.examples != now.examples,
        "other backbone weights": before.backbone != now.backbone,
    }
    return " and ".join(what for what, differs in different.items() if differs)
