"""Parameters told apart by which they are, not by their values."""

from collections.abc import Iterable, Iterator, Set
from typing import Any

from torch import nn


class ParameterSet(Set[nn.Parameter]):
    """Parameters in the order in which they were given, each once.

    `in`, `&`, `|`, `-` and comparisons as for any set; what they give has the order of the left
    side. A parameter equals itself alone, where `==` of tensors would compare their elements.
    """

    def __init__(self, parameters: Iterable[nn.Parameter] = ()) -> None:
        # Held as well as looked up: the id of one that is gone could be given to another.
        self._by_id = {id(parameter): parameter for parameter in parameters}

    def __contains__(self, parameter: object) -> bool:
        return id(parameter) in self._by_id

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __and__(self, other: Set[Any]) -> "ParameterSet":
        return ParameterSet(parameter for parameter in self if parameter in other)

    def __sub__(self, other: Set[Any]) -> "ParameterSet":
        return ParameterSet(parameter for parameter in self if parameter not in other)

    def __or__(self, other: Set[Any]) -> "ParameterSet":
        return ParameterSet((*self, *other))
