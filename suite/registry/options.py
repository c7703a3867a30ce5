"""Resolves the options of methods from their defaults and `METHOD.OPTION=VALUE`."""

from collections.abc import Iterable, Mapping

from suite.errors import UserError
from suite.registry.names import did_you_mean, normal
from suite.registry.schema import MethodEntry, Option, OptionValue, Scale

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def resolve_options(
    methods: Iterable[MethodEntry], assignments: Iterable[str], scale: Scale
) -> Mapping[str, Mapping[str, OptionValue]]:
    """Method name -> option name -> value. Raises `UserError` for one that does not exist."""
    entries = {entry.name: entry for entry in methods}
    values = {
        name: {key: option.default_at(scale) for key, option in entry.options.items()}
        for name, entry in entries.items()
    }
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        method_word, dot, option_word = target.partition(".")
        if not (equals and dot):
            raise UserError(f"--set {assignment}: write it as METHOD.OPTION=VALUE")
        method = _named(method_word, entries, f"--set {assignment}: no selected method")
        options = entries[method].options
        option = _named(option_word, options, f"--set {assignment}: {method} has no option")
        values[method][option] = _parse(text, options[option], f"--set {assignment}")
    return values


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
    if option.choices and value not in option.choices:
        choices = [str(choice) for choice in option.choices]
        raise UserError(
            f"{where}: '{text}' is not one of {', '.join(choices)}{did_you_mean(text, choices)}"
        )
    return value
