"""Task vectors: what training changed in a network; and a way back to the state before it."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class State:
    """The parameters and floating-point buffers of a module at one moment."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.values = {name: tensor.detach().clone() for name, tensor in _tensors(module)}

    @torch.no_grad()
    def restore(self) -> None:
        """Put the values back into the module."""
        for name, tensor in _tensors(self.module):
            tensor.copy_(self.values[name])


class TaskVectors(State):
    """The sum of the changes that several trainings, each from the first state, made to a module.

    Task vectors: Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv
    2212.04089.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.total = {name: torch.zeros_like(value) for name, value in self.values.items()}

    @torch.no_grad()
    def collect(self) -> None:
        """Add the change that the last training made."""
        for name, tensor in _tensors(self.module):
            self.total[name] += tensor - self.values[name]

    @torch.no_grad()
    def merge(self, factors: Mapping[str, float]) -> None:
        """Set the module to its first state plus the sum, each tensor's part times its factor."""
        for name, tensor in _tensors(self.module):
            tensor.copy_(self.values[name] + factors[name] * self.total[name])


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            yield name, buffer
