"""What the tests of all kernels share."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch


def error(value, exact):
    """|value - exact| / |exact|, or |value| where the exact answer is zero."""
    difference, norm = (value.double() - exact).norm(), exact.norm()
    return float(difference / norm if norm else difference)


@pytest.fixture(autouse=True)
def poisoned():
    """New memory is NaN, and so is whatever a kernel forgets to write."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def faulty(module: ModuleType, fault: tuple[str, str], folder: Path) -> ModuleType:
    """A copy of `module` in which the first text is replaced by the second wherever it stands."""
    source = Path(module.__file__).read_text()
    assert fault[0] in source, f"{module.__name__} no longer says {fault[0]!r}"
    path = folder / "faulty.py"
    path.write_text(source.replace(*fault))
    spec = importlib.util.spec_from_file_location("faulty", path)
    copy = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["faulty"] = copy
    spec.loader.exec_module(copy)
    return copy


class Kernels:
    """A module of kernels behind operators of its own names, on the CPU under the interpreter."""

    def __init__(self, module: ModuleType, operators: dict[str, str]) -> None:
        self.original = self.module = module
        self.library = torch.library.Library("suite", "IMPL")
        for operator, function in operators.items():
            self.library.impl(operator, self._call(function), "CPU")

    def _call(self, function):
        # The module is looked up at every call: `plant` exchanges it.
        return lambda *arguments: getattr(self.module, function)(*arguments)

    def plant(self, fault: tuple[str, str], folder: Path) -> None:
        """Serve with a copy of the module in which the first text is replaced by the second."""
        self.module = faulty(self.original, fault, folder)

    def restore(self) -> None:
        """Serve with the module itself."""
        self.module = self.original
