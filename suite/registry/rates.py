"""The file in which `tune --adopt` keeps the learning rates that it found for a method."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from suite.registry.messages import validate
from suite.registry.problems import as_error
from suite.registry.schema import FoundRate, MethodRates
from suite.registry.yaml import read

FOLDER = "rates"
"""Below `methods/`; a file for each method, so that two methods never touch the same one."""

_HEAD = "# Written by `python -m suite tune --adopt`: runs take these rates, not the method's own."


def rates_path(root: Path, method: str) -> Path:
    """Where the rates of a method lie below a registry."""
    return root / "methods" / FOLDER / f"{method}.yaml"


def read_rates(path: Path) -> MethodRates:
    """The rates in a file. Raises `UserError` with every mistake in it."""
    document = read(path)
    entry = validate(document, MethodRates, TypeAdapter(MethodRates))
    if entry is None:
        raise as_error(document.problems)
    return entry


def with_rates(before: MethodRates, found: Mapping[tuple[str, str], FoundRate]) -> MethodRates:
    """The rates with more of them, by (track, backbone); a new one replaces an old one."""
    rates = {track: dict(own) for track, own in before.rates.items()}
    for (track, backbone), rate in found.items():
        rates.setdefault(track, {})[backbone] = rate
    return before.model_copy(update={"rates": rates})


def as_yaml(entry: MethodRates) -> str:
    """The content of the file, tracks and backbones in the order of their names."""
    lines = [_HEAD, f"schema: {entry.schema_version}", f"name: {entry.name}", "rates:"]
    for track, own in sorted(entry.rates.items()):
        lines.append(f"  {track}:")
        for backbone, rate in sorted(own.items()):
            lines.append(f"    {backbone}:")
            for key, value in rate.model_dump(mode="json", exclude_none=True).items():
                text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
                lines.append(f"      {key}: {text}")
    return "\n".join(lines) + "\n"
