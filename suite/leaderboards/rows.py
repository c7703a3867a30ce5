"""The cells of one method -> a row: its scores, its cost, and objections to ranking it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from suite.leaderboards.board import Cost, Row, TaskColumn, needs_no_backbone
from suite.registry.options import default_options, setting_of
from suite.registry.schema import REQUESTED, MethodEntry, Store, TaskRecipe, TrackEntry
from suite.results.records import OF_METHOD, Ledger, Result

NOT_RUN = "not run"
"""Why a task has no score if no seed of it was run."""


class Usual:
    """The data, the backbone, the steps and the code that most methods were measured with."""

    def __init__(self, results: Sequence[Result]) -> None:
        ok = [r for r in results if r.status == "ok"]
        self.backbone = _most_common((r.identity.backbone, r) for r in ok)
        self.tasks = {
            task: _most_common((r.identity.examples[task], r) for r in ok if task in r.cell.tasks)
            for task in sorted({task for r in ok for task in r.cell.tasks})
        }
        known = _most_common((str(bool(r.identity.engine)), r) for r in ok) == str(True)
        same = [r for r in ok if bool(r.identity.engine) == known]
        self.engine = {
            part: _most_common(
                (r.identity.engine[part], r) for r in same if part in r.identity.engine
            )
            for part in sorted({part for r in same for part in r.identity.engine})
        }
        """Digest of every part of the code that methods share; empty if most results have none."""
        steps = _most_common((str(r.recipe.steps), r) for r in ok if r.recipe)
        self.steps = int(steps or 0)
        self.budget = _most_common((budget_of(r), r) for r in ok)


def budget_of(result: Result) -> str:
    """The budget requested in place of the recipe's: `steps=200`; empty for the recipe's own."""
    parts = result.cell.setting.split(",")
    return ",".join(part for part in parts if part.partition("=")[0] in REQUESTED)


def _most_common(votes: Iterable[tuple[str, Result]]) -> str:
    """The value that most methods have; on a tie, the one measured last."""
    methods: dict[str, set[str]] = defaultdict(set)
    last: dict[str, str] = defaultdict(str)
    for value, result in votes:
        methods[value].add(result.cell.method)
        last[value] = max(last[value], result.environment.finished if result.environment else "")
    return max(methods, key=lambda v: (len(methods[v]), last[v], v), default="")


def is_joint(result: Result, entry: MethodEntry | None) -> bool:
    """Whether the cell trained all its tasks at once."""
    if result.identity.start:
        return False
    return entry.regime == "joint" if entry else len(result.cell.tasks) > 1


def make_row(
    track: TrackEntry, cells: Sequence[Result], entry: MethodEntry | None, usual: Usual
) -> Row:
    """The row of a method's cells, not yet estimated nor ranked."""
    cell = cells[0].cell
    joint = is_joint(cells[0], entry)
    exact = cells[0].model_copy(update={"cell": cell.stored_as(Store.FLOAT32)})
    seeds = tuple(sorted({c.cell.seed for c in cells}))
    ok = [c for c in cells if c.status == "ok"]
    columns = {task: _column(task, cells, seeds) for task in track.tasks}
    partial = joint and set(cell.tasks) != set(track.tasks)
    complete = not partial and all(column.scores for column in columns.values())
    return Row(
        method=cell.method,
        entry=entry,
        joint=joint,
        label=label(cells[0], entry, partial=partial),
        setting=setting_name(cells[0], entry).removeprefix(cell.method).strip("[]"),
        options=(ok or cells)[0].options,
        store=cell.store,
        training=(setting_name(exact, entry), *(cell.tasks if joint else ())),
        seeds=seeds,
        tasks=columns,
        objections=tuple(_objections(track, cells, columns, usual, partial=partial)),
        estimate=None,
        cost=cost_of(ok, len(track.tasks), entry, joint=joint) if complete else None,
        hardware=tuple(sorted({c.environment.hardware for c in ok if c.environment})),
        uncommitted=any(c.environment is not None and bool(c.environment.dirty) for c in ok),
        verified=tuple(v for c in cells if (v := c.verified)) if _all_verified(cells) else (),
    )


def _all_verified(cells: Sequence[Result]) -> bool:
    return all(cell.verified for cell in cells)


def label(result: Result, entry: MethodEntry | None, *, partial: bool) -> str:
    """The method with its setting, the tasks of a partial joint run, and a note if its cost was not
    checked against a closed form."""
    notes = [*(result.cell.tasks if partial else ())]
    if result.ledger and not result.ledger.closed_form:
        notes.append("no closed form")
    name = setting_name(result, entry)
    return f"{name} ({', '.join(notes)})" if notes else name


def setting_name(result: Result, entry: MethodEntry | None) -> str:
    """`lora[rank=4]`; for results older than names of settings, from their options."""
    cell = result.cell
    if cell.setting or entry is None:
        return cell.name
    known = {key: value for key, value in result.options.items() if key in entry.options}
    changed = setting_of(entry, {**default_options(entry, cell.scale), **known}, cell.scale)
    return cell.model_copy(update={"setting": ",".join(changed)}).name


def _column(task: str, cells: Sequence[Result], seeds: Sequence[int]) -> TaskColumn:
    scores = {c.cell.seed: s for c in cells for s in c.scores if s.task == task}
    if missing := [seed for seed in seeds if seed not in scores]:
        return TaskColumn(missing=_why_missing(task, missing, seeds, cells))
    if len({score.targets for score in scores.values()}) > 1:
        return TaskColumn(missing="test examples differ between seeds")
    return TaskColumn(scores=tuple(scores[seed] for seed in seeds))


