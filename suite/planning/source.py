"""What Python files define at their top level, and what their names refer to: nothing is imported.

The files are those of the package and of a folder of methods; all else is foreign.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from suite.registry.python_source import parse

PACKAGE_NAME = "suite"
INERT_CALLS = ("TypeVar", "ParamSpec", "NewType")
"""Calls that serve annotations alone."""
INERT_DECORATORS = ("cache", "contextmanager", "dataclass", "lru_cache", "no_grad")
"""A decorated function or class counts only where it is used; one under any other decorator may
have been registered, and counts wherever its module does."""


class Place(NamedTuple):
    """A definition by its module and its name there; a method as `CLASS.METHOD`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Target(NamedTuple):
    """What a dotted name refers to: a definition, a whole module or, with neither, a foreign name;
    `attributes` are looked up on it."""

    place: Place | None
    module: str
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """The top level of one file."""

    definitions: Mapping[str, tuple[ast.stmt, ...]]
    """Name -> every statement that binds it, except imports."""
    imports: Mapping[str, str]
    """Name -> the dotted name that it stands for."""
    effects: tuple[ast.stmt, ...]
    """Statements that do something when the module is imported."""
    methods: Mapping[str, tuple[str, ...]]
    """Name of a method or property -> `CLASS.METHOD` for each class that has it; in `definitions`
    under that name."""
    fields: frozenset[str]
    """Annotated names of all classes."""


class Sources:
    """The package in the folder `package`, and a folder of `methods`, named as it is."""

    def __init__(self, package: Path, methods: Path | None = None) -> None:
        self.package = package
        self.methods = methods
        self._modules: dict[str, Module | None] = {}
        self._triton: dict[str, bool] = {}

    def module(self, name: str) -> Module | None:
        """The module of this dotted name; None if it is foreign. Raises `SyntaxError`."""
        if name not in self._modules:
            path = self._path(name)
            self._modules[name] = None if path is None else _read(path.read_bytes())
        return self._modules[name]

    def inside(self, package: str) -> list[str]:
        """The modules right below a package of the suite, by name."""
        folder = self.package.joinpath(*package.split(".")[1:])
        return [f"{package}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]

    def resolve(self, dotted: str) -> Target:
        """What a dotted name refers to, through any number of imports."""
        words = dotted.split(".")
        for count in range(len(words), 0, -1):
            name, rest = ".".join(words[:count]), tuple(words[count:])
            module = self.module(name)
            if module is None:
                continue
            if not rest:
                return Target(None, name, ())
            if rest[0] in module.definitions:
                return Target(Place(name, rest[0]), name, rest[1:])
            if rest[0] in module.imports:
                return self.resolve(".".join((module.imports[rest[0]], *rest[1:])))
            break
        return Target(None, "", tuple(words))

    def needs_triton(self, name: str) -> bool:
        """Whether a module imports Triton at its top, or another module that does: it computes on
        a GPU alone."""
        if name not in self._triton:
            self._triton[name] = False  # for a module that imports itself through others
            module = self.module(name)
            self._triton[name] = module is not None and any(
                self._is_triton(dotted) for dotted in module.imports.values()
            )
        return self._triton[name]

    def _is_triton(self, dotted: str) -> bool:
        target = self.resolve(dotted)
        if target.module:
            return self.needs_triton(target.module)
        return target.attributes[0] == "triton"

    def _path(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first == PACKAGE_NAME:
            root = self.package.joinpath(*rest)
        elif self.methods and first == self.methods.name:
            root = self.methods.joinpath(*rest)
        else:
            return None
        candidates = (root / "__init__.py", root.parent / f"{root.name}.py")
        return next((path for path in candidates if path.is_file()), None)


@functools.cache
def _read(source: bytes) -> Module:
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, str] = {}
    effects: list[ast.stmt] = []
    methods: dict[str, list[str]] = {}
    fields: set[str] = set()
    for statement in parse(source).body:
        imports |= imported(statement)
        for name in bound(statement):
            definitions.setdefault(name, []).append(statement)
        if _has_effect(statement):
            effects.append(statement)
        if isinstance(statement, ast.ClassDef):
            for item in statement.body:
                if isinstance(item, ast.FunctionDef):
                    full = f"{statement.name}.{item.name}"
                    definitions[full] = [item]
                    methods.setdefault(item.name, []).append(full)
                elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    fields.add(item.target.id)
    return Module(
        {name: tuple(statements) for name, statements in definitions.items()},
        imports,
        tuple(effects),
        {name: tuple(full) for name, full in methods.items()},
        frozenset(fields),
    )


def imported(statement: ast.stmt) -> dict[str, str]:
    """The names that an import binds, or one under `if TYPE_CHECKING`, and what each stands for."""
    found = {}
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            first = alias.name.split(".")[0]
            found[alias.asname or first] = alias.name if alias.asname else first
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            found[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
    elif isinstance(statement, ast.If) and not _has_effect(statement):
        for inner in statement.body:
            found |= imported(inner)
    return found


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or one that describes a name."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top level binds, imports aside."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif not isinstance(statement, ast.Import | ast.ImportFrom):
        stored = {
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        yield from sorted(stored)


def _has_effect(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return False
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return any(_acts(node) for node in ast.walk(statement))
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return any(
                last_name(decorator) not in INERT_DECORATORS
                for decorator in statement.decorator_list
            )
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return False
        case _:
            return not is_text(statement)


def _acts(node: ast.AST) -> bool:
    """Whether an assignment with this node in it may do more than to name a value."""
    if isinstance(node, ast.Call):
        return last_name(node) not in INERT_CALLS
    stored = isinstance(getattr(node, "ctx", None), ast.Store)
    return stored and not isinstance(node, ast.Name | ast.Tuple)


def last_name(decorator: ast.expr) -> str:
    """`cache` of `@functools.cache` and of `@cache(...)`."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
