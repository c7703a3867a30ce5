"""Import the Python files of a registry, each under a module name of its own."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from suite.console import shown
from suite.errors import UserError


def load_module(path: Path) -> ModuleType:
    """The module that `path` defines; raises UserError where it cannot be imported."""
    name = f"suite_registry.{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), 1)
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"{shown(path)}:{line}: cannot be imported: {what}") from error
    return module
