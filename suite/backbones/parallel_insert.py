"""Modules beside a sublayer that read its input and add to its output."""

from collections.abc import Mapping

from torch import Tensor, nn

STATES = "hidden_states"
"""What transformers calls the input of a layer where it does not pass it by position."""


class SublayerInput:
    """The input of a sublayer, held between its entry and its exit in one forward pass.

    A forward-pre-hook of the entry, so that the network's own names stay as they are. A deep copy
    of the network copies hook and reader together.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def __call__(
        self, entry: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]
    ) -> None:
        """Keep the first argument."""
        self.value = args[0] if args else kwargs[STATES]

    def take(self) -> Tensor:
        """Hand the input out and forget it; raises RuntimeError if the entry was not called."""
        value, self.value = self.value, None
        if value is None:
            raise RuntimeError("a parallel module was reached, but not the entry of its sublayer")
        return value


class Parallel(nn.Module):
    """y + module(x), with x the input of the sublayer that gives y."""

    def __init__(self, module: nn.Module, source: SublayerInput) -> None:
        super().__init__()
        self.module = module
        self.source = source

    def forward(self, y: Tensor) -> Tensor:
        """Shape of y, which `module` must give for x."""
        return y + self.module(self.source.take())
