"""Imports point one way: the table below is the map of the engine, from the bottom up."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import suite

ROOT = Path(suite.__file__).parent

PARTS: dict[str, tuple[str, ...]] = {
    "errors": ("errors", "console", "cost_names", "expression"),
    "registry": ("registry", "options"),
    "results": ("results", "history", "tuning"),
    "files": ("data.locate", "data.fingerprint", "data.cache", "data.splits"),
    "plan": ("plan", "identity"),
    "kernels": ("kernels",),
    "sites": ("backbones.sites", "nn.tasks"),
    "backbones": ("backbones",),
    "nn": ("nn",),
    "data": ("data",),
    "method": ("method", "model", "registry.code"),
    "training": ("training", "delta", "ledger", "metrics", "memory", "seeding"),
    "cell": (
        "cell",
        "worker",
        "bench",
        "contract",
        "contract_answers",
        "contract_costs",
        "contract_training",
        "task_contract",
        "environment",
    ),
    "run": ("run", "progress", "sharing"),
    "leaderboards": ("leaderboards", "statistics", "resampling"),
    "cli": ("cli", "commands", "__main__"),
}
"""Every module belongs to the part that names the longest start of its own name."""

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "registry": {"errors"},
    "results": {"errors", "registry"},
    "files": {"errors", "registry"},
    "plan": {"errors", "registry", "results", "files"},
    "kernels": {"errors"},
    "sites": {"errors", "registry"},
    "backbones": {"errors", "registry", "files", "sites", "data"},
    "nn": {"errors", "registry", "kernels", "sites", "backbones"},
    "data": {"errors", "registry", "files", "backbones"},
    "method": {"errors", "registry", "sites", "nn", "backbones", "data"},
    "training": {"errors", "registry", "results", "sites", "nn", "backbones", "method", "data"},
    "cell": {
        "errors", "registry", "results", "files", "plan", "sites", "nn", "backbones", "method",
        "data", "training",
    },
    "run": {"errors", "registry", "results", "plan", "cell"},
    "leaderboards": {"errors", "registry", "results", "files", "training"},
    "cli": {"errors", "registry", "results", "files", "plan", "run", "cell", "leaderboards"},
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Every module of the package by its name without `suite.`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name and not name.startswith("_registry"):
            found[name] = path
    return found


MODULES = modules()


def part_of(module: str) -> str | None:
    starts = [
        (len(start), part)
        for part, names in PARTS.items()
        for start in names
        if module == start or module.startswith(f"{start}.")
    ]
    return max(starts)[1] if starts else None


def imports(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            words = name.split(".")
            while words and ".".join(words[1:]) not in MODULES:
                words.pop()
            if words[:1] == ["suite"] and len(words) > 1:
                yield ".".join(words[1:])


def test_every_module_has_a_place_on_the_map():
    homeless = [module for module in MODULES if part_of(module) is None]
    assert homeless == [], "add them to PARTS, where they belong"


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_one_way(part):
    wrong = [
        f"{module} imports {target} ({part_of(target)})"
        for module in MODULES
        if part_of(module) == part
        for target in imports(module)
        if part_of(target) not in ALLOWED[part] | {part}
    ]
    assert wrong == []


def test_no_module_imports_itself_through_others():
    graph = {module: set(imports(module)) - {module} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for target in graph[module]:
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_engine_knows_no_method_and_no_task_by_name():
    for folder in ("methods", "tasks"):
        assert not any(f"import {folder}" in path.read_text() for path in MODULES.values())
