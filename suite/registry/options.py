"""Resolves the settings of methods from their defaults and `METHOD.OPTION=VALUE[,VALUE...]`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from suite.errors import UserError
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import STORE, MethodEntry, Option, OptionValue, Scale, Store

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


Options = Mapping[str, OptionValue]


@dataclass(frozen=True)
class Setting:
    """A method with values of its options, and the precision in which what it learns is stored."""

    options: Options
    store: Store


def default_options(entry: MethodEntry, scale: Scale) -> Options:
    """Every option of a method at its default."""
    return {name: option.default_at(scale) for name, option in entry.options.items()}


def resolve_settings(
    methods: Iterable[MethodEntry],
    assignments: Iterable[str],
    scale: Scale,
    stores: Sequence[Store] = (Store.FLOAT32,),
) -> Mapping[str, tuple[Setting, ...]]:
    """Method name -> its settings; several where values are listed, in the order in which they were
    asked for. `stores` hold for every method for which none is assigned. Raises `UserError` for an
    option that does not exist and for a value that it does not take."""
    entries = {entry.name: entry for entry in methods}
    asked: dict[str, dict[str, list[OptionValue]]] = {name: {} for name in entries}
    own_stores = {name: tuple(stores) for name in entries}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        method_word, dot, option_word = target.partition(".")
        where = f"--set {assignment}"
        if not (equals and dot):
            raise UserError(f"{where}: write it as METHOD.OPTION=VALUE, several with commas")
        method = _named(method_word, entries, f"{where}: no selected method")
        options = entries[method].options
        option = _named(option_word, (*options, STORE), f"{where}: {method} has no option")
        words = text.split(",")
        if option == STORE:
            own_stores[method] = stores_named(words, where)
        else:
            values = [_parse(word, options[option], where) for word in words]
            asked[method][option] = list(dict.fromkeys(values))
    return {
        name: tuple(
            Setting({**default_options(entry, scale), **dict(zip(own, values, strict=True))}, store)
            for own in (asked[name],)
            for values in product(*own.values())
            for store in own_stores[name]
        )
        for name, entry in entries.items()
    }


def stores_named(words: Iterable[str], where: str) -> tuple[Store, ...]:
    """The precisions of these names, each once. Raises `UserError` for another word."""
    found = []
    for word in words:
        try:
            found.append(Store(word.lower()))
        except ValueError:
            near = did_you_mean(word, Store)
            raise UserError(f"{where}: '{word}' is not one of {', '.join(Store)}{near}") from None
    return tuple(dict.fromkeys(found))


def setting_of(entry: MethodEntry, options: Options, scale: Scale) -> tuple[str, ...]:
    """`OPTION=VALUE` for every option that is not at its default, in the order of their names."""
    usual = default_options(entry, scale)
    changed = (item for item in sorted(options.items()) if item[1] != usual[item[0]])
    return tuple(f"{name}={written(value)}" for name, value in changed)


def written(value: OptionValue) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def all_written(options: Options) -> str:
    """Options with their values in one line, `rank=4, bias=false`."""
    return ", ".join(f"{name}={written(value)}" for name, value in options.items())


def _named(word: str, choices: Iterable[str], complaint: str) -> str:
    choices = tuple(choices)
    for choice in choices:
        if normal(choice) == normal(word):
            return choice
    raise UserError(
        f"{complaint} '{word}'{did_you_mean(word, choices)}\n"
        f"it could be: {', '.join(choices) or 'none'}"
    )


def _parse(text: str, option: Option, where: str) -> OptionValue:
    value: OptionValue = text
    try:
        match option.default:
            case bool():
                value = _TRUTH[text.lower()]
            case int():
                value = int(text)
            case float():
                value = float(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}
        raise UserError(f"{where}: must be {kind[type(option.default)]}, not '{text}'") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: must be a finite number, not '{text}'")
    if problem := option.outside(value):
        raise UserError(f"{where}: {problem}")
    if option.choices and value not in option.choices:
        choices = [str(choice) for choice in option.choices]
        raise UserError(
            f"{where}: '{text}' is not one of {', '.join(choices)}{did_you_mean(text, choices)}"
        )
    return value
