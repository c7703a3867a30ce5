"""A definition as a stream of tokens that renaming, moving and rewording leave as it is.

Comments, docstrings, annotations, imports and the wording of errors are no part of it. Names that
the source makes up are symbols, distinct but not spelled; all others are spelled out, those of
libraries in full.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from suite.planning.scopes import Scope, scope_of
from suite.planning.source import Place, Target, is_text
from suite.planning.tokens import MODULE_NAMES, Bases, Line, Stream, Symbol, Token, shape

DOMAINS = frozenset(("Library", "MetricName"))
"""A table at the top of a file that is annotated `dict[DOMAIN, ...]` consists of lines."""
REPLACE = "dataclasses.replace"
BY_KEYWORD = (REPLACE, "functools.partial")
"""Functions of the standard library whose keywords are those of another function."""
_UNKNOWN = Target(None, "", ())


class Names(Protocol):
    """What the names of a module refer to."""

    def top(self, name: str) -> Target | None:
        """A name at the top level; None for a builtin."""

    def dotted(self, name: str) -> Target:
        """A dotted name as an import has it."""

    def bases(self, target: Target | None, name: str) -> Bases:
        """Of the class that a base refers to; builtins by their `name`."""

    def is_dataclass(self, target: Target | None) -> bool:
        """Whether a class is one whose parameters are its fields."""


def stream(statements: Iterable[ast.AST], names: Names, method_of: Bases | None = None) -> Stream:
    """The tokens of statements at the top level of a module, or of a method by itself."""
    writer = _Writer(names)
    if method_of:
        writer.scopes.append(Scope(0, frozenset(), {}, method_of))
    for statement in statements:
        writer.write(statement)
    return writer.stream


class _Writer(ast.NodeVisitor):
    """Appends to `stream`."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.stream = Stream()
        self.scopes: list[Scope] = []
        self.made = 0

    def write(self, node: object) -> None:
        """Write a node, a list of nodes or a value."""
        if isinstance(node, ast.AST):
            self.visit(node)
        elif isinstance(node, list):
            self._put("[")
            for item in node:
                self.write(item)
            self._put("]")
        else:
            self._put(repr(node))

    def generic_visit(self, node: ast.AST) -> None:
        self._put(type(node).__name__)
        for name, value in ast.iter_fields(node):
            # A newer Python has more fields, all of them empty.
            if value not in (None, []) and name not in ("ctx", "type_comment", "kind"):
                self._put(name)
                self.write(value)

    def _put(self, *tokens: Token) -> None:
        self.stream.tokens.extend(tokens)

    def _apart(self, node: object) -> tuple[Token, ...]:
        """What writing a node would append."""
        before, self.stream.tokens = self.stream.tokens, []
        self.write(node)
        own, self.stream.tokens = self.stream.tokens, before
        return tuple(own)

    # Names

    def _target(self, name: str) -> Symbol | Target | None:
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.imports:
                return self.names.dotted(scope.imports[name])
            if name in scope.names and scope.bases is None:
                return Symbol("local", (scope.number, name))
            if name in scope.names and depth == 0:
                return Symbol("member", name)
        return self.names.top(name)

    def _chain(self, node: ast.expr) -> Symbol | Target | None:
        """What a name refers to, or attributes of a module; the empty target for others."""
        if isinstance(node, ast.Name):
            return self._target(node.id)
        if isinstance(node, ast.Attribute):
            base = self._chain(node.value)
            if isinstance(base, Target) and base != _UNKNOWN and base.place is None:
                path = (base.module,) if base.module else base.attributes
                return self.names.dotted(".".join((*path, node.attr)))
        return _UNKNOWN

    def _name(self, name: str) -> None:
        self._refer(self._target(name), name)

    def _refer(self, target: Symbol | Target | None, builtin: str) -> None:
        if target is None:
            self._put(builtin)
        elif isinstance(target, Symbol):
            self._put(target)
        elif target.module:
            self._put(Symbol("place", target.place or Place(target.module, "")))
            for name in target.attributes:
                self._put(".", Symbol("member", name))
        else:
            self._put(".".join(target.attributes))

    def visit_Name(self, node: ast.Name) -> None:
        self._name(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        target = self._chain(node)
        if target != _UNKNOWN:
            self._refer(target, "")
            return
        self.write(node.value)
        self._put(".", Symbol("member", node.attr))
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            owner = next((s.bases for s in reversed(self.scopes) if s.bases), None)
            if node.value.id in ("self", "cls") and owner:
                self._bind(node.attr, owner, is_method=False)

    def _bind(self, name: str, owner: Bases, *, is_method: bool) -> None:
        self.stream.bound.add(name)
        overrides = owner.module and (name in MODULE_NAMES or not is_method)
        if owner.foreign or overrides:
            self.stream.public.add(name)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.stream.public.update(re.findall(r"\w+", node.value))
        self._put(repr(node.value))

    def visit_Call(self, node: ast.Call) -> None:
        self._put("Call")
        self.write(node.func)
        self.write(node.args)
        target = self._chain(node.func)
        called = target if isinstance(target, Target) and target != _UNKNOWN else None
        foreign = "" if called is None or called.module else ".".join(called.attributes)
        library = target is None or (foreign and foreign not in BY_KEYWORD)
        # A keyword of these is a field, never the parameter of a function.
        fields = foreign == REPLACE or self.names.is_dataclass(called)
        for keyword in node.keywords:
            if keyword.arg is None:
                self._put("**")
            elif library:
                self._put(keyword.arg, "=")
            else:
                self._put(Symbol("member", keyword.arg), "=")
                self.stream.spelled.update(() if fields else (keyword.arg,))
            self.write(keyword.value)
        self._put(")")

    # Statements

    def _skip(self, node: ast.AST) -> None:
        """Says nothing, or is seen where its names are used."""

    visit_Pass = visit_Import = visit_ImportFrom = visit_Global = visit_Nonlocal = _skip  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> None:
        if not is_text(node):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        self._put("Assert")
        self.write(node.test)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Which error; its words decide nothing."""
        self._put("Raise")
        if isinstance(node.exc, ast.Call):
            self.write(node.exc.func)
            texts = ast.Constant | ast.JoinedStr | ast.BinOp
            self.write([item for item in node.exc.args if not isinstance(item, texts)])
        elif node.exc:
            self.write(node.exc)
        self.write(node.cause)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """An assignment; a field of a class even without a value."""
        in_class = bool(self.scopes and self.scopes[-1].bases)
        if node.value is None and not in_class:
            return
        self._put("Assign")
        if in_class and "ClassVar" not in ast.unparse(node.annotation):
            self._put("Field")
        self.write([node.target])
        domain = _domain(node.annotation)
        if domain and not self.scopes and isinstance(node.value, ast.Dict):
            self._table(node.value, domain)
        else:
            self.write(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """As with an annotation, which decides nothing but in a class, where it makes a field."""
        self._put("Assign")
        self.write(node.targets)
        self.write(node.value)

    def _table(self, table: ast.Dict, domain: str) -> None:
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._put(Line(domain, key.value, self._apart(value)))
            else:
                self.write([key, value])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._put("ExceptHandler")
        self.write(node.type)
        if node.name:
            self._name(node.name)
        self.write(node.body)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self._put(type(node).__name__)
        if isinstance(node, ast.MatchAs):
            self.write(node.pattern)
        if node.name:
            self._name(node.name)

    visit_MatchStar = visit_MatchAs  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._put("MatchMapping")
        self.write([*node.keys, *node.patterns])
        if node.rest:
            self._name(node.rest)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        self._put("MatchClass")
        self.write([node.cls, *node.patterns])
        for name, pattern in zip(node.kwd_attrs, node.kwd_patterns, strict=True):
            self._put(Symbol("member", name))
            self.write(pattern)

    # Scopes

    def _within(self, scope: Scope, nodes: object) -> None:
        self.scopes.append(scope)
        self.write(nodes)
        self.scopes.pop()

    def _scope(self, nodes: Iterable[ast.AST], names: Iterable[str] = ()) -> Scope:
        self.made += 1
        return scope_of(self.made, nodes, names)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._put(type(node).__name__)
        scope = self.scopes[-1] if self.scopes else None
        if scope and scope.bases:
            self._bind(node.name, scope.bases, is_method=True)
            self._put(Symbol("member", node.name))
        else:
            self._name(node.name)
        self.write(node.decorator_list)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._put("Lambda")
        self._function(node.args, [node.body])

    def _function(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        self.write([*arguments.defaults, "|", *arguments.kw_defaults])
        body = list(body)
        parameters = [
            *arguments.posonlyargs,
            *arguments.args,
            *filter(None, (arguments.vararg, arguments.kwarg)),
            *arguments.kwonlyargs,
        ]
        shape = [len(arguments.posonlyargs), len(arguments.args), len(arguments.kwonlyargs)]
        self._put(repr([*shape, bool(arguments.vararg), bool(arguments.kwarg)]))
        scope = self._scope(body, (parameter.arg for parameter in parameters))
        for parameter in parameters:
            self._put(Symbol("local", (scope.number, parameter.arg)))
            self._put(Symbol("parameter", parameter.arg))
            self.stream.parameters.add(parameter.arg)
        self._within(scope, body)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._loops(node, [node.elt])

    visit_SetComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._loops(node, [node.key, node.value])

    def _loops(
        self,
        node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
        result: list[ast.expr],
    ) -> None:
        self._put(type(node).__name__)
        first, *others = node.generators
        self.write(first.iter)
        scope = self._scope(generator.target for generator in node.generators)
        self._within(scope, [first.target, *first.ifs, *others, *result])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Fields in their order, then methods in an order that depends on what they do."""
        bases = Bases()
        for base in node.bases:
            expression = base.value if isinstance(base, ast.Subscript) else base
            target = self._chain(expression)
            known = None if isinstance(target, Symbol) else target
            bases |= self.names.bases(known, getattr(expression, "id", ""))
        self._put("ClassDef")
        self._name(node.name)
        self.write([*node.decorator_list, *node.bases, *node.keywords])
        scope = self._scope(node.body)
        scope = replace(scope, bases=bases)
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        methods = [item for item in node.body if isinstance(item, functions)]
        for name in scope.names - {method.name for method in methods}:
            self._bind(name, bases, is_method=False)
        self._within(scope, [item for item in node.body if item not in methods])
        self.scopes.append(scope)
        for method in sorted(map(self._apart, methods), key=shape):
            self._put(*method)
        self.scopes.pop()


def _domain(annotation: ast.expr) -> str:
    """`Library` of `dict[Library, ...]`; empty if the keys are of no such type."""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
        key = getattr(annotation.slice.elts[0], "id", "")
        return key if key in DOMAINS else ""
    return ""
