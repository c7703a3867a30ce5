"""The cells of a setting of a method -> a row: scores, cost, and objections to ranking it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.leaderboards.board import Cost, Objection, Row, TaskColumn, needs_no_backbone
from suite.registry.options import default_options, setting_of
from suite.registry.schema import REQUESTED, MethodEntry, Recipe, Store, TaskRecipe, TrackEntry
from suite.results.records import OF_METHOD, Ledger, Result, TaskScore

NOT_RUN = "not run"
"""Why a task has no score if no seed of it was run."""
Topic = tuple[str, str]
BACKBONE, STEPS, BUDGET, KNOWN = ("backbone", ""), ("steps", ""), ("budget", ""), ("known", "")
DATA, LENGTH, CODE = "data", "length", "code"
"""The first words of topics that there are for every task and for every part of the code."""
TOGETHER = " with others"
"""Behind the name of a task of a joint cell: where tasks have lengths of their own, such a cell has
the mean of them for all its tasks."""


@dataclass(frozen=True)
class Evidence:
    """What the cells of a row were measured with."""

    values: Mapping[Topic, Mapping[str, str]]
    """Topic -> every value that a cell with a score has -> when the last of them finished."""
    budget: str
    """The one that was requested in place of the recipe's."""
    several_methods: bool
    """Whether the cells come from different versions of the method."""
    several_recipes: bool

    def has_other(self, topic: Topic, usual: str) -> bool:
        """Whether a cell has another value than the usual one."""
        return any(value != usual for value in self.values.get(topic, ()))


def evidence_of(cells: Sequence[Result]) -> Evidence:
    """What is known of a row's cells."""
    ok = [cell for cell in cells if cell.status == "ok"]
    values: dict[Topic, dict[str, str]] = defaultdict(dict)
    for cell in ok:
        finished = cell.environment.finished if cell.environment else ""
        for topic, value in _values(cell):
            values[topic][value] = max(values[topic].get(value, ""), finished)
    versions = {(r.identity.method, *map(r.identity.parts.get, OF_METHOD)) for r in ok}
    return Evidence(dict(values), budget_of(cells[0]), len(versions) > 1, _several_recipes(ok))


def _values(cell: Result) -> Iterable[tuple[Topic, str]]:
    engine = cell.identity.engine
    yield BACKBONE, cell.identity.backbone
    yield BUDGET, budget_of(cell)
    yield KNOWN, str(bool(engine))
    if cell.recipe:
        yield STEPS, str(cell.recipe.steps)
        together = TOGETHER if len(cell.cell.tasks) > 1 else ""
        for task in cell.cell.tasks:
            yield (LENGTH, task + together), _length(cell.recipe)
    for task, digest in cell.identity.examples.items():
        yield (DATA, task), digest
    for part, digest in engine.items():
        yield (CODE, part), digest


def _length(recipe: Recipe) -> str:
    """How long a task is trained for: `100 steps of 32`."""
    of = f" from {recipe.examples} examples" if recipe.examples else ""
    return f"{recipe.steps} steps of {recipe.batch_size}{of}"


class Usual:
    """The data, the backbone, the steps and the code that most methods were measured with."""

    def __init__(self, rows: Iterable[tuple[str, Evidence]]) -> None:
        rows = list(rows)
        usual = _most_common(rows)
        self.backbone = usual.get(BACKBONE, "")
        self.tasks = {of: value for (word, of), value in usual.items() if word == DATA}
        self.engine = {
            part: value
            for (word, part), value in usual.items()
            if word == CODE and usual[KNOWN] == str(True)
        }
        """Digest of every part of the code that methods share; empty if most results have none."""
        self.steps = int(usual.get(STEPS, 0))
        self.budget = usual.get(BUDGET, "")
        alike = _most_common([row for row in rows if row[1].budget == self.budget])
        self.lengths = {of: value for (word, of), value in alike.items() if word == LENGTH}
        alone = {value for of, value in self.lengths.items() if not of.endswith(TOGETHER)}
        if len(alone) == 1:
            self.lengths = dict.fromkeys(self.lengths, alone.pop())

    def objections(self, evidence: Evidence) -> Iterable[Objection]:
        """Why a row must not be ranked with most others."""
        if evidence.budget != self.budget:
            own = evidence.budget or "the budget of its recipe"
            theirs = self.budget or "the budget of their recipes"
            yield Objection(f"{own}; most rows have {theirs}", of_budget=True)
        yield from map(Objection, self._others(evidence))

    def _others(self, evidence: Evidence) -> Iterable[str]:
        unlike = sorted(
            t for t, usual in self.tasks.items() if evidence.has_other((DATA, t), usual)
        )
        if unlike:
            yield f"other data, splits or metrics than most rows: {', '.join(unlike)}"
        if evidence.has_other(BACKBONE, self.backbone):
            yield "other backbone weights than most rows"
        if evidence.budget == self.budget and not evidence.several_recipes:
            lengths = defaultdict(list)
            for task, usual in self.lengths.items():
                for own in evidence.values.get((LENGTH, task), {}).keys() - {usual}:
                    lengths[own, usual].append(task.removesuffix(TOGETHER))
            for (own, usual), tasks in sorted(lengths.items()):
                yield f"{own} on {', '.join(tasks)}; most rows have {usual}"
        if evidence.has_other(KNOWN, str(bool(self.engine))):
            recorded = str(True) in evidence.values[KNOWN]
            yield (
                "its code is known, that of most rows is not"
                if recorded
                else "it is not known whether its code is that of most rows"
            )
        elif parts := [
            p for p, usual in self.engine.items() if evidence.has_other((CODE, p), usual)
        ]:
            yield f"other code than most rows: {', '.join(parts)}"
        if evidence.several_methods:
            yield "its cells come from different versions of the method"
        if evidence.several_recipes:
            yield "its cells come from different versions of the recipe"


