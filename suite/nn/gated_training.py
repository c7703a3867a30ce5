"""Trains gate scores and weight changes in an arena; an optimizer trains everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from suite.backbones.parameters import ParameterSet
from suite.backbones.precision import rounds
from suite.nn.gated import GatedChange, gated_layers
from suite.nn.kernels.arena import Arena, ArenaKernels, Rates, Rule
from suite.nn.kernels.arena_torch import TorchKernels
from suite.registry.schema import Recipe


@dataclass(frozen=True)
class GateTraining:
    """How gates are trained, as the method states it; only the recipe adds to this.

    The loss is the task's, plus penalty * mean |s| over the gate scores s after the warm-up.
    """

    penalty: float
    """lambda."""
    warmup: float
    """Share of the training before the penalty sets in: first the changes learn, then gates may
    close on those that are not worth the penalty."""
    learning_rate: float
    """Of the gate scores, which have no weight decay. Weight changes follow the recipe."""
    lock_after: float = 1.0
    """Share of the training after which no gate moves; 1 is never."""


class UnpushedGate:
    """A gate that starts like the others and feels the penalty alone.

    If training is too short for it to close, none could have closed that its task did not push: how
    many gates are open then says how short the training was, not what the task needs.
    """

    def __init__(self, gate_score: float, rule: Rule) -> None:
        # Alone in an arena on the host, so that it steps as the others do and no step waits for a
        # device. Clipping is left out: only the device knows by how much it scales.
        self.arena = Arena(
            [torch.zeros(1)],
            [torch.zeros(1)],
            torch.tensor([gate_score]),
            replace(rule, clip_norm=None),
            working=torch.float32,
        )
        self.attach()

    def attach(self) -> None:
        """See the gate as the arena has it."""
        self.kernels = TorchKernels(self.arena)
        self.closed = not self.kernels.is_open[0]

    def step(self, rates: Rates) -> None:
        """Step with the others until it has closed."""
        if not self.closed:
            self.kernels.step(rates, None)
            self.closed = not self.kernels.is_open[0]


class GateStepper:
    """Steps the gate scores and changes of one task, while its layers compute with merged weights.

    Until `close`, `change` and `gate_score` of every gate are views of an arena and take no part in
    the network's graph: the graph begins at the merged weights, so that a step costs what one of
    full fine-tuning does. Locked gates stay as they are: closed layers then need no gradient, and
    their change and optimizer state are given up.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        gates: Sequence[GatedChange],
        training: GateTraining,
        recipe: Recipe,
    ) -> None:
        self.weights = [weight.detach() for weight in weights]
        self.gates = list(gates)
        self.training = training
        self.recipe = recipe
        self.parameters = ParameterSet(p for gate in gates for p in (gate.change, gate.gate_score))
        self.progress = 0.0
        device = self.weights[0].device
        arena = Arena(
            self.weights,
            [gate.change for gate in gates],
            torch.stack([gate.gate_score for gate in gates]),
            Rule(
                recipe.optimizer,
                recipe.momentum,
                recipe.weight_decay,
                recipe.clip_norm,
                gates[0].threshold,
            ),
            # On the CPU autocast rounds a layer's weights where it uses them.
            working=torch.bfloat16
            if device.type == "cuda" and rounds(recipe.precision, device)
            else self.weights[0].dtype,
        )
        self._attach(arena, self.gates)
        self.unpushed = UnpushedGate(float(arena.gate_score[0]), arena.rule)

    @property
    def on_device(self) -> bool:
        """Whether a CUDA graph can replay `step`."""
        return self.kernels.on_device

    def prepare(self, factor: float, progress: float) -> None:
        """The host's part of a step at `factor` times the learning rates, `progress` (0 to 1)
        through training."""
        self.progress = progress
        rates = self.rates_at(factor, progress)
        self.kernels.prepare(rates)
        self.unpushed.step(rates)

    def step(self, other_norm: Tensor | None) -> Tensor | None:
        """The device's part: the step that was prepared.

        `other_norm` [] is the norm of all other gradients if the recipe clips them; the factor by
        which clipping multiplies every gradient is then returned, a tensor [].
        """
        coefficient = self.kernels.launch(other_norm)
        self.arena.zero_grad()
        return coefficient

    def settle(self) -> bool:
        """Lock the gates when it is time; whether that was now."""
        if self.arena.locked or self.progress < self.training.lock_after:
            return False
        self.lock()
        return True

    def rates_at(self, factor: float, progress: float) -> Rates:
        """What the step at `factor` times the learning rates and at `progress` uses."""
        penalty = self.training.penalty if progress >= self.training.warmup else 0.0
        return Rates(
            change=self.recipe.learning_rate * factor,
            gate_score=self.training.learning_rate * factor,
            # The derivative for one gate score: the penalty is on the mean of all.
            penalty=penalty / len(self.gates),
        )

    def lock(self) -> None:
        """Keep every gate in its state from now on (reads the device)."""
        is_open = [gate.is_open for gate in self.gates]
        # Closed layers compute with W0 itself, as a tensor that needs no gradient: autograd then
        # skips the products for it. Open ones move into a smaller arena with locked gates.
        for gate, weight, kept in zip(self.gates, self.arena.weights, is_open, strict=True):
            if not kept:
                gate.merged = weight.to(self.arena.merged.dtype)
                gate.change.data = gate.change.data.new_empty(0)
                # A tensor of its own: a view would keep the whole old arena in memory.
                gate.gate_score.data = gate.gate_score.data.clone()
        arena = self.arena.locked_to([i for i, kept in enumerate(is_open) if kept])
        self._attach(arena, [gate for gate, kept in zip(self.gates, is_open, strict=True) if kept])

    def close(self) -> None:
        """Give the gates tensors of their own, and let the layers compute with the gates again."""
        for gate, weight in zip(self.gates, self.weights, strict=True):
            gate.merged = None
            gate.could_close = self.unpushed.closed
            gate.gate_score.data = gate.gate_score.data.clone()
            # `lock` has freed the changes of closed gates. They are never saved, so zeros do.
            given_up = gate.change.numel() != weight.numel()
            gate.change.data = torch.zeros_like(weight) if given_up else gate.change.data.clone()

    def state(self) -> Mapping[str, Tensor]:
        """All that decides the steps to come, by name."""
        return {
            "gate_scores": torch.stack([gate.gate_score.detach() for gate in self.gates]),
            "locked": torch.tensor(self.arena.locked),
            **{f"arena.{name}": tensor for name, tensor in self.arena.state().items()},
            **{f"unpushed.{name}": tensor for name, tensor in self.unpushed.arena.state().items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `state` of a stepper of the same gates."""
        with torch.no_grad():
            for gate, score in zip(self.gates, state["gate_scores"], strict=True):
                gate.gate_score.copy_(score)
        if state["locked"]:
            self.lock()
        arenas = {"arena": self.arena, "unpushed": self.unpushed.arena}
        for start, arena in arenas.items():
            arena.restore({name: state[f"{start}.{name}"] for name in arena.state()})
        # With kernels that know the restored gates.
        kept = [gate for gate in self.gates if gate.is_open] if self.arena.locked else self.gates
        self._attach(self.arena, kept)
        self.unpushed.attach()

    def _attach(self, arena: Arena, gates: Sequence[GatedChange]) -> None:
        self.arena = arena
        self.kernels = _kernels_for(arena)
        for index, gate in enumerate(gates):
            # The parameters stay the same objects: state dicts and parameter sets see every step.
            gate.change.data = arena.changes[index]
            gate.gate_score.data = arena.gate_scores[index]
            gate.merged = arena.leaves[index]


def gate_stepper(
    model: nn.Module, parameters: ParameterSet, training: GateTraining, recipe: Recipe
) -> GateStepper | None:
    """A stepper for the gates whose parameters are among those to be trained, if there are any.

    Raises ValueError if these gates belong to several tasks: an arena serves one network.
    """
    # Merged weights are those of one task: the arena writes them for the task in training.
    trained = [found for found in gated_layers(model) if found[2].change in parameters]
    tasks = sorted({task for _, task, _ in trained})
    if len(tasks) > 1:
        raise ValueError(f"one phase trains the gates of several tasks: {', '.join(tasks)}")
    weights, gates = [layer.weight for layer, _, _ in trained], [gate for _, _, gate in trained]
    return GateStepper(weights, gates, training, recipe) if gates else None


def _kernels_for(arena: Arena) -> ArenaKernels:
    if arena.gate_score.device.type != "cuda":
        return TorchKernels(arena)
    from suite.nn.kernels.arena_device import TritonKernels

    return TritonKernels(arena)
