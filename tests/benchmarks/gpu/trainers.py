"""Ways to train one network, each a forward-backward part and an update part."""

from collections.abc import Callable, Sequence

import torch
from equation import mean_score, write_out
from flat import FlatArena
from problems import Problem
from torch import Tensor, nn

from suite.backbones.per_task import TaskContext
from suite.nn.gated import gated
from suite.nn.kernels.arena import Arena, Rates, Rule

RATE = 1e-4
PENALTY = 0.1
SCORE, THRESHOLD = 0.2, 0.1
RULE = Rule("adamw", 0.9, 0.01, None, THRESHOLD)
RATES = Rates(change=RATE, gate_score=1e-3, penalty=1e-3)

Build = Callable[[], Problem]


class Trainer:
    """Full fine-tuning under autocast, and what the others have in common."""

    def __init__(self, build: Build, compiled: bool = False) -> None:
        self.problem = build()
        self.problem.network.train()
        self.device = next(self.problem.network.parameters()).device
        # The arena's path for the CPU, where only the benchmark's own tests run, knows fp32 alone.
        self.working = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.prepare()
        self.parameters = [p for p in self.problem.network.parameters() if p.requires_grad]
        self.optimizer = self.make_optimizer(self.parameters)
        self.loss = (
            torch.compile(self.compute_loss, dynamic=False) if compiled else self.compute_loss
        )

    def prepare(self) -> None:
        """Change the network before its optimizer is made."""

    def make_optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Over the network's own parameters that train."""
        capturable = self.device.type == "cuda"
        return torch.optim.AdamW(parameters, lr=RATE, fused=True, capturable=capturable)

    def compute_loss(self) -> Tensor:
        """The loss of the fixed batch."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.problem.loss()

    def forward_backward(self) -> None:
        """Gradients of everything that trains, from none."""
        self.drop_gradients()
        self.loss().backward()

    def drop_gradients(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def update(self) -> None:
        """One optimizer step."""
        self.optimizer.step()

    def update_captured(self) -> None:
        """The part of it that a CUDA graph replays, from the gradients that it replays."""
        self.optimizer.step()

    def step(self) -> None:
        """A training step."""
        self.forward_backward()
        self.update()

    def state(self) -> list[Tensor]:
        """What training keeps for the gated layers' weights besides activations."""
        weights = [layer.weight for layer in self.problem.gated_layers()]
        casts = [torch.empty_like(w, dtype=torch.bfloat16) for w in weights if w.requires_grad]
        return [*casts, *self.with_moments(weights)]

    def with_moments(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Weights, gradients and moments."""
        moments = [
            moment
            for weight in weights
            for name, moment in self.optimizer.state[weight].items()
            if name != "step"
        ]
        return [*weights, *(w.grad for w in weights if w.grad is not None), *moments]


class HeadOnly(Trainer):
    """Only the head trains."""

    def prepare(self) -> None:
        self.problem.network.requires_grad_(False)
        self.problem.head.requires_grad_(True)


class WithCopy(Trainer):
    """Full fine-tuning whose optimizer keeps the bf16 weights that the network computes with."""

    def prepare(self) -> None:
        from strongest import AdamWithCopy

        layers = self.problem.gated_layers()
        weights = [layer.weight.detach() for layer in layers]
        scores = torch.zeros(len(weights), device=self.device)
        self.arena = Arena(weights, weights, scores, RULE, working=self.working)
        # The masters are the changes; of frozen weights only the shapes are looked at.
        self.arena.weights = [leaf.detach() for leaf in self.arena.leaves]
        for layer, leaf in zip(layers, self.arena.leaves, strict=True):
            put(layer, leaf)
        self.own = AdamWithCopy(self.arena, RATE, 0.01)

    def drop_gradients(self) -> None:
        super().drop_gradients()
        self.arena.zero_grad()

    def update(self) -> None:
        super().update()
        self.own.step()

    def update_captured(self) -> None:
        self.update()

    def state(self) -> list[Tensor]:
        arena = self.arena
        gradients = [leaf.grad for leaf in arena.leaves]
        return [arena.change, arena.momentum, arena.variance, arena.merged, *gradients]


class EagerTaps(Trainer):
    """TAPS as its equation says: every layer adds 1[s >= threshold] * D to its weights."""

    def prepare(self) -> None:
        context = TaskContext(["task"])
        network = self.problem.network
        # A module is the same key as itself alone.
        wanted = set(self.problem.gated_layers())
        self.frozen = []
        for name, module in list(network.named_modules()):
            if module in wanted:
                self.frozen.append(module.weight.requires_grad_(False))
                network.set_submodule(name, gated(module, context, SCORE, THRESHOLD))
        self.written = write_out(network)

    def compute_loss(self) -> Tensor:
        return super().compute_loss() + PENALTY * mean_score(self.written)

    def state(self) -> list[Tensor]:
        merged = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in self.frozen]
        changes = [own.change for own in self.written]
        return [*self.frozen, *merged, *self.with_moments(changes)]


class ArenaTaps(Trainer):
    """TAPS through the arena of `suite.nn.kernels.arena`."""

    open_share: float | None = None
    """Locked, with this share of the weights open, the last ones; None while gates move."""

    def prepare(self) -> None:
        layers = self.problem.gated_layers()
        weights = [layer.weight.detach() for layer in layers]
        first = self.first_open([weight.numel() for weight in weights])
        for layer, weight in zip(layers[:first], weights[:first], strict=True):
            put(layer, weight.to(self.working))
        opened = weights[first:]
        scores = torch.full((len(opened),), SCORE, device=self.device)
        changes = [torch.zeros_like(weight) for weight in opened]
        self.closed = [layer.weight for layer in layers[:first]]
        locked = self.open_share is not None
        self.arena = Arena(opened, changes, scores, RULE, working=self.working, locked=locked)
        for layer, leaf in zip(layers[first:], self.arena.leaves, strict=True):
            put(layer, leaf)
        self.kernels = self.make_kernels()

    def make_kernels(self) -> object:
        """What steps the arena."""
        if self.device.type == "cuda":
            from suite.nn.kernels.arena_device import TritonKernels

            return TritonKernels(self.arena)
        from suite.nn.kernels.arena_torch import TorchKernels

        return TorchKernels(self.arena)

    def first_open(self, sizes: Sequence[int]) -> int:
        """Index of the first open layer, if the last ones hold the share of weights."""
        if self.open_share is None:
            return 0
        left = sum(sizes)
        for index, size in enumerate(sizes):
            if left <= self.open_share * sum(sizes):
                return index
            left -= size
        return len(sizes) - 1

    def drop_gradients(self) -> None:
        super().drop_gradients()
        self.arena.zero_grad()

    def update(self) -> None:
        super().update()
        self.kernels.step(RATES, None)

    def update_captured(self) -> None:
        super().update_captured()
        self.kernels.launch(None)

    def state(self) -> list[Tensor]:
        arena = self.arena
        own = [arena.change, arena.momentum, arena.variance, arena.merged]
        gradients = [leaf.grad for leaf in arena.leaves]
        return [*own, *arena.weights, *gradients, *self.closed]


class Locked62(ArenaTaps):
    """62 % of the weights open, gates locked."""

    open_share = 0.62


class Locked30(ArenaTaps):
    """30 % open."""

    open_share = 0.30


class Locked10(ArenaTaps):
    """10 % open."""

    open_share = 0.10


class FlatTaps(ArenaTaps):
    """The arena's step in plain PyTorch over flat buffers."""

    compile_update = False

    def make_kernels(self) -> object:
        compiled = self.compile_update and self.device.type == "cuda"
        return FlatArena(self.arena, RATES, compiled)


class CompiledFlatTaps(FlatTaps):
    """The same, compiled."""

    compile_update = True


class Lora(Trainer):
    """LoRA of rank 8 on every linear layer, by peft."""

    def prepare(self) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        names = [
            name
            for name, module in self.problem.network.named_modules()
            if isinstance(module, nn.Linear) and module is not self.problem.head
        ]
        config = LoraConfig(r=8, lora_alpha=16, target_modules=names)
        inject_adapter_in_model(config, self.problem.network)
        self.problem.head.requires_grad_(True)

    def state(self) -> list[Tensor]:
        return []


def put(layer: nn.Module, weight: Tensor) -> None:
    """Let the layer compute with this tensor, no copy of it."""
    del layer.weight
    layer.weight = weight