def _most_common(rows: Iterable[tuple[str, Evidence]]) -> dict[Topic, str]:
    """Of each topic the value that most methods have; on a tie, the one measured last."""
    methods: dict[Topic, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    last: dict[tuple[Topic, str], str] = defaultdict(str)
    for method, evidence in rows:
        for topic, values in evidence.values.items():
            for value, finished in values.items():
                methods[topic][value].add(method)
                last[topic, value] = max(last[topic, value], finished)
    return {
        topic: max(values, key=lambda value: (len(values[value]), last[topic, value], value))
        for topic, values in sorted(methods.items())
    }


def budget_of(result: Result) -> str:
    """The budget requested in place of the recipe's: `steps=200`; empty for the recipe's own."""
    parts = result.cell.setting.split(",")
    return ",".join(part for part in parts if part.partition("=")[0] in REQUESTED)


def is_joint(result: Result, entry: MethodEntry | None) -> bool:
    """Whether the cell trained all its tasks at once."""
    if result.identity.start:
        return False
    return entry.regime == "joint" if entry else len(result.cell.tasks) > 1


def make_row(
    track: TrackEntry,
    cells: Sequence[Result],
    columns: Mapping[str, TaskColumn],
    entry: MethodEntry | None,
) -> Row:
    """The row of a method's cells with these columns, not yet held against others nor ranked."""
    cell = cells[0].cell
    joint = is_joint(cells[0], entry)
    exact = cells[0].model_copy(update={"cell": cell.stored_as(Store.FLOAT32)})
    ok = [c for c in cells if c.status == "ok"]
    partial = joint and set(cell.tasks) != set(track.tasks)
    complete = not partial and all(column.scores for column in columns.values())
    return Row(
        method=cell.method,
        entry=entry,
        joint=joint,
        together=joint or any(c.identity.start for c in cells),
        label=label(cells[0], entry, partial=partial),
        setting=setting_name(cells[0], entry).removeprefix(cell.method).strip("[]"),
        options=(ok or cells)[0].options,
        store=cell.store,
        training=(setting_name(exact, entry), *(cell.tasks if joint else ())),
        seeds=seeds_of(cells),
        tasks=columns,
        objections=tuple(map(Objection, _objections(track, cells, columns, partial=partial))),
        estimate=None,
        cost=cost_of(ok, len(track.tasks), entry, joint=joint) if complete else None,
        hardware=tuple(sorted({c.environment.hardware for c in ok if c.environment})),
        learning_rates=tuple(sorted({c.recipe.learning_rate for c in ok if c.recipe})),
        facts=_facts(ok, joint=joint),
        uncommitted=any(c.environment is not None and bool(c.environment.dirty) for c in ok),
        verified=tuple(v for c in cells if (v := c.verified)) if _all_verified(cells) else (),
    )


def seeds_of(cells: Sequence[Result]) -> tuple[int, ...]:
    """The seeds of a row."""
    return tuple(sorted({cell.cell.seed for cell in cells}))


def _facts(ok: Sequence[Result], *, joint: bool) -> dict[str, dict[str, float]]:
    """`NAME@TASK`, or `NAME` of all tasks of a cell, over all cells."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in ok:
        for key, value in result.facts.items():
            name, _, task = key.partition("@")
            values[name][task or ("" if joint else result.cell.tasks[0])].append(value)
    return {name: {t: fmean(own) for t, own in tasks.items()} for name, tasks in values.items()}


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


def solved(
    task: str, cells: Sequence[Result], seeds: Sequence[int]
) -> tuple[tuple[TaskScore, ...], str]:
    """The scores of a row on a task, one for each seed; or none, and why there are none."""
    scores = {c.cell.seed: s for c in cells for s in c.scores if s.task == task}
    if missing := [seed for seed in seeds if seed not in scores]:
        return (), _why_missing(task, missing, seeds, cells)
    if len({score.targets for score in scores.values()}) > 1:
        return (), "test examples differ between seeds"
    return tuple(scores[seed] for seed in seeds), ""


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
    *,
    partial: bool,
) -> Iterable[str]:
    """Why the row must not be ranked with any others."""
    ok = [c for c in cells if c.status == "ok"]
    missing: dict[str, list[str]] = defaultdict(list)
    for task, column in columns.items():
        if column.missing:
            missing[column.missing].append(task)
    if partial:
        yield f"trained jointly on {len(cells[0].cell.tasks)} of {len(track.tasks)} tasks"
    if missing and (ok or not partial):
        have = sum(not column.missing for column in columns.values())
        named = "; ".join(
            f"{reason}: {', '.join(tasks) if len(tasks) < len(columns) else 'all'}"
            for reason, tasks in missing.items()
        )
        yield f"{have}/{len(columns)} tasks ({named})"


def _several_recipes(ok: Sequence[Result]) -> bool:
    """Whether cells of the same tasks had different recipes, or those of different tasks ones that
    differ in more than a task's own length and augmentation."""
    recipes = [r.recipe for r in ok if r.recipe]
    common = {r.model_dump_json(exclude=set(TaskRecipe.model_fields)) for r in recipes}
    known = {(r.cell.tasks, r.identity.recipe) for r in ok}
    return len(common) > 1 or len(known) > len({r.cell.tasks for r in ok})


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
