"""`rehearse`: everything of a full-scale run, short and on made-up files, without a network."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from suite.backbones.made_up import write_weights
from suite.cli.run import run_asked
from suite.cli.selection import Invocation, load_with_warnings
from suite.console import say, shown
from suite.data.made_up import small_source, write_examples
from suite.engine.execution import execute, prepare
from suite.planning.cells import Plan
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import Registry

MADE_UP = "made-up"
BUDGET = 0.01


def rehearse(options: argparse.Namespace) -> int:
    """Write made-up examples and weights for the cells, run these and say what that shows."""
    if options.steps is None and options.budget is None:
        options.budget = BUDGET
    asked = Invocation.of(options)
    asked = replace(
        asked,
        request=replace(asked.request, throughout=True),
        settings=replace(asked.settings, offline=True),
    )
    registry = _small(load_with_warnings(asked.registry))
    folder = asked.settings.out / MADE_UP
    made = plan(asked.request, registry)
    _write(made, registry, folder)
    # Nothing else is looked for, here or in the workers.
    os.environ |= {"SUITE_DATA": str(folder), "HF_HUB_OFFLINE": "1"}
    say(
        "A rehearsal: examples and weights are made up. It shows that the cells run, what each "
        "stores, and how long a step takes; scores mean nothing."
    )
    for source in _sources(made, registry):
        _write(plan(source, registry), registry, folder)
        execute(prepare(source, registry, asked.settings), registry, asked.settings)
    return run_asked(asked, registry)


def _small(registry: Registry) -> Registry:
    """The registry with sources whose splits a few rows can fill."""
    tasks = {}
    for name, task in registry.tasks.items():
        if task.sources.full:
            small = task.sources.model_copy(update={"full": small_source(task.sources.full)})
            task = task.model_copy(update={"sources": small})
        tasks[name] = task
    return replace(registry, tasks=tasks)


def _sources(made: Plan, registry: Registry) -> Iterator[Request]:
    """What asks for the cells from whose deltas those of a plan start."""
    keys = [item.cell.key for item in made.planned if item.action != "unsupported"]
    alike: dict[tuple[str, str, str], dict[str, None]] = {}
    for key in keys:
        place = (key.track, key.method, key.backbone)
        alike.setdefault(place, {}).update(dict.fromkeys(key.tasks))
    for (track, method, backbone), tasks in alike.items():
        start = registry.tracks[track].start
        if start is None:
            continue
        like = {f"{start.track}/{start.tasks[task]}": None for task in tasks}
        joint = registry.methods[method].regime == "joint"
        yield replace(
            made.request,
            methods=(method,),
            tasks=(start.track,) if joint else tuple(like),
            backbones=(backbone,),
            seeds=(start.seed,),
            options=tuple(o for o in made.request.options if o.partition(".")[0] == method),
        )


def _write(made: Plan, registry: Registry, folder: Path) -> None:
    """Write the files of all tasks and backbones of a plan that are not there yet."""
    keys = [item.cell.key for item in made.planned]
    tasks = {f"{key.track}/{task}": None for key in keys for task in key.tasks}
    for name in tasks:
        write_examples(registry.tasks[name], folder)
    for name in dict.fromkeys(key.backbone for key in keys):
        entry = registry.backbones[name]
        if not any((folder / "models" / entry.source.id).glob("*.safetensors")):
            say(f"making random weights of {name} in {shown(folder)}")
            write_weights(entry, folder)
