"""The registry's methods and the families each claims, read without the rest of the registry."""

from pathlib import Path

import yaml

from suite.registry.schema import MethodEntry

METHODS = Path(__file__).parents[2] / "methods"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where libyaml is
ENTRIES = {
    path.stem: MethodEntry(**yaml.load(path.read_text(), LOADER), path=path)
    for path in sorted(METHODS.glob("*.yaml"))
}
PAIRS = [(name, family) for name, entry in ENTRIES.items() for family in entry.families]


def mini_options(entry: MethodEntry) -> dict:
    return {
        name: option.default if option.mini is None else option.mini
        for name, option in entry.options.items()
    }
