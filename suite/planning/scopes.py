"""Which names a function, a comprehension or a class binds."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from suite.planning.source import imported
from suite.planning.tokens import Bases


@dataclass(frozen=True)
class Scope:
    """The names that a function, comprehension or class binds; imports with what they are."""

    number: int
    names: frozenset[str]
    imports: Mapping[str, str]
    bases: Bases | None = None
    """Only of a class."""


def scope_of(number: int, nodes: Iterable[ast.AST], names: Iterable[str]) -> Scope:
    """The scope of statements or targets that bind more names, and `names` already."""
    found = _Bound()
    for node in nodes:
        found.visit(node)
    return Scope(number, frozenset({*names, *found.names} - found.outer), found.imports)


class _Bound(ast.NodeVisitor):
    """The names that statements bind in the scope they stand in."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.outer: set[str] = set()
        self.imports: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        """A parameter of an inner function."""

    def visit_FunctionDef(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> None:
        self.names.add(node.name)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Binds in itself."""

    def visit_ListComp(self, node: ast.AST) -> None:
        """Binds in itself, `:=` aside."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.names.add(inner.target.id)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imports |= imported(node)

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.outer.update(node.names)

    visit_Nonlocal = visit_Global  # noqa: N815

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._capture(node.name, node)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self._capture(node.name, node)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._capture(node.rest, node)

    def _capture(self, name: str | None, node: ast.AST) -> None:
        self.names.update(filter(None, (name,)))
        self.generic_visit(node)