def _why_missing(
    task: str, missing: Sequence[int], seeds: Sequence[int], cells: Sequence[Result]
) -> str:
    """`oom`, or the outcome of each seed: `oom (seed 0), not run (seed 1, 2)`."""
    status = {c.cell.seed: str(c.status) for c in cells if task in c.cell.tasks}
    outcomes: dict[str, list[int]] = defaultdict(list)
    for seed in missing:
        outcomes[status.get(seed, NOT_RUN)].append(seed)
    if len(outcomes) == 1 and len(missing) == len(seeds):
        return next(iter(outcomes))
    return ", ".join(f"{outcome} (seed {listed(of)})" for outcome, of in outcomes.items())


def _objections(
    track: TrackEntry,
    cells: Sequence[Result],
    columns: Mapping[str, TaskColumn],
    usual: Usual,
    *,
    partial: bool,
) -> Iterable[str]:
    """Why the row must not be ranked with the others."""
    ok = [c for c in cells if c.status == "ok"]
    missing: dict[str, list[str]] = defaultdict(list)
    for task, column in columns.items():
        if column.missing:
            missing[column.missing].append(task)
    if partial:
        yield f"trained jointly on {len(cells[0].cell.tasks)} of {len(track.tasks)} tasks"
    if missing and (ok or not partial):
        solved = sum(not column.missing for column in columns.values())
        named = "; ".join(
            f"{reason}: {', '.join(tasks) if len(tasks) < len(columns) else 'all'}"
            for reason, tasks in missing.items()
        )
        yield f"{solved}/{len(columns)} tasks ({named})"
    unlike = {t for r in ok for t, d in r.identity.examples.items() if d != usual.tasks[t]}
    if unlike:
        yield f"other data, splits or metrics than most rows: {', '.join(sorted(unlike))}"
    if any(r.identity.backbone != usual.backbone for r in ok):
        yield "other backbone weights than most rows"
    if (own := budget_of(cells[0])) != usual.budget:
        theirs = usual.budget or "the budget of their recipes"
        yield f"{own or 'the budget of its recipe'}; most rows have {theirs}"
    yield from _other_code(ok, usual)
    if len({(r.identity.method, *map(r.identity.parts.get, OF_METHOD)) for r in ok}) > 1:
        yield "its cells come from different versions of the method"
    if _several_recipes(ok):
        yield "its cells come from different versions of the recipe"


def _several_recipes(ok: Sequence[Result]) -> bool:
    """Whether cells of the same tasks had different recipes, or those of different tasks ones that
    differ in more than a task's own length and augmentation."""
    recipes = [r.recipe for r in ok if r.recipe]
    common = {r.model_dump_json(exclude=set(TaskRecipe.model_fields)) for r in recipes}
    known = {(r.cell.tasks, r.identity.recipe) for r in ok}
    return len(common) > 1 or len(known) > len({r.cell.tasks for r in ok})


def _other_code(ok: Sequence[Result], usual: Usual) -> Iterable[str]:
    """Objections if scores come from other code than most rows', or if that is unknown."""
    if any(bool(r.identity.engine) != bool(usual.engine) for r in ok):
        recorded = any(r.identity.engine for r in ok)
        yield (
            "its code is known, that of most rows is not"
            if recorded
            else "it is not known whether its code is that of most rows"
        )
        return
    parts = {part for r in ok for part, d in r.identity.engine.items() if d != usual.engine[part]}
    if parts:
        yield f"other code than most rows: {', '.join(sorted(parts))}"


def cost_of(ok: Sequence[Result], tasks: int, entry: MethodEntry | None, *, joint: bool) -> Cost:
    """The cost of the cells of all tasks together, averaged over seeds."""
    seeds = len({r.cell.seed for r in ok})
    parameters = ok[0].backbone_parameters
    ledgers = [r.ledger for r in ok if r.ledger]

    def counted(bits: int) -> float:
        return Ledger.parameters(bits) / parameters / seeds

    # Shared bits of a per-task cell are shared with nobody, so summing over cells is right there.
    shared = counted(sum(ledger.shared_bits for ledger in ledgers))
    own = counted(sum(bits for ledger in ledgers for bits in ledger.task_bits.values()))
    heads = counted(sum(bits for ledger in ledgers for bits in ledger.head_bits.values()))
    buffers = counted(sum(ledger.buffer_bits for ledger in ledgers))
    replaces = entry is not None and needs_no_backbone(entry, ok[0].cell.store)
    return Cost(
        stored_x=shared + own + heads + buffers,
        shared=shared if joint else 0.0,
        total_x=shared + own + (0 if replaces else 1),
        per_task=(shared + own) / tasks,
        head=heads / tasks,
        buffers=buffers / tasks,
        trained=sum(r.trained_parameters for r in ok) / parameters / seeds / tasks,
        tensor_bytes=sum(ledger.tensor_bytes for ledger in ledgers) / seeds,
        file_bytes=sum(ledger.file_bytes for ledger in ledgers) / seeds,
        steps=sum(r.steps for r in ok) / seeds,
    )


def listed(values: Sequence[int]) -> str:
    """Numbers with commas between them."""
    return ", ".join(map(str, values))
