"""From a request to cells, each with the reason why it runs or not. Pure: writes nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Protocol

from suite.errors import UserError
from suite.planning.architecture import UnreadableConfiguration, refined, unanswerable
from suite.planning.cells import Cell, Job, Plan, Planned, Start
from suite.planning.code_cache import Codes
from suite.planning.identity import (
    NO_CODE,
    UNKNOWN,
    backbone_digest,
    differences,
    identity,
    method_digest,
    recipe_digest,
    task_digest,
)
from suite.planning.locate import Missing, Model, locate_dataset, locate_model
from suite.planning.recipes import changed_budget, resolve_recipe
from suite.planning.request import Request
from suite.planning.selection import backbones_for, by_track, left_out, nothing_fits
from suite.planning.start import refusal_of, untrained
from suite.registry.entries import Registry
from suite.registry.options import Setting, resolve_settings, setting_of
from suite.registry.schema import (
    STORE,
    BackboneEntry,
    GeneratedSource,
    MethodEntry,
    OptionValue,
    Recipe,
    Store,
    TaskEntry,
    TrackEntry,
    TrackStart,
)
from suite.results.files import NoResult
from suite.results.history import Past
from suite.results.records import CellKey, Identity, Result
from suite.results.seeds import FIRST_SEARCH_SEED


class Known(Protocol):
    """Where what is known of a cell is looked up: a mapping, or a folder's `Lookup`."""

    def get(self, cell: CellKey, /) -> Result | Past | None: ...  # noqa: D102


def _nowhere(cell: CellKey) -> None:
    """Where the delta of a cell is, if no folder is looked at."""
    return


def plan(
    request: Request,
    registry: Registry,
    known: Known | None = None,
    kept: Callable[[CellKey], Path | None] = _nowhere,
) -> Plan:
    """Every cell of the request, in the order track, backbone, method, setting, task, seed.

    `kept` tells where the delta of a cell is, if it is still there.

    Raises `UserError` if a name is unknown, a selected entry is broken, an option does not exist,
    a seed is kept for searches or for results, or nothing fits together.
    """
    _require_own_seeds(request)
    history: Known = {} if known is None else known
    methods = registry.select_methods(request.methods)
    if not methods:
        raise UserError("--methods names no method")
    settings = resolve_settings(methods, request.options, request.scale, request.store)
    planner = _Planner(request, registry, history, kept)
    planned = [
        item
        for track, tasks in by_track(registry, request)
        for backbone in backbones_for(registry, request, track)
        for method in methods
        for setting in settings[method.name]
        for item in planner.cells(track, tasks, backbone, method, setting)
    ]
    if not planned:
        raise UserError(nothing_fits(registry, request))
    if request.shard:
        # Of all cells, done or not, so that the parts stay the same while others run.
        own = request.shard.of(item.cell.key for item in planned)
        planned = [item for item in planned if item.cell.key in own]
    if request.only_failed:
        planned = [item for item in planned if _failed(_past(history, item.cell.key))]
    in_the_way = (planner.in_the_way.get(item.cell.key) for item in planned)
    out = (*left_out(registry, request), *filter(None, in_the_way))
    missing = {each.what: each for item in planned for each in item.missing}
    made = Plan(request, tuple(planned), tuple(missing.values()), out)
    shared = {cell.key: job for job in made.jobs() for cell in job.cells}
    return replace(made, planned=tuple(_with_training(item, shared) for item in planned))


def _with_training(item: Planned, jobs: Mapping[CellKey, Job]) -> Planned:
    """A cell to run with the reason why it will not be trained by itself, if there is one."""
    if item.action != "run":
        return item
    job = jobs[item.cell.key]
    first, *_ = job.cells
    if job.trained:
        return replace(item, reason=f"{item.reason}, from the trained float32 delta")
    if item.cell.key != first.key:
        return replace(item, reason=f"{item.reason}, from the training of {first.key.name}")
    return item


def _require_own_seeds(request: Request) -> None:
    """No seed is both searched with and scored."""
    for seed in request.seeds:
        if request.trial is None and seed >= FIRST_SEARCH_SEED:
            raise UserError(
                f"--seeds: {seed} is kept for searches (tune); give seeds below {FIRST_SEARCH_SEED}"
            )
        if request.trial is not None and seed < FIRST_SEARCH_SEED:
            raise UserError(
                f"--seeds: {seed} is a seed that results are scored with; "
                f"searches take seeds from {FIRST_SEARCH_SEED} on"
            )


