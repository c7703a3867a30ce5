"""The arena's step in PyTorch: the path of the CPU, and what the Triton kernels must reproduce.

Layers are processed in tiles that fit a cache: a step reads change, gradient and moments several
times, and from the second time on finds them there. Whether a gate is open is read on the host,
which costs nothing because host and device are the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.nn.kernels.arena import BETAS, EPSILON, Arena, Rates, in_memory_order

TILE = 524_288
"""Elements of a tile: two megabytes of each float32 buffer, so that a few fit the last cache."""


@dataclass(frozen=True)
class Piece:
    """Part of one layer, at most a tile, as flat views."""

    layer: int
    weight: Tensor
    merged: Tensor
    change: Tensor
    momentum: Tensor
    variance: Tensor
    zero: Tensor

    def merge(self, is_open: bool) -> None:
        """Write the weights that the layer computes with."""
        if is_open:
            torch.add(self.weight, self.change, out=self.merged)
        else:
            self.merged.copy_(self.weight)


@dataclass(frozen=True)
class Tile:
    """Pieces that are processed together: one of a large layer, or several small layers."""

    pieces: Sequence[Piece]
    changes: list[Tensor]
    momenta: list[Tensor]
    variances: list[Tensor]

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> "Tile":
        """A tile of these pieces."""
        return cls(
            pieces,
            [piece.change for piece in pieces],
            [piece.momentum for piece in pieces],
            [piece.variance for piece in pieces],
        )


class TorchKernels:
    """Steps an arena with operations of PyTorch."""

    on_device = False

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.rates = Rates(0.0, 0.0, 0.0)
        pieces = list(_pieces(arena))
        numbers = [piece.layer for piece in pieces]
        self.layers = torch.tensor(numbers, device=arena.gate_score.device)
        self.tiles = list(_tiles(pieces))
        self.merge()

    @torch.no_grad()
    def merge(self) -> None:
        """Write the merged weights of all layers from W0, changes and gate scores."""
        self.is_open = self._gates()
        for tile in self.tiles:
            for piece in tile.pieces:
                piece.merge(self.is_open[piece.layer])

    def step(self, rates: Rates, other_norm: Tensor | None) -> Tensor | None:
        """One step of all gate scores and changes, see `ArenaKernels`."""
        self.prepare(rates)
        return self.launch(other_norm)

    def prepare(self, rates: Rates) -> None:
        """Count a step, and keep its rates."""
        self.arena.steps += 1
        self.rates = rates

    @torch.no_grad()
    def launch(self, other_norm: Tensor | None) -> Tensor | None:
        """The step that was prepared.

        Without clipping one pass over the tiles does everything, assuming that no gate will move;
        layers whose gate did move are merged again. Clipping needs the norm of all gradients
        before the first step, and so a pass of its own: <G, D> and |G|^2 first, then the steps.
        """
        arena, rates = self.arena, self.rates
        before = self.is_open
        work = self._by_tile()
        products: list[Tensor] = []
        if other_norm is None:
            for tile, gradients in work:
                if not arena.locked:
                    # With the changes that G was computed for: the next line moves them.
                    products += map(torch.dot, gradients, tile.changes)
                self._step_changes(tile, gradients, before, rates, None)
                _merge(tile, before, before)
            self._step_gate_scores(self._gate_score_gradient(products, rates), rates)
            self._merge_moved(before)
            return None
        squares: list[Tensor] = []
        for tile, gradients in work:
            if not arena.locked:
                products += map(torch.dot, gradients, tile.changes)
            # A closed layer's change has the gradient zero, whatever G is: see `_step_changes`.
            squares += [
                torch.dot(gradient, gradient)
                for gradient, piece in zip(gradients, tile.pieces, strict=True)
                if before[piece.layer]
            ]
        gate_score_gradient = self._gate_score_gradient(products, rates)
        coefficient = self._clip(squares, gate_score_gradient, other_norm)
        self._step_gate_scores(gate_score_gradient * coefficient, rates)
        # The optimizers divide by this; a factor of one needs no pass over the gradients.
        scale = None if coefficient == 1 else coefficient.reciprocal().float()
        for tile, gradients in work:
            self._step_changes(tile, gradients, before, rates, scale)
            _merge(tile, before, self.is_open)
        return coefficient

    def _gates(self) -> list[bool]:
        return (self.arena.gate_score >= self.arena.rule.threshold).tolist()

    def _by_tile(self) -> list[tuple[Tile, list[Tensor]]]:
        """Every tile with the gradients of its pieces."""
        flat: list[Tensor] = []
        for gradient in self.arena.gradients():
            flat += _parts(in_memory_order(gradient))
        found, start = [], 0
        for tile in self.tiles:
            found.append((tile, flat[start : start + len(tile.pieces)]))
            start += len(tile.pieces)
        return found

    def _gate_score_gradient(self, products: list[Tensor], rates: Rates) -> Tensor:
        """<G, D> + penalty * sign(s) [L]; zero once the gates are locked. A layer of several pieces
        adds up their `products`."""
        gate_score = self.arena.gate_score
        if self.arena.locked:
            return torch.zeros_like(gate_score)
        # The step passes gradients straight through, so <G, D> is the same for open and closed
        # gates: it says how the loss would change if more of D were used. Without it, a gate
        # that has closed could never open again.
        gradient = torch.mul(gate_score.sign(), rates.penalty)
        return gradient.index_add_(0, self.layers, torch.stack(products).to(gate_score.dtype))

    def _clip(
        self, squares: list[Tensor], gate_score_gradient: Tensor, other_norm: Tensor
    ) -> Tensor:
        """The factor of `torch.nn.utils.clip_grad_norm_` over all parameters []."""
        total = other_norm.square() + gate_score_gradient.square().sum()
        if squares:
            total = total + torch.stack(squares).sum()
        assert self.arena.rule.clip_norm is not None
        return torch.clamp(self.arena.rule.clip_norm / (total.sqrt() + 1e-6), max=1.0)

    def _step_gate_scores(self, gradient: Tensor, rates: Rates) -> None:
        arena = self.arena
        if arena.locked:
            return
        self._optimize(
            [arena.gate_score],
            [gradient],
            [arena.gate_score_momentum],
            [arena.gate_score_variance],
            rates.gate_score,
            0.0,
            None,
        )
        self.is_open = self._gates()

    def _step_changes(
        self,
        tile: Tile,
        gradients: Sequence[Tensor],
        is_open: Sequence[bool],
        rates: Rates,
        scale: Tensor | None,
    ) -> None:
        # The change of a closed gate has the gradient g G = 0. It is stepped nevertheless, as
        # autograd would do it: its moments decay, and weight decay goes on.
        gated = [
            gradient if is_open[piece.layer] else piece.zero
            for gradient, piece in zip(gradients, tile.pieces, strict=True)
        ]
        decay = self.arena.rule.weight_decay
        self._optimize(
            tile.changes, gated, tile.momenta, tile.variances, rates.change, decay, scale
        )

    def _optimize(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        momenta: list[Tensor],
        variances: list[Tensor],
        rate: float,
        weight_decay: float,
        scale: Tensor | None,
    ) -> None:
        """What `torch.optim.SGD` and `AdamW` do, without their bookkeeping."""
        rule = self.arena.rule
        if rule.optimizer == "sgd":
            torch._fused_sgd_(
                parameters,
                gradients,
                # The operator refuses momentum buffers if the momentum is zero.
                momenta if rule.momentum else [],
                weight_decay=weight_decay,
                momentum=rule.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,
                grad_scale=scale,
            )
            return
        torch._fused_adamw_(
            parameters,
            gradients,
            momenta,
            variances,
            [],
            [torch.tensor(float(self.arena.steps))] * len(parameters),
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
        )

    def _merge_moved(self, before: Sequence[bool]) -> None:
        if before == self.is_open:
            return
        for tile in self.tiles:
            for piece in tile.pieces:
                if before[piece.layer] != self.is_open[piece.layer]:
                    piece.merge(self.is_open[piece.layer])


def _merge(tile: Tile, before: Sequence[bool], after: Sequence[bool]) -> None:
    """Merge the layers that need it: one that was and stays closed already has W0."""
    for piece in tile.pieces:
        if before[piece.layer] or after[piece.layer]:
            piece.merge(after[piece.layer])


def _pieces(arena: Arena) -> Iterator[Piece]:
    # SGD has no second moment and does not read this buffer.
    variance = arena.momentum if arena.variance is None else arena.variance
    zeros = arena.change.new_zeros(TILE)
    for layer, weight in enumerate(arena.weights):
        start = arena.starts[layer]
        parts = (
            _parts(buffer[start : start + weight.numel()])
            for buffer in (arena.merged, arena.change, arena.momentum, variance)
        )
        for own, *views in zip(_parts(in_memory_order(weight)), *parts, strict=True):
            merged, change, momentum, second = views
            yield Piece(layer, own, merged, change, momentum, second, zeros[: len(own)])


def _tiles(pieces: Sequence[Piece]) -> Iterator[Tile]:
    """Groups of neighbouring pieces that together fit one tile."""
    tile: list[Piece] = []
    for piece in pieces:
        if tile and sum(len(own.weight) for own in [*tile, piece]) > TILE:
            yield Tile.of(tile)
            tile = []
        tile.append(piece)
    if tile:
        yield Tile.of(tile)


def _parts(flat: Tensor) -> Sequence[Tensor]:
    return (flat,) if len(flat) <= TILE else flat.split(TILE)
