"""Imports point one way: down the list below, which is the map of the code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import suite
from suite.registry import load

ROOT = Path(suite.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "design.md"

ROOMS = (
    "cli",
    "export",
    "contract",
    "engine",
    "leaderboards",
    "method",
    "nn",
    "mini",
    "data",
    "backbones",
    "planning",
    "results",
    "registry",
)
"""From the top floor down. Every room may import those below it, and the two files of the root."""
GROUND = ("console", "errors")


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


def room_of(module: str) -> str:
    return module.partition(".")[0]


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


def test_every_module_lies_in_a_room():
    assert {room_of(module) for module in MODULES} == {*ROOMS, *GROUND, "__main__"}


@pytest.mark.parametrize("room", [*ROOMS, *GROUND])
def test_imports_point_down(room):
    below = ROOMS[ROOMS.index(room) :] if room in ROOMS else ()
    wrong = [
        f"{module} imports {target}"
        for module in MODULES
        if room_of(module) == room
        for target in imports(module)
        if room_of(target) not in (*below, *GROUND)
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
    registry = load()
    names = {*registry.methods, *registry.tasks, *(task.name for task in registry.tasks.values())}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        # What pages ask of methods names some.
        found = {each for each in said if isinstance(each, str)} & names
        assert not found or room_of(module) == "leaderboards", (module, found)


@pytest.mark.parametrize("room", ["registry", "planning"])
def test_a_room_imports_no_torch(room):
    own = ", ".join(f"suite.{module}" for module in MODULES if room_of(module) == room)
    code = f"import sys, {own}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_page_on_design_describes_the_rooms_as_they_describe_themselves():
    table = [
        f"| `suite/{room}` | {import_module(f'suite.{room}').__doc__.partition(chr(10))[0]} |"
        for room in ROOMS
    ]
    lines = PAGE.read_text().splitlines()
    assert [line for line in lines if line.startswith("| `suite/")] == table
