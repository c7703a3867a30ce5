"""Launches the arena's Triton kernels; imported only where they run."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from suite.nn.kernels import arena_triton as kernels
from suite.nn.kernels.arena import BETAS, BLOCK, EPSILON, Arena, Rates

ALIGNMENT = 16
"""Kernels expect tensors to start at multiples of this many bytes."""


class TritonKernels:
    """Steps an arena with four launches.

    `step` is `prepare` and `launch`. A CUDA graph captures `launch`, after the backward pass whose
    gradients it reads; `prepare` then sets the rates of every replay. Several graphs may be
    captured and replayed in any order, and steps without one taken between them.
    """

    on_device = True

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        device = arena.gate_score.device
        layers = len(arena.weights)
        first = torch.tensor(arena.starts) // BLOCK
        of_block = torch.repeat_interleave(torch.arange(layers), first.diff())
        self.blocks = len(of_block)
        self.layer_of = of_block.to(device, torch.int32)
        self.first_block = first.to(device, torch.int32)
        sizes = [weight.numel() for weight in arena.weights]
        self.numel = torch.tensor(sizes, dtype=torch.int32).to(device)
        self.aligned = all(size % 8 == 0 for size in sizes)
        self.products = arena.gate_score.new_empty(self.blocks)
        self.squares = arena.gate_score.new_empty(self.blocks)
        self.previous = arena.gate_score.clone()
        self.gate_score_gradient = torch.empty_like(arena.gate_score)
        self.layer_square = torch.empty_like(arena.gate_score)
        self.coefficient = arena.gate_score.new_empty(())
        self.hyper = arena.gate_score.new_zeros(kernels.SETTINGS)
        # Referenced here, because the table below has only addresses and keeps nothing alive.
        self.held = [_aligned(weight.float()) for weight in arena.weights]
        self.weights = _table(self.held, device)
        self.addresses: list[int] = []
        self.gradients = torch.zeros_like(self.weights)
        # Each graph reads a table of its own at every replay. Memory of the host cannot be had in
        # a capture: there is always one table that no graph has yet.
        self.captured: list[Tensor] = []
        self.spare: Tensor | None = self._host_table()
        self._set(Rates(0.0, 0.0, 0.0), steps=1)
        self.merge()

    def prepare(self, rates: Rates) -> None:
        """Count a step, and hand the device what changes from step to step."""
        self.arena.steps += 1
        self._set(rates, self.arena.steps)
        if self.spare is None:
            self.spare = self._host_table()
        if self.captured:
            # A replay leaves the addresses of its graph on the device.
            self.addresses = []

    def _host_table(self) -> Tensor:
        """Addresses on the host [L]."""
        pinned = self.gradients.is_cuda
        return torch.zeros(len(self.arena.weights), dtype=torch.int64, pin_memory=pinned)

    def _set(self, rates: Rates, steps: int) -> None:
        """Tell the device how step `steps` (from 1) is taken."""
        rule = self.arena.rule
        first, second = (rule.momentum, 0.0) if rule.optimizer == "sgd" else BETAS
        # SGD has no bias correction, and its weight decay is part of the gradient.
        bias, decay = 1.0, rule.weight_decay
        if rule.optimizer == "adamw":
            bias, decay = 1 - first**steps, rates.change * rule.weight_decay
        values = (
            rates.change / bias,
            rates.gate_score / bias,
            decay,
            rates.penalty,
            first,
            second,
            1 - first,
            1 - second,
            (1 - second**steps) ** -0.5,
            EPSILON,
            rule.clip_norm or 0.0,
            rule.threshold,
        )
        # From pageable memory the driver takes a copy at once: the host need not wait, and may
        # reuse `values` while the transfer is still under way.
        self.hyper.copy_(torch.tensor(values), non_blocking=True)

    def merge(self) -> None:
        """Write the merged weights of all layers from W0, changes and gate scores."""
        arena = self.arena
        if self.blocks:
            kernels.merge_kernel[(self.blocks,)](
                self.weights,
                arena.change,
                arena.gate_score,
                arena.merged,
                self.layer_of,
                self.first_block,
                self.numel,
                self.hyper,
                ALIGNED=self.aligned,
                **kernels.STREAM.arguments,
            )

    def step(self, rates: Rates, other_norm: Tensor | None) -> Tensor | None:
        """One step of all gate scores and changes, see `ArenaKernels`."""
        self.prepare(rates)
        return self.launch(other_norm)

    @torch.no_grad()
    def launch(self, other_norm: Tensor | None) -> Tensor | None:
        """The step with the rates that the device has."""
        gradients = [_aligned(gradient) for gradient in self.arena.gradients()]
        self._refresh(gradients)
        kind = _triton_type(gradients[0].dtype if gradients else torch.float32)
        clip = other_norm is not None
        # Clipping needs all of <G, D> and |G|^2 before anything may step: products, gate scores,
        # changes. Otherwise the changes go first and take <G, D> along, in one reading of G
        # and D; then the gates, and the few layers whose gate has moved are merged again.
        if clip and self.blocks:
            self._products(kind)
        elif self.blocks:
            self._changes(kind, clip=False)
        if clip or not self.arena.locked:
            self._gate_scores(other_norm)
        if clip and self.blocks:
            self._changes(kind, clip=True)
        elif not self.arena.locked:
            self._flips()
        return self.coefficient if clip else None

    def _refresh(self, gradients: list[Tensor]) -> None:
        """Tell the device where the gradients are, if they have moved."""
        addresses = [gradient.data_ptr() for gradient in gradients]
        table = torch.tensor(addresses, dtype=torch.int64)
        if self.gradients.is_cuda and torch.cuda.is_current_stream_capturing():
            assert self.spare is not None, "`prepare` comes before every capture"
            table, self.spare = self.spare.copy_(table), None
            self.captured.append(table)
        elif addresses == self.addresses:
            return
        self.gradients.copy_(table, non_blocking=True)
        self.addresses = addresses

    def _products(self, kind: object) -> None:
        kernels.products_kernel[(self.blocks,)](
            self.gradients,
            self.arena.change,
            self.products,
            self.squares,
            self.layer_of,
            self.first_block,
            self.numel,
            GRADIENT=kind,
            LOCKED=self.arena.locked,
            ALIGNED=self.aligned,
            **kernels.STREAM.arguments,
        )

    def _gate_scores(self, other_norm: Tensor | None) -> None:
        arena, layers = self.arena, len(self.arena.weights)
        modes = {"CLIP": other_norm is not None, "LOCKED": arena.locked}
        if layers:
            kernels.reduce_kernel[(layers,)](
                self.products,
                self.squares,
                arena.gate_score,
                self.gate_score_gradient,
                self.layer_square,
                self.first_block,
                self.hyper,
                **modes,
                **kernels.REDUCE.arguments,
            )
        kernels.gate_score_kernel[(1,)](
            arena.gate_score,
            self.previous,
            arena.gate_score_momentum,
            arena.gate_score_variance,
            self.gate_score_gradient,
            self.layer_square,
            # Not read if nothing is clipped; a kernel's argument must still be a tensor.
            self.coefficient if other_norm is None else other_norm,
            self.coefficient,
            self.hyper,
            layers,
            ADAMW=arena.rule.optimizer == "adamw",
            **modes,
            WIDTH=triton.next_power_of_2(max(layers, 1)),
            **kernels.ONE.options,
        )

    def _changes(self, kind: object, clip: bool) -> None:
        arena = self.arena
        kernels.change_kernel[(self.blocks,)](
            self.weights,
            self.gradients,
            arena.change,
            arena.momentum,
            # SGD has no second moment and does not read this argument.
            arena.momentum if arena.variance is None else arena.variance,
            arena.merged,
            arena.gate_score,
            self.previous,
            self.products,
            self.coefficient,
            self.layer_of,
            self.first_block,
            self.numel,
            self.hyper,
            GRADIENT=kind,
            ADAMW=arena.rule.optimizer == "adamw",
            CLIP=clip,
            LOCKED=arena.locked,
            ALIGNED=self.aligned,
            **kernels.STREAM.arguments,
        )

    def _flips(self) -> None:
        kernels.flip_kernel[(self.blocks,)](
            self.weights,
            self.arena.change,
            self.arena.gate_score,
            self.previous,
            self.arena.merged,
            self.layer_of,
            self.first_block,
            self.numel,
            self.hyper,
            ALIGNED=self.aligned,
            **kernels.STREAM.arguments,
        )


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that starts where the kernels may load 16 bytes at once."""
    return tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone()


def _table(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Addresses on the device [L]."""
    return torch.tensor([t.data_ptr() for t in tensors], dtype=torch.int64).to(device)


def _triton_type(dtype: torch.dtype) -> object:
    return getattr(tl, {torch.float32: "float32", torch.bfloat16: "bfloat16"}[dtype])
