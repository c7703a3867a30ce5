"""The source of a class that was defined in a notebook, as a file that another process can import.

The file holds the class and what its code names, and nothing else: imports, functions and classes
from the same notebook or script, and plain constants.
"""

import ast
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

from suite.errors import UserError

_FUTURE_ANNOTATIONS = 0x1000000
"""`CO_FUTURE_ANNOTATIONS`: the code was compiled under `from __future__ import annotations`."""


def class_source(cls: type) -> str:
    """A module's source that defines `cls` anew, the same text whenever it is asked for.

    Raises `UserError` if the source was not kept, or needs a value that no source can stand for.
    """
    return _Module(cls).text()


class _Module:
    """The content of the file, found by following names from the class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.imports: set[str] = set()
        self.constants: dict[str, str] = {}
        self.definitions: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        function = self._add_definition(cls)
        if function.__code__.co_flags & _FUTURE_ANNOTATIONS:
            self.imports.add("from __future__ import annotations")

    def text(self) -> str:
        """Imports, constants and definitions; what a definition needs stands before it."""
        future = sorted(line for line in self.imports if "__future__" in line)
        imports = [*future, *sorted(self.imports - set(future))]
        constants = [f"{name} = {value}" for name, value in sorted(self.constants.items())]
        aliases = [f"{name} = {value}" for name, value in sorted(self.aliases.items())]
        *others, last = self.definitions.values()
        blocks = ["\n".join(imports), "\n".join(constants), *others, "\n".join(aliases), last]
        return "\n\n\n".join(block for block in blocks if block) + "\n"

    def _add_definition(self, value: type | FunctionType) -> FunctionType:
        """Add a class or function after everything that its source names; some function of it."""
        function, source = _definition(value)
        namespace = function.__globals__
        self.definitions[value.__name__] = ""  # where it is named again, it has been found
        for name in _names(source):
            if name in namespace and name != value.__name__:
                self._add(name, namespace[name], namespace)
        del self.definitions[value.__name__]
        self.definitions[value.__name__] = source
        return function

    def _add(self, name: str, value: object, namespace: Mapping[str, object]) -> None:
        if name in self.definitions or name in self.constants or name in self.aliases:
            return
        if isinstance(value, ModuleType):
            alias = "" if name == value.__name__ else f" as {name}"
            self.imports.add(f"import {value.__name__}{alias}")
        elif _is_defined_here(value, namespace):
            assert isinstance(value, type | FunctionType)
            if value.__name__ not in self.definitions:
                self._add_definition(value)
            if name != value.__name__:
                self.aliases[name] = value.__name__
        elif _is_constant(value):
            self.constants[name] = repr(value)
        elif place := _importable(name, value):
            module, there = place
            self.imports.add(
                f"from {module} import {there}{'' if there == name else f' as {name}'}"
            )
        else:
            raise UserError(
                f"{self.cls.__name__} uses '{name}', a {type(value).__name__} that other processes "
                "cannot see: make it an option, a constant or part of the class"
            )


def _definition(value: type | FunctionType) -> tuple[FunctionType, str]:
    """Some function of a class, or the function itself, and the source with its decorators."""
    functions = [*_functions(value)]
    if not functions:
        raise UserError(
            f"{value.__name__} has no function of its own, by which its source would be found: "
            "define one of its base's in it again"
        )
    for function in functions:
        code = function.__code__
        lines = linecache.getlines(code.co_filename, function.__globals__)
        for node in ast.walk(ast.parse("".join(lines))):
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef)
                and node.name == value.__name__
                and _first_line(node) <= code.co_firstlineno <= (node.end_lineno or 0)
            ):
                own = "".join(lines[_first_line(node) - 1 : node.end_lineno])
                return function, textwrap.dedent(own).rstrip()
    raise UserError(
        f"the source of {value.__name__} is not kept where it was typed: define it in a notebook, "
        "a script or a file"
    )


def _functions(value: type | FunctionType) -> Iterator[FunctionType]:
    """The function, or those that are written in the body of the class."""
    members = vars(value).values() if isinstance(value, type) else [value]
    for member in members:
        inner = member.fget if isinstance(member, property) else member
        inner = inspect.unwrap(getattr(inner, "__func__", inner)) if callable(inner) else inner
        if isinstance(inner, FunctionType) and inner.__module__ == value.__module__:
            yield inner


def _first_line(node: ast.ClassDef | ast.FunctionDef) -> int:
    return min(part.lineno for part in (node, *node.decorator_list))


def _names(source: str) -> list[str]:
    """The global names that the source looks up, sorted; names bound inside are not among them."""
    found: set[str] = set()

    def visit(scope: symtable.SymbolTable) -> None:
        found.update(
            symbol.get_name()
            for symbol in scope.get_symbols()
            if symbol.is_referenced() and symbol.is_global()
        )
        for inner in scope.get_children():
            visit(inner)

    visit(symtable.symtable(source, "class", "exec"))
    return sorted(found)


def _is_defined_here(value: object, namespace: Mapping[str, object]) -> bool:
    return isinstance(value, type | FunctionType) and value.__module__ == namespace.get("__name__")


def _is_constant(value: object) -> bool:
    """Whether the value's `repr` gives the same value in every process."""
    if not isinstance(value, bool | int | float | str | bytes | tuple | list | dict | None):
        return False
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _importable(name: str, value: object) -> tuple[str, str] | None:
    """A module and a name in it under which the value can be imported."""
    home = getattr(value, "__module__", None)
    own = getattr(value, "__qualname__", name)
    if home and getattr(sys.modules.get(home), own, None) is value and home != "__main__":
        return home, own
    # Compiled functions do not say where they come from.
    modules = sorted(sys.modules, key=lambda module: (len(module), module))
    for module in modules:
        public = not module.startswith("_")
        if public and getattr(sys.modules[module], "__dict__", {}).get(name) is value:
            return module, name
    return None
