"""The registry's methods and the families each claims, read without the rest of the registry."""

from pathlib import Path

import yaml

from suite.registry.schema import MethodEntry

METHODS = Path(__file__).parents[2] / "methods"
ENTRIES = {
    path.stem: MethodEntry(**yaml.safe_load(path.read_text()), path=path)
    for path in sorted(METHODS.glob("*.yaml"))
}
PAIRS = [(name, family) for name, entry in ENTRIES.items() for family in entry.families]


def mini_options(entry: MethodEntry) -> dict:
    return {
        name: option.default if option.mini is None else option.mini
        for name, option in entry.options.items()
    }
