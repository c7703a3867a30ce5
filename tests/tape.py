"""What a CUDA graph does, on the CPU: operations are recorded once and then repeated on the same
memory, without the Python code between them."""

import gc

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
}
"""Operations whose result, or its size, the host has to wait for on a GPU."""
FROM_THE_HOST = aten.lift_fresh.default
"""A tensor made of Python's numbers: on a GPU a copy that the host waits for. A single number
may be an argument of a kernel."""


def waits(func, args):
    """Whether the host of a GPU would wait in this operation."""
    if func is aten.index.Tensor or func is aten.index_put_.default:
        return any(i is not None and i.dtype == torch.bool for i in args[1])
    return func in READS or (func is FROM_THE_HOST and args[0].dim() > 0)


class Watch(TorchDispatchMode):
    """Notes the operations in which the host of a GPU would wait."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += 1
        if waits(func, args):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Records while the operations run, and leaves everything as it was before."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self.made, self.own, self.before = set(), set(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not waits(func, args), f"{func} cannot be captured"
        args, kwargs = tree_map_only(torch.Tensor, self._held, (args, kwargs or {}))
        result = func(*args, **kwargs)
        given = {_storage(t) for t in _tensors((args, kwargs))}
        self.made |= {_storage(t) for t in _tensors(result)} - given
        held = tree_map_only(torch.Tensor, self._held, result)
        self.operations.append((func, args, kwargs, held))
        return result

    def _held(self, tensor):
        """The tensor, or another one on its memory if that was made here: what the program itself
        still holds at the end can then be told."""
        if _storage(tensor) not in self.made:
            self.before.setdefault(id(tensor), (tensor, tensor.detach().clone()))
            return tensor
        # No view of it, which would hold it.
        place = (tensor.storage_offset(), tensor.size(), tensor.stride())
        held = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage(), *place)
        self.own.add(id(held))
        return held

    def restore(self):
        """Take back what was computed."""
        with torch.no_grad():
            for tensor, value in self.before.values():
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        self.before.clear()

    def is_held(self):
        """Whether the program holds tensors that were made here."""
        return any(
            issubclass(type(one), torch.Tensor)
            and id(one) not in self.own
            and _storage(one) in self.made
            for one in gc.get_objects()
        )

    @torch.no_grad()
    def replay(self):
        """Repeat the operations."""
        for func, args, kwargs, held in self.operations:
            result = func(*args, **kwargs)
            for mine, new in zip(_tensors(held), _tensors(result), strict=True):
                if _storage(mine) != _storage(new):
                    mine.copy_(new)


class TapeRecorder:
    """A `Recorder` of tapes; `watched` has what the steps waited for."""

    def __init__(self):
        self.watched = []

    def waits(self, compute):
        with Watch() as watch:
            compute()
        self.watched += watch.found
        return bool(watch.found)

    def capture(self, compute):
        state = torch.get_rng_state()
        with Tape() as tape:
            compute()
        tape.restore()
        torch.set_rng_state(state)
        return None if tape.is_held() else tape


def _tensors(tree):
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def _storage(tensor):
    return tensor.untyped_storage()._cdata
