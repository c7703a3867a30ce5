"""A digest of the code that is reached from some definitions, up to renaming and moving.

Definitions are followed by the names in them, whatever file they lie in. Of a module that is
reached, what it does when it is imported counts as well. An object that comes from outside, such as
an entry of the registry, has its methods by their names.

A name that the source makes up is replaced by a number in the order of first appearance. Members
keep their names where somebody else looks them up: those that override a library's, that name a
delta's tensors, options of a YAML file, words that also stand in a string, and all that no class of
the source defines.
"""

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from suite.planning.source import PACKAGE_NAME, Place, Sources, Target, bound, last_name
from suite.planning.syntax import stream
from suite.planning.tokens import Bases, Line, Stream, Symbol, Token, joined

INERT_BASES = ("abc.ABC", "typing.Protocol", "typing.NamedTuple", "typing.Generic")
"""Foreign bases that call no method of a class by its name."""
EFFECTS = "<effects>"
"""Stands for what a module does when it is imported."""


@dataclass(frozen=True)
class Choice:
    """What of a program counts."""

    domains: frozenset[str]
    lines: frozenset[tuple[str, str]]
    """Of tables whose keys are of the types `domains`: (type, key)."""
    leaves: frozenset[str]
    """Packages, modules and definitions that count as names alone."""

    def of(self, tokens: Iterable[Token]) -> Iterator[Token]:
        """Tokens without the lines that do not count."""
        for token in tokens:
            if not isinstance(token, Line):
                yield token
            elif token.domain not in self.domains or (token.domain, token.key) in self.lines:
                yield token.key
                yield from token.tokens

    def is_leaf(self, place: Place) -> bool:
        """Whether a definition counts as a name alone."""
        words = str(place).split(".")
        return any(".".join(words[:count]) in self.leaves for count in range(1, len(words) + 1))


class Program:
    """Source files, and the token streams of their definitions, each made once.

    `outside` is the package of the classes whose objects come from elsewhere. `of_package` are the
    streams of the suite's own definitions, which no method changes: programs may share them.
    """

    def __init__(
        self, sources: Sources, outside: str, of_package: dict[Place, Stream] | None = None
    ) -> None:
        self.sources = sources
        self._of_package = {} if of_package is None else of_package
        self.fields: set[str] = set()
        """Of the classes whose objects come from outside."""
        self._methods: dict[str, list[Place]] = {}
        self._streams: dict[Place, Stream] = {}
        for name in sources.inside(outside):
            module = sources.module(name)
            assert module is not None
            self.fields |= module.fields
            for method, full in module.methods.items():
                self._methods.setdefault(method, []).extend(Place(name, each) for each in full)

    def stream(self, place: Place, choice: Choice) -> Stream:
        """The stream of a definition; of what a module does, or with no name of all of it."""
        # A kernel that runs on a GPU alone is a leaf: the device is no part of an identity.
        is_method = "." in place.name
        if not is_method and (choice.is_leaf(place) or self.sources.needs_triton(place.module)):
            return Stream()
        # The same under every choice: lines that do not count are left out as they are read.
        is_own = place.module.partition(".")[0] == PACKAGE_NAME
        kept = self._of_package if is_own else self._streams
        if place not in kept:
            made = self._made(place)
            made.tokens = joined(made.tokens)
            kept[place] = made
        return kept[place]

    def reached(
        self, roots: Iterable[Place], choice: Choice, known: Collection[Place] = ()
    ) -> list[Place]:
        """Everything that is reached from `roots` and not `known`, in the order of first use."""
        found = dict.fromkeys(root for root in roots if root not in known)
        modules = dict.fromkeys(place.module for place in known)
        waiting = list(found)
        while waiting:
            modules |= dict.fromkeys(place.module for place in waiting)
            used = [
                place
                for reached in waiting
                for token in choice.of(self.stream(reached, choice).tokens)
                for place in self._used(token)
            ]
            # What modules do comes last, so that it matters little which file was reached first.
            waiting = self._new(used, found, known) or self._new(
                self._effects(modules, choice), found, known
            )
            found |= dict.fromkeys(waiting)
        return list(found)

    @staticmethod
    def _new(places: Iterable[Place], *seen: Collection[Place]) -> list[Place]:
        return [p for p in dict.fromkeys(places) if not any(p in before for before in seen)]

    def _effects(self, modules: Iterable[str], choice: Choice) -> Iterator[Place]:
        places = (Place(module, EFFECTS) for module in modules)
        return (place for place in places if self.stream(place, choice).tokens)

    def _used(self, token: Token) -> Iterator[Place]:
        if isinstance(token, Symbol):
            if token.kind == "place":
                assert isinstance(token.name, Place)
                yield token.name
            elif token.kind == "member":
                yield from self._methods.get(str(token.name), ())

    def _made(self, place: Place) -> Stream:
        module = self.sources.module(place.module)
        assert module is not None, f"there is no module {place.module}"
        names = _Names(self.sources, place.module)
        if "." in place.name:
            return stream(module.definitions[place.name], names, Bases())
        if not place.name:
            every = [name for name in sorted(module.definitions) if "." not in name]
            return Stream([token for name in every for token in (name, _defined(place, name))])
        if place.name != EFFECTS:
            return stream(module.definitions[place.name], names)
        others = [statement for statement in module.effects if not [*bound(statement)]]
        made = stream(others, names)
        made.tokens += [
            _defined(place, name) for statement in module.effects for name in bound(statement)
        ]
        return made


