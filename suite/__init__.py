"""Accuracy per stored bit when one backbone must serve many tasks.

The door to everything from Python: `plan`, `run`, `read_results`, `load_delta` and `as_method`.
Importing it is quick: each function imports what it needs when it is called.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import UserError

if TYPE_CHECKING:
    from suite.engine.predictor import Predictor
    from suite.leaderboards.frame import Results
    from suite.method import Method
    from suite.method.from_class import Terms
    from suite.planning.cells import Plan
    from suite.planning.request import Assignments, Names, Seeds
    from suite.registry import Registry
    from suite.registry.schema import MethodEntry

    OwnMethod = type[Method] | MethodEntry
    Methods = Names | OwnMethod | Iterable[str | OwnMethod]

__all__ = ["UserError", "as_method", "load_delta", "plan", "read_results", "run"]
__version__ = "0.1.0"


def plan(
    methods: "Methods",
    tasks: "Names",
    backbones: "Names" = (),
    *,
    seeds: "Seeds" = 0,
    scale: str = "mini",
    steps: int | None = None,
    batch_size: int | None = None,
    examples: int | None = None,
    precision: str | None = None,
    budget: float | None = None,
    options: "Assignments" = (),
    store: "Names" = "float32",
    force: bool = False,
    only_failed: bool = False,
    shard: str | None = None,
    out: str | Path = "runs",
    registry: "str | Path | Registry | None" = None,
) -> "Plan":
    """What `run` would do with each cell, and why; nothing is written.

    `methods`, `tasks` (tracks or tasks) and `backbones` (default: those of each track) are names
    or globs, as one text (`"taps,lora"`) or a list; a method may be a class, too (`as_method`), a
    backbone a hub id (`"timm:resnet50.a1_in1k"`, `"hf:OWNER/NAME"`) or a folder (`"./mine"`).
    `seeds` is a number, a range or a list. `scale` is `mini` (embedded, minutes on a CPU) or
    `full` (real data and weights). `steps` (optimizer steps per task), `batch_size`, `examples`
    (to train on at most, of each task, drawn by the seed) and `precision` (of the arithmetic:
    `float32` or `bfloat16`) change every recipe; `budget` multiplies its steps. `options` sets
    options of methods: `{"taps.gate_penalty": 0.5}`. `store` names the precisions in which every
    method is stored, of `float32`, `bfloat16`, `int8`, `int4` and `binary`; several share one
    training (one method's: `{"lora.store": "int8"}`). `force` runs again what has a result,
    `only_failed` keeps the cells whose last run failed. `shard` is one of several parts, `"2/8"`
    (default: that of a Slurm array or an indexed job, else all). `out` is the folder of results;
    `registry` a folder whose methods and tasks come before the package's own. Learning rates are
    those of the recipes, or those that `tune --adopt` has found; seeds from 100 on are for that.

    Raises `UserError` for a mistake in any of these, with the command line's message: `options` are
    called `--set` in it.
    """
    from suite.planning.given import with_given
    from suite.planning.limits import folder
    from suite.planning.output import planned
    from suite.planning.request import request
    from suite.planning.shard import shard_of

    names, known = _with_classes(methods, registry)
    asked = request(
        names,
        tasks,
        backbones,
        seeds=seeds,
        scale=scale,
        steps=steps,
        batch_size=batch_size,
        examples=examples,
        precision=precision,
        budget=budget,
        options=options,
        store=store,
        force=force,
        only_failed=only_failed,
        shard=shard_of(shard, os.environ),
    )
    known, names_given = with_given(known, asked.backbones)
    asked = replace(asked, backbones=names_given)
    return planned(asked, known, folder(out, "--out: "))


def run(
    methods: "Methods",
    tasks: "Names",
    backbones: "Names" = (),
    *,
    seeds: "Seeds" = 0,
    scale: str = "mini",
    steps: int | None = None,
    batch_size: int | None = None,
    examples: int | None = None,
    precision: str | None = None,
    budget: float | None = None,
    options: "Assignments" = (),
    store: "Names" = "float32",
    force: bool = False,
    only_failed: bool = False,
    shard: str | None = None,
    out: str | Path = "runs",
    registry: "str | Path | Registry | None" = None,
    device: str = "auto",
    jobs: int | None = None,
    timeout: float | None = None,
    fail_fast: bool = False,
    allow_dirty: bool = False,
    offline: bool = False,
    quiet: bool = False,
    executor: str = "local",
    executor_options: str = "",
    wait: bool = True,
) -> "Results":
    """Train, save, reload and score every cell that has no result yet; the results of all cells.

    The first words are those of `plan`. `device` is `auto` (every GPU, or the CPU), `cpu`, `cuda`
    or some, `"cuda:0,cuda:1"`; `jobs` is how many cells run at a time (default: as many as cores
    and memory allow); `timeout` the seconds that a cell may take. A cell that fails is a result
    with its status and reason, and the others go on, unless `fail_fast`. `allow_dirty` lets a
    folder that git keeps take results of code that is not committed. Missing data and weights are
    fetched unless `offline`. Progress goes to stderr unless `quiet`. `executor` names what computes
    cells (`local`, `ray`, `slurm`) and `executor_options` what it is told; `wait=False` returns
    when it has submitted them.

    Cells run in processes of their own, and results are written to `out` as they finish: after an
    interruption (`KeyboardInterrupt`) the same call continues. Any number of processes may run on
    one folder: each cell is computed by one of them, and waited for by the others. Raises
    `UserError` for a mistake in the arguments, if no cell can run, and if results cannot be
    written.
    """
    from suite.engine.execution import execute, prepare
    from suite.engine.settings import Settings
    from suite.leaderboards.frame import Results
    from suite.planning.given import with_given
    from suite.planning.limits import folder
    from suite.planning.output import results_of
    from suite.planning.request import request
    from suite.planning.shard import shard_of

    names, known = _with_classes(methods, registry)
    asked = request(
        names,
        tasks,
        backbones,
        seeds=seeds,
        scale=scale,
        steps=steps,
        batch_size=batch_size,
        examples=examples,
        precision=precision,
        budget=budget,
        options=options,
        store=store,
        force=force,
        only_failed=only_failed,
        shard=shard_of(shard, os.environ),
    )
    known, names_given = with_given(known, asked.backbones, fetch=not offline)
    asked = replace(asked, backbones=names_given)
    settings = Settings(
        folder(out, "--out: "),
        device,
        jobs,
        timeout,
        fail_fast,
        allow_dirty,
        offline,
        quiet,
        executor,
        executor_options,
        wait,
    )
    made = prepare(asked, known, settings)
    execute(made, known, settings)
    found = results_of(made, settings.out)
    have = {result.cell for result in found}
    absent = [item for item in made.planned if item.cell.key not in have]
    return Results(found, known, settings.out, absent)


def read_results(
    out: str | Path = "runs", *, registry: "str | Path | Registry | None" = None
) -> "Results":
    """Every result below an output folder, e.g. `runs` or the published `leaderboards`.

    A file that is not a result is named in a warning and left out. Raises `UserError` if there are
    no results, and for a file in which a merge left both sides.
    """
    import warnings

    from suite.leaderboards.frame import Results
    from suite.planning.limits import folder
    from suite.results.folder import SINGLES, read_results
    from suite.results.packing import is_packed

    place = folder(out, "--out: ")
    if not (place / SINGLES).is_dir() and not is_packed(place):
        raise UserError(f"{out}: there are no results in this folder")
    found = read_results(place)
    if found.warning:
        warnings.warn(found.warning, stacklevel=2)
    return Results(tuple(found.values()), _registry(registry), place)


def load_delta(
    path: str | Path,
    *,
    method: "OwnMethod | None" = None,
    registry: "str | Path | Registry | None" = None,
    device: str = "auto",
) -> "Predictor":
    """The model of a delta, ready to answer new texts or images with `predict`.

    `path` is `delta.safetensors` or the folder it lies in, as in the column `delta` of
    `Results.frame`. The file says which method, options, backbone and tasks it belongs to; a method
    that was run as a class is given again as `method`. `device` is `auto`, `cpu` or `cuda[:N]`.

    Raises `UserError` if the file is not the delta of a cell, or if what it needs is gone.
    """
    from suite.engine.devices import resolve_device
    from suite.engine.predictor import load_predictor
    from suite.planning import limits

    file = limits.folder(path, "path: ")
    where = resolve_device(limits.device(device, "--device: "))
    if isinstance(method, str):
        raise UserError(f"method: give the class; the file names its method, and '{method}' is one")
    _, known = _with_classes([method] if method else (), registry)
    return load_predictor(file, known, where)


def as_method(
    cls: "type[Method]",
    *,
    name: str | None = None,
    regime: str = "per_task",
    families: "Names | None" = None,
    recipe: Mapping[str, object] | None = None,
    cost: "Terms | None" = None,
    facts: Mapping[str, str] | None = None,
    replaces_backbone: bool = False,
) -> "MethodEntry":
    """A class that derives from `suite.method.Method` as an entry, for `plan` and `run`.

    Both accept the class itself as well; this adds what a method's YAML would say. `name` is by
    default the class's, in snake case; `regime` is `per_task` or `joint`; `families` are the
    families of backbones it is meant for (default: all); `recipe` has keys of the recipe:
    `{"learning_rate": 0.01}`. `cost` is the closed form of what it stores, in parameters of 32
    bits, and every file is then checked against it; without one, results say so. It is a formula,
    of what is stored once for all tasks if the method is joint, else for each task, or terms as in
    YAML, `{"per_task": [{"each": ["linear"], "count": "i + o"}]}`; `facts` (name -> meaning) are
    what it may use of the class's `facts`. `replaces_backbone` says that what is stored serves
    without the frozen backbone. The fields of the class are its options and
    need defaults.

    Raises `UserError` if the class's source is not available, or if it is not a method's.
    """
    from suite.method.from_class import as_method

    return as_method(
        cls,
        name=name,
        regime=regime,
        families=families,
        recipe=recipe,
        cost=cost,
        facts=facts,
        replaces_backbone=replaces_backbone,
    )


def _registry(given: "str | Path | Registry | None") -> "Registry":
    from suite.planning.limits import folder
    from suite.registry import Registry, load

    if isinstance(given, Registry):
        return given
    return load(None if given is None else folder(given, "--registry: "))


def _with_classes(
    methods: "Methods", registry: "str | Path | Registry | None"
) -> tuple[list[str], "Registry"]:
    """The names of methods, and a registry that has those given as classes, too."""
    from suite.registry.schema import MethodEntry

    known = _registry(registry)
    several: list[str | OwnMethod]
    if isinstance(methods, str | type | MethodEntry):
        several = [methods]
    elif isinstance(methods, Iterable):
        several = list(methods)
    else:
        raise UserError(f"--methods: must be names, classes or a list of them, not {methods!r:.80}")
    names = [item for item in several if isinstance(item, str)]
    classes = [item for item in several if not isinstance(item, str)]
    if not classes:
        return names, known
    from suite.method.from_class import as_method, with_methods

    entries = [item if isinstance(item, MethodEntry) else as_method(item) for item in classes]
    return [*names, *(entry.name for entry in entries)], with_methods(known, entries)
