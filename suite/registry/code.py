"""Import the Python files of a registry, each under a module name of its own."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from suite.errors import UserError
from suite.method import Method
from suite.registry.schema import MethodEntry, OptionValue


def load_module(path: Path) -> ModuleType:
    """The module that `path` defines; raises UserError where it cannot be imported."""
    name = f"suite_registry.{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


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