def _defined(place: Place, name: str) -> Symbol:
    return Symbol("place", Place(place.module, name))


@dataclass(frozen=True)
class _Names:
    """The names of one module, for `suite.planning.syntax`."""

    sources: Sources
    module: str

    def top(self, name: str) -> Target | None:
        own = self.sources.module(self.module)
        assert own is not None
        if name in own.definitions:
            return Target(Place(self.module, name), self.module, ())
        return self.sources.resolve(own.imports[name]) if name in own.imports else None

    def dotted(self, name: str) -> Target:
        return self.sources.resolve(name)

    def bases(self, target: Target | None, name: str) -> Bases:
        if target is None:
            return Bases(foreign=not (name == "object" or name.endswith(("Error", "Exception"))))
        if target.place is None:
            foreign = ".".join(target.attributes)
            return Bases(
                foreign == "torch.nn.Module", foreign not in (*INERT_BASES, "torch.nn.Module")
            )
        module = self.sources.module(target.place.module)
        assert module is not None
        found = Bases()
        names = replace(self, module=target.place.module)
        for statement in module.definitions[target.place.name]:
            for base in statement.bases if isinstance(statement, ast.ClassDef) else ():
                expression = base.value if isinstance(base, ast.Subscript) else base
                found |= names.bases(names._named(expression), getattr(expression, "id", ""))
        return found

    def is_dataclass(self, target: Target | None) -> bool:
        if target is None or target.place is None or target.attributes:
            return False
        module = self.sources.module(target.place.module)
        assert module is not None
        return any(
            last_name(decorator) == "dataclass"
            for statement in module.definitions[target.place.name]
            if isinstance(statement, ast.ClassDef)
            for decorator in statement.decorator_list
        )

    def _named(self, node: ast.expr) -> Target | None:
        dotted = ast.unparse(node)
        first, dot, rest = dotted.partition(".")
        target = self.top(first)
        if target is None or not dot:
            return target
        path = (target.module,) if target.module else target.attributes
        return self.dotted(".".join((*path, rest)))


@dataclass(frozen=True)
class Spelling:
    """How symbols are spelled in a digest: those of `owned` names by numbers.

    `spelled` are the parameters that some call spells.
    """

    owned: frozenset[str]
    spelled: frozenset[str]

    @classmethod
    def of(
        cls,
        program: Program,
        places: Iterable[Place],
        choice: Choice,
        public: Collection[str] = (),
    ) -> "Spelling":
        """The spelling for a program that consists of `places`, with more `public` names."""
        streams = [program.stream(place, choice) for place in places]
        spelled = {name for own in streams for name in own.spelled}
        names = {name for own in streams for name in own.bound | (own.parameters & spelled)}
        names -= {name for own in streams for name in own.public}
        names -= program.fields
        names -= set(public)
        owned = (name for name in names if not (name.startswith("__") and name.endswith("__")))
        return cls(frozenset(owned), frozenset(spelled))

    def digest(self, program: Program, places: Iterable[Place], choice: Choice) -> str:
        """SHA-256 of these definitions, in this order."""
        numbers: dict[tuple[str, object], int] = {}
        texts: list[str] = []
        for place in places:
            inner: dict[Symbol, int] = {}
            tokens = choice.of(program.stream(place, choice).tokens)
            # Numbered within their definition: a local more in another must not shift them.
            for token in chain((Symbol("place", place),), tokens):
                if isinstance(token, str):
                    texts.append(token)
                    continue
                assert isinstance(token, Symbol)
                kind, name = token
                if kind == "local":
                    texts.append(f"~{inner.setdefault(token, len(inner))}")
                elif kind == "place" or name in self.owned:
                    if kind != "parameter" or name in self.spelled:
                        known = ("place" if kind == "place" else "member", name)
                        texts.append(f"#{numbers.setdefault(known, len(numbers))}")
                elif kind == "member" or name in self.spelled:
                    texts.append(f".{name}")
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()
