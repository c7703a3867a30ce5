"""From a registry entry to the method it describes."""

from collections.abc import Mapping

from suite.errors import UserError
from suite.method import Method
from suite.registry.modules import load_module
from suite.registry.schema import MethodEntry, OptionValue


def load_method(entry: MethodEntry, options: Mapping[str, OptionValue]) -> Method:
    """The method of a registry entry with these options."""
    path = entry.python_path
    module = load_module(path)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if len(classes) != 1:
        raise UserError(f"{path} must define exactly one public Method, it defines {len(classes)}")
    return classes[0](**options)
