"""A fast stream of random choices over numpy's PCG64."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
BLOCK = 4096


class Dice:
    """Draws from PCG64(seed), taken in blocks: numpy is ten times slower one by one."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._uniforms: list[float] = []

    def uniform(self) -> float:
        """A float in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._generator.random(BLOCK).tolist()
        return self._uniforms.pop()

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(self.uniform() * n)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One element."""
        return choices[int(self.uniform() * len(choices))]

    def other(self, choices: Sequence[T], taken: T) -> T:
        """One element that is not `taken`."""
        while (choice := self.pick(choices)) is taken:
            pass
        return choice

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One key, in proportion to its weight."""
        point = self.uniform() * sum(weights.values())
        for choice, weight in weights.items():
            point -= weight
            if point < 0:
                return choice
        return choice

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """A shuffled copy."""
        order = list(items)
        for i in range(len(order) - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order
