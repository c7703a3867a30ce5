"""Tensors of a forward pass that something reads later in the same training step."""

from weakref import WeakSet

from torch import Tensor


class OfPass:
    """Holds a tensor of the last pass, at most until `forget_passes`."""

    def __init__(self) -> None:
        self.value: Tensor | None = None
        _HOLDERS.add(self)


_HOLDERS: WeakSet[OfPass] = WeakSet()


def forget_passes() -> None:
    """Drop what is held of all passes: the step that they belong to is over.

    A step that is replayed runs no Python code, so that nothing may be read from the one before.
    """
    for holder in _HOLDERS:
        holder.value = None
