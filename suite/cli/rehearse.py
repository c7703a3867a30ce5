"""`rehearse`: everything of a full-scale run, short and on made-up files, without a network."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from suite.backbones.made_up import write_weights
from suite.cli.run import run_asked
from suite.cli.selection import Invocation, load_with_warnings
from suite.console import say, shown
from suite.data.made_up import small_source, write_examples
from suite.planning.cells import Plan
from suite.planning.plan import plan
from suite.registry import Registry

MADE_UP = "made-up"


def rehearse(options: argparse.Namespace) -> int:
    """Write made-up examples and weights for the cells, run these and say what that shows."""
    asked = Invocation.of(options)
    registry = _small(load_with_warnings(asked.registry))
    folder = asked.settings.out / MADE_UP
    _write(plan(asked.request, registry), registry, folder)
    # Nothing else is looked for, here or in the workers.
    os.environ |= {"SUITE_DATA": str(folder), "HF_HUB_OFFLINE": "1"}
    say(
        "A rehearsal: examples and weights are made up. It shows that the cells run, what each "
        "stores, and how long a step takes; scores mean nothing."
    )
    return run_asked(replace(asked, settings=replace(asked.settings, offline=True)), registry)


def _small(registry: Registry) -> Registry:
    """The registry with sources whose splits a few rows can fill."""
    tasks = {}
    for name, task in registry.tasks.items():
        if task.sources.full:
            small = task.sources.model_copy(update={"full": small_source(task.sources.full)})
            task = task.model_copy(update={"sources": small})
        tasks[name] = task
    return replace(registry, tasks=tasks)


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
