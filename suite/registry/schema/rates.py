"""What a search found for a method: the learning rate on one track and backbone, and how."""

from suite.registry.schema.base import Entry, FileEntry, Name
from suite.registry.schema.recipe import Rate, Steps


class FoundRate(Entry):
    """The best learning rate of a search, and what the search was."""

    learning_rate: Rate
    score: float
    """Its mean validation score."""
    margin: float | None = None
    """By how much it was ahead of the second best."""
    tasks: tuple[Name, ...]
    seeds: tuple[int, ...]
    steps: Steps


class MethodRates(FileEntry):
    """The rates of one method: track -> backbone -> rate. `name` is the method's."""

    rates: dict[Name, dict[Name, FoundRate]] = {}
