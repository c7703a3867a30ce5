"""Turn the errors of pydantic into plain words, each with its place in the file."""

import json
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from suite.registry.names import did_you_mean
from suite.registry.problems import Location, Problem
from suite.registry.schema.base import DIGEST_PATTERN, NAME_PATTERN, URL_PATTERN
from suite.registry.yaml import Document

T = TypeVar("T")

FILLED_IN = ("path", "track", "cost_stated", "found_rates")
"""Fields of an entry that code fills in; in YAML they are unknown keys."""

_MOST = 50
"""Mistakes of one file that are told apart; with more it is another file, not one with mistakes."""
_LONGEST = 200
"""Characters of a value that a message repeats."""

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}

_PATTERNS = {
    NAME_PATTERN: "a name (lower-case letters, digits, - and _, a letter or digit first)",
    URL_PATTERN: "an address (https://... without spaces)",
    DIGEST_PATTERN: "a SHA-256 digest (64 hexadecimal digits)",
}


def validate(document: Document, kind: Any, adapter: TypeAdapter[T]) -> T | None:
    """The document as `kind`, or None with every mistake added to `document.problems`."""
    if document.problems:
        return None
    data = document.data
    if isinstance(data, dict):
        for key in FILLED_IN:
            if key in data:
                document.problems.append(document.problem((key,), _unknown(key, kind), at_key=True))
        data = {key: value for key, value in data.items() if key not in FILLED_IN}
    try:
        # JSON mode is the strict mode in which a YAML list may still become a tuple.
        entry = adapter.validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        document.problems += _explain(error, document, kind)
        return None
    return None if document.problems else entry


def _explain(error: ValidationError, document: Document, kind: Any) -> list[Problem]:
    wanted: dict[Location, list[str]] = {}
    problems: list[Problem] = []
    details = error.errors(include_url=False)
    for detail in details[:_MOST]:
        location = _written(detail["loc"], document)
        if _is_consequence(detail, document, location):
            continue
        if detail["type"] in _TYPES:
            wanted.setdefault(location, []).append(_TYPES[detail["type"]])
        else:
            problems.append(_one(detail, location, document, kind))
    for location, names in wanted.items():
        value = _value_at(document, location)
        message = f"must be {' or '.join(dict.fromkeys(names))}, not {_describe(value)}"
        if names == ["text"] and isinstance(value, int | float):
            message += ": write it in quotes"
        problems.append(document.problem(location, message))
    if len(details) > _MOST:
        problems.append(document.problem((), f"and {len(details) - _MOST:,} mistakes more"))
    return problems


def _one(detail: ErrorDetails, location: Location, document: Document, kind: Any) -> Problem:
    context = detail.get("ctx", {})
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    match detail["type"]:
        case "extra_forbidden":
            parent = _model_at(kind, detail["loc"][:-1])
            return document.problem(location, _unknown(name, parent), at_key=True)
        case "missing":
            parent = _model_at(kind, detail["loc"][:-1])
            keys = ", ".join(allowed_keys(parent))
            return document.problem(
                (*location, name), f"required key is missing; allowed keys: {keys}"
            )
        case "literal_error" | "enum":
            if name == "[key]":
                return document.problem(
                    location, _unknown_choice(location[-1], context), at_key=True
                )
            return document.problem(
                location, _unknown_choice(_value_at(document, location), context)
            )
        case "union_tag_invalid" | "union_tag_not_found":
            key = str(context["discriminator"]).strip("'")
            choices = str(context.get("expected_tags", ""))
            if not choices:
                return document.problem((*location, key), "required key is missing")
            tag = str(context["tag"])
            near = _near(tag, choices.replace("'", "").split(", "))
            return document.problem((*location, key), f"must be one of {choices}{near}")
        case "string_pattern_mismatch":
            text = str(location[-1] if name == "[key]" else _value_at(document, location))
            return document.problem(
                location,
                f"'{_shortened(text)}' is not {_PATTERNS[context['pattern']]}",
                at_key=name == "[key]",
            )
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            (bound,) = context.values()
            written = f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
            words = detail["type"].replace("_", " ").replace("than equal", "than or equal to")
            return document.problem(location, f"must be {words} {written}")
        case "too_short":
            return document.problem(location, f"needs at least {context['min_length']} items")
        case "value_error":
            key, _, message = detail["msg"].removeprefix("Value error, ").partition(": ")
            return document.problem((*location, key) if key else location, message)
        case _:
            message = detail["msg"].replace("Input should", "must")
            return document.problem(location, message[0].lower() + message[1:])


def _is_consequence(detail: ErrorDetails, document: Document, location: Location) -> bool:
    """Pydantic does not count items with mistakes, and then calls the list too short as well."""
    value = _value_at(document, location)
    return (
        detail["type"] == "too_short"
        and isinstance(value, list)
        and len(value) >= detail["ctx"]["min_length"]
    )


def _unknown(key: str, model: Any) -> str:
    allowed = allowed_keys(model)
    return f"unknown key{_near(key, allowed)}; allowed keys: {', '.join(allowed)}"


def _unknown_choice(value: object, context: dict[str, Any]) -> str:
    choices = str(context["expected"])
    words = choices.replace(" or ", ", ").replace("'", "").split(", ")
    return f"{_describe(value)} is not one of {choices}{_near(str(value), words)}"


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return _shortened(repr(value))


def _near(word: str, choices: Iterable[str]) -> str:
    # Comparing takes the square of the length, and no name is that long.
    return did_you_mean(word, choices) if len(word) <= _LONGEST else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def _written(location: tuple[int | str, ...], document: Document) -> Location:
    """The part of pydantic's location that stands in the file, without names of union members."""
    written: Location = ()
    for part in location:
        if (*written, part) in document.values:
            written = (*written, part)
    return written


def _value_at(document: Document, location: Location) -> object:
    value: Any = document.data
    for part in location:
        value = value[part]
    return value


def allowed_keys(model: Any) -> tuple[str, ...]:
    """The keys that YAML may use for a model."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    return tuple(
        field.alias or name for name, field in model.model_fields.items() if name not in FILLED_IN
    )


def _model_at(kind: Any, location: tuple[int | str, ...]) -> Any:
    """The model that pydantic was filling at `location`."""
    kind = _bare(kind)
    for part in location:
        origin = typing.get_origin(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            by_key = {field.alias or name: field for name, field in kind.model_fields.items()}
            kind = _bare(by_key[str(part)].annotation) if part in by_key else None
        elif origin is tuple or origin is list:
            kind = _bare(typing.get_args(kind)[0])
        elif origin is dict:
            kind = _bare(typing.get_args(kind)[1])
        elif origin in (Union, types.UnionType):
            members = [_bare(member) for member in typing.get_args(kind)]
            kind = next((member for member in members if _is_tagged(member, part)), None)
    return kind


def _bare(kind: Any) -> Any:
    if typing.get_origin(kind) is Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return kind


def _is_tagged(member: Any, tag: object) -> bool:
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return False
    field = member.model_fields.get("type")
    return field is not None and tag in typing.get_args(field.annotation)
