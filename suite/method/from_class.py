"""A method given as a class, without files of its own, to be tried out."""

import hashlib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from pydantic import ValidationError

from suite.errors import UserError
from suite.method.class_source import class_source
from suite.method.interface import Method
from suite.planning.limits import texts
from suite.planning.request import Names
from suite.registry import Registry
from suite.registry.cache import cache_folder
from suite.registry.checks import method_mistakes
from suite.registry.entries import split_names
from suite.registry.problems import dotted
from suite.registry.schema import MethodEntry, OptionValue, Scale
from suite.results.files import replace_file

Terms = str | Mapping[str, object]
"""A closed form, or as in YAML: `{"shared": [...], "per_task": [...]}`."""


def as_method(
    cls: type[Method],
    *,
    name: str | None = None,
    regime: str = "per_task",
    families: Names | None = None,
    recipe: Mapping[str, object] | None = None,
    cost: Terms | None = None,
    facts: Mapping[str, str] | None = None,
    replaces_backbone: bool = False,
) -> MethodEntry:
    """A class as an entry of the registry; `suite.as_method` says what the words mean.

    The class's source, with what it names, becomes a file in the user's cache folder, so that
    worker processes can import it and results know what they depend on. Raises `UserError` where
    there is no such source, an option has no default, or the words describe no method.
    """
    _require_method(cls)
    if not isinstance(recipe, Mapping | None):
        raise UserError(f'recipe: must be as in {{"learning_rate": 0.01}}, not {recipe!r:.80}')
    named = [] if families is None else [*split_names(texts(families, "families: "))]
    name = name or _snake_case(cls.__name__)
    source = class_source(cls)
    digest = hashlib.sha256(source.encode()).hexdigest()
    path = cache_folder() / "methods" / digest[:16] / f"{name}.py"
    described = {
        "schema": 1,
        "name": name,
        "title": cls.__name__,
        "summary": (cls.__doc__ or cls.__name__).strip().partition("\n")[0],
        "regime": regime,
        **({"needs": []} if families is None else {"families": named}),
        "reference": {"title": "a class, not a file of the registry"},
        "options": {
            option: {"default": value, "description": f"field of {cls.__name__}"}
            for option, value in _defaults(cls).items()
        },
        "recipe": {scale: {"default": dict(recipe)} for scale in Scale} if recipe else {},
        "cost": _cost(cost, regime),
        "facts": dict(facts or {}),
        "replaces_backbone": replaces_backbone,
    }
    try:
        entry = MethodEntry.model_validate(described)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(f"{cls.__name__}: {dotted(first['loc'])}: {first['msg']}") from None
    if not path.is_file():
        replace_file(path, source)
    entry = entry.model_copy(
        update={"path": path.with_suffix(".yaml"), "cost_stated": cost is not None}
    )
    for location, message in method_mistakes(entry):
        raise UserError(f"{cls.__name__}: {dotted(location)}: {message}")
    return entry


def with_methods(registry: Registry, entries: Iterable[MethodEntry]) -> Registry:
    """The registry with more methods. Raises `UserError` for a name that it has already."""
    methods = dict(registry.methods)
    for entry in entries:
        if entry.name in registry.methods:
            raise UserError(
                f"{entry.title}: the registry has a method '{entry.name}'; give the class another "
                f'name, or call it one: suite.as_method({entry.title}, name="...")'
            )
        methods[entry.name] = entry
    return replace(registry, methods=methods)


def _require_method(cls: object) -> None:
    """Raise `UserError` for anything but a class that can be a method."""
    if isinstance(cls, Method):
        name = type(cls).__name__
        raise UserError(
            f"give the class {name}, not an object of it; options are set by name, as in "
            f'options={{"{_snake_case(name)}.OPTION": VALUE}}'
        )
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise UserError(f"{cls!r} is no method: derive a class from suite.method.Method")
    if inspect.isabstract(cls):
        raise UserError(f"{cls.__name__} does not define adapt(self, backbone, tasks)")
    if inspect.get_annotations(cls) and "__dataclass_params__" not in vars(cls):
        raise UserError(
            f"{cls.__name__} has fields: decorate it with @dataclass(frozen=True), "
            "so that they become its options"
        )


def _defaults(cls: type[Method]) -> dict[str, OptionValue]:
    defaults: dict[str, OptionValue] = {}
    for field in fields(cls):
        if not isinstance(field.default, bool | int | float | str):
            raise UserError(
                f"{cls.__name__}: option '{field.name}' needs a number, a text or a truth value "
                f"as its default, as in {field.name}: int = 4"
            )
        defaults[field.name] = field.default
    return defaults


def _cost(cost: Terms | None, regime: str) -> Mapping[str, object]:
    if isinstance(cost, str):
        return {"shared" if regime == "joint" else "per_task": [{"count": cost}]}
    return cost or {}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
