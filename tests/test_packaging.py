"""What is imported is declared and the other way round; versions are pinned, and said alike."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

from suite import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def imported_modules(node: ast.AST) -> Iterator[str]:
    """The top-level modules that are imported when the code runs, at its top or in a function."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imported_modules(child)


def test_declared_dependencies_are_those_that_are_imported():
    files = [
        path for folder in ("suite", "methods", "tasks") for path in (ROOT / folder).rglob("*.py")
    ]
    modules = {module for path in files for module in imported_modules(ast.parse(path.read_text()))}
    installed = packages_distributions()
    extras = required(PROJECT["optional-dependencies"]["ray"])
    extras |= required(PROJECT["optional-dependencies"]["slurm"])
    foreign = modules - set(sys.stdlib_module_names) - {"suite"}
    assert extras <= foreign, "an extra that nothing imports"
    foreign -= extras
    found = {normal(name) for module in foreign for name in installed[module]}
    assert found == required(PROJECT["dependencies"])


def test_the_constraints_pin_every_declared_dependency():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [normal(line.partition("==")[0]) for line in lines if "==" in line]
    assert len(pinned) == len(set(pinned))
    declared = required(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
    assert declared <= set(pinned)


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (__version__, PROJECT["license"])