class _Planner:
    """Plans cells, computing each digest once however many cells of the request share it."""

    def __init__(
        self,
        request: Request,
        registry: Registry,
        history: Known,
        kept: Callable[[CellKey], Path | None],
    ) -> None:
        self.kept = kept
        self.request = request
        self.registry = registry
        self.history = history
        self.in_the_way: dict[CellKey, str] = {}
        self._absent: dict[str, Missing] = {}
        self._data: dict[str, str] = {}
        self._weights: dict[str, str] = {}
        self._models: dict[str, Model | Missing] = {}
        self._entries: dict[str, tuple[BackboneEntry, str]] = {}
        self._codes = Codes()

    def cells(
        self,
        track: TrackEntry,
        tasks: tuple[TaskEntry, ...],
        backbone: BackboneEntry,
        method: MethodEntry,
        asked: Setting,
    ) -> Iterator[Planned]:
        """The cells of one setting of a method on one backbone and track."""
        options, store = asked.options, asked.store
        changed_options = setting_of(method, options, self.request.scale)
        trained_part = method_digest(method, options)
        method_part = trained_part
        if store is not Store.FLOAT32:
            method_part = method_digest(method, {**options, STORE: store})
        backbone, unknown = self._refined(backbone)
        of_method = unknown or method.refusal(backbone.family)
        backbone_part = self._backbone(backbone)
        together = method.regime == "joint" and track.start is None
        groups = [tasks] if together else [(task,) for task in tasks]
        for group, seed in product(groups, self.request.seeds):
            names = tuple(task.name for task in group)
            source = self._source(track.start, group[0], backbone, method, options)
            refusal = of_method or unanswerable(group, backbone) or refusal_of(source)
            if refusal:
                code, refused = NO_CODE, ".unsupported"
            else:
                code = self._codes.of(method, options, backbone, self.request.scale)
                refused = ""
            recipe = resolve_recipe(self.request, track, group, method, backbone)
            usual = resolve_recipe(self.request.unlimited(), track, group, method, backbone)
            task_parts = {
                task.name: self._task(
                    task, recipe, backbone.image_size, self._codes.metrics(task.metrics, method)
                )
                for task in group
            }
            key = CellKey(
                method=method.name,
                backbone=backbone.name,
                scale=self.request.scale,
                track=track.name,
                tasks=names,
                seed=seed,
                setting=",".join([*changed_options, *changed_budget(recipe, usual)]),
                store=store,
            )
            recipe_part = recipe_digest(recipe)
            begun = source.cell.identity.digest if source else ""
            made, trained = (
                identity(part + refused, code, recipe_part, task_parts, backbone_part, seed, begun)
                for part in (method_part, trained_part)
            )
            cell = Cell(key=key, recipe=recipe, options=options, identity=made)
            needs = [f"backbone {backbone.name}", *(f"task {track.name}/{name}" for name in names)]
            if source and track.start:
                delta = self.kept(source.cell.key) if source.action == "cached" else None
                if delta:
                    start = Start(delta, track.start.tasks[group[0].name])
                    cell = replace(cell, start=start)
                else:
                    needs.append(f"delta of {source.cell.key.label}")
                    self._absent[needs[-1]] = untrained(source)
            decided = self._decide(cell, refusal, needs)
            if decided.action == "run":
                decided = replace(decided, trained=self._is_trained(key, trained))
            yield decided

    def _source(
        self,
        start: TrackStart | None,
        task: TaskEntry,
        backbone: BackboneEntry,
        method: MethodEntry,
        options: Mapping[str, OptionValue],
    ) -> Planned | None:
        """The cell from whose delta the training on a task starts; None if there is no such."""
        if start is None:
            return None
        track = self.registry.tracks[start.track]
        tasks = self.registry.tasks_of(track)
        if method.regime != "joint":
            tasks = tuple(each for each in tasks if each.name == start.tasks[task.name])
        asked = self.request if self.request.throughout else self.request.unlimited()
        asked = replace(asked, seeds=(start.seed,), force=False)
        planner = _Planner(asked, self.registry, self.history, self.kept)
        (found,) = planner.cells(track, tasks, backbone, method, Setting(options, Store.FLOAT32))
        return found

    def _decide(self, cell: Cell, refusal: str, needs: list[str]) -> Planned:
        try:
            past = self.history.get(cell.key)
        except NoResult as reason:
            self.in_the_way[cell.key] = str(reason)
            return Planned(cell, "missing", str(reason))
        if refusal:
            return Planned(cell, "unsupported", refusal)
        same = past is not None and past.identity.digest == cell.identity.digest
        if past and past.status == "ok" and same and not self.request.force:
            # Also where the delta that its training started from is gone since.
            return Planned(cell, "cached", f"identity {cell.identity.digest[:4]} matches")
        absent = {need: self._absent[need] for need in needs if need in self._absent}
        if absent:
            names = f"not found: {', '.join(absent)}"
            return Planned(cell, "missing", names, missing=tuple(absent.values()))
        if self.request.force:
            return Planned(cell, "run", "forced")
        if past is None:
            return Planned(cell, "run", "new")
        if past.identity.digest != cell.identity.digest:
            return Planned(cell, "run", differences(past, cell))
        if past.status == "unsupported":
            return Planned(cell, "unsupported", past.reason)
        words = {"oom": "out of memory", "timeout": "timed out"}.get(past.status, past.status)
        return Planned(cell, "run", f"{words} before: {past.reason}".removesuffix(": "))

    def _is_trained(self, key: CellKey, identity: Identity) -> bool:
        """Whether the training of a cell to run has been stored in float32, and its delta kept."""
        if key.store is Store.FLOAT32 or self.request.force:
            return False
        exact = key.stored_as(Store.FLOAT32)
        past = _past(self.history, exact)
        same = past is not None and past.identity.digest == identity.digest
        return same and past is not None and past.status == "ok" and bool(self.kept(exact))

    def _refined(self, backbone: BackboneEntry) -> tuple[BackboneEntry, str]:
        """The entry with the family of the network in its folder, or why no family serves it."""
        if backbone.name not in self._entries:
            found = self._model(backbone)
            self._entries[backbone.name] = (backbone, "")
            if isinstance(found, Model):
                try:
                    self._entries[backbone.name] = (refined(backbone, found.folder), "")
                except UnreadableConfiguration as error:
                    # Unlike a network that no family serves, it says nothing of earlier results.
                    remedy = "fetch it again, or mend the file"
                    damaged = Missing(f"the network of {backbone.name}", (str(error),), remedy)
                    self._models[backbone.name] = damaged
                except UserError as error:
                    self._entries[backbone.name] = (backbone, str(error))
        return self._entries[backbone.name]

    def _model(self, backbone: BackboneEntry) -> Model | Missing:
        if backbone.name not in self._models:
            self._models[backbone.name] = locate_model(backbone)
        return self._models[backbone.name]

    def _backbone(self, backbone: BackboneEntry) -> str:
        if backbone.name not in self._weights:
            found = self._model(backbone)
            if isinstance(found, Missing):
                self._absent[f"backbone {backbone.name}"] = found
            fingerprint = UNKNOWN if isinstance(found, Missing) else found.fingerprint
            self._weights[backbone.name] = backbone_digest(backbone, fingerprint)
        return self._weights[backbone.name]

    def _task(self, task: TaskEntry, recipe: Recipe, image_size: int | None, metrics: str) -> str:
        key = f"{task.track}/{task.name}"
        if key not in self._data:
            self._data[key] = self._examples(task, key)
        return task_digest(task, self.request.scale, self._data[key], recipe, image_size, metrics)

    def _examples(self, task: TaskEntry, key: str) -> str:
        source = task.sources.at(self.request.scale)
        if isinstance(source, GeneratedSource):
            return source.digest
        # The loader has checked that every task has a source at each scale of its track.
        found = locate_dataset(task)
        if isinstance(found, Missing):
            self._absent[f"task {key}"] = found
            return UNKNOWN
        return found.fingerprint


def _past(history: Known, cell: CellKey) -> Result | Past | None:
    """What is known of a cell; None too where something else lies in the place of its result."""
    try:
        return history.get(cell)
    except NoResult:
        return None


def _failed(past: Result | Past | None) -> bool:
    return past is not None and past.failed
