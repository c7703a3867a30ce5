"""Import the Python files of a registry, each under a module name of its own."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from suite.errors import UserError


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
