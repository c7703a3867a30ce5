"""Hypernetworks that generate adapters from task embeddings.

Karimi Mahabadi et al., "Parameter-efficient Multi-task Fine-tuning for Transformers via Shared
Hypernetworks", ACL 2021, arXiv 2106.04489, section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.backbones.sites import Site
from suite.errors import Unsupported
from suite.nn.adapter import narrow_linear
from suite.nn.kernels.adapter import AdapterWeights, adapter

Weights = TypeVar("Weights", bound=tuple[Tensor | None, ...])
POSITIONS = {"feed_forward": 0, "attention": 1}


class AdapterGenerator(nn.Module):
    """One linear map from an embedding to the weights of `count` adapters: a single matrix product,
    whatever the number of adapters and of kinds of tensor."""

    def __init__(self, inputs: int, count: int, width: int, bottleneck: int) -> None:
        super().__init__()
        # In the order of the fields of `AdapterWeights`.
        shapes = (
            (width, bottleneck),
            (width,),
            (bottleneck, width),
            (bottleneck,),
            (width,),
            (width,),
        )
        self.shapes = [torch.Size(shape) for shape in shapes]
        self.sizes = [shape.numel() for shape in self.shapes]
        # Drawn kind by kind, the rows then put in the order of the adapters.
        kinds = [narrow_linear(inputs, count * size).weight for size in self.sizes]
        rows = torch.cat([kind.view(count, -1, inputs) for kind in kinds], dim=1)
        self.weight = nn.Parameter(rows.detach().reshape(-1, inputs))
        self.bias = nn.Parameter(torch.zeros(len(self.weight)))

    def forward(self, embeddings: Tensor) -> list[AdapterWeights]:
        """[N, inputs] -> N * count adapters, those of the first embedding first."""
        rows = F.linear(embeddings, self.weight, self.bias).view(-1, sum(self.sizes))
        # Split and unbound, not sliced: backward then joins the pieces instead of adding up as many
        # tensors of the whole size.
        tensors = (
            part.view(-1, *shape).unbind()
            for part, shape in zip(rows.split(self.sizes, dim=1), self.shapes, strict=True)
        )
        return [AdapterWeights(*weights) for weights in zip(*tensors, strict=True)]


def projector(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The two-layer network that brings embeddings to the size the generators read."""
    return nn.Sequential(narrow_linear(inputs, hidden), nn.ReLU(), narrow_linear(hidden, outputs))


class TaskEmbedding(nn.Module):
    """A free vector [size], N(0, 1) at first."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.randn(size))

    def forward(self) -> Tensor:
        """The vector [size]."""
        return self.vector


class HyperNetwork(nn.Module, Generic[Weights]):
    """Generates the weights at all `sites` for the active task, once per pass of the network it
    follows.

    In evaluation mode without gradients the weights are kept for each task until `train` or
    `eval` is called, so that generation (many passes of a decoder) costs no more than with plain
    adapters. `forward` maps a task embedding to the weights in the order of the sites.
    """

    def __init__(self, context: TaskContext, sites: Sequence[Site], task_embedding: int) -> None:
        super().__init__()
        if not sites:
            raise Unsupported("there are no attention or feed-forward sublayers to adapt")
        self.context = context
        self.sites = tuple(sites)
        self.tasks = PerTask(
            context, {task: TaskEmbedding(task_embedding) for task in context.tasks}
        )
        self._generated: dict[str, list[Weights]] = {}

    def outputs(self) -> list["Generated[Weights]"]:
        """The objects from which the layers at the sites read, in the order of the sites."""
        return [Generated(self, index) for index in range(len(self.sites))]

    def generated(self, index: int) -> Weights:
        """The weights of the active task at `sites[index]`."""
        task = self.context.active
        if task not in self._generated:
            self._generated[task] = self(self.tasks())
        return self._generated[task][index]

    def follow(self, network: nn.Module) -> None:
        """Watch where the passes of `network` begin and end."""
        network.register_forward_pre_hook(self._between_passes)
        network.register_forward_hook(self._between_passes)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode and drop what was generated."""
        self._generated.clear()
        return super().train(mode)

    def _between_passes(self, *_: object) -> None:
        if self.training or torch.is_grad_enabled():
            self._generated.clear()


@dataclass(frozen=True, eq=False)
class Generated(Generic[Weights]):
    """What a hypernetwork generates for one site.

    It is not a module; otherwise every layer that holds it would register the hypernetwork as a
    submodule. The hypernetwork belongs to the model, and is stored once.
    """

    hypernetwork: HyperNetwork[Weights]
    index: int

    @property
    def context(self) -> TaskContext:
        """Says which task is active."""
        return self.hypernetwork.context

    def weights(self) -> Weights:
        """Those of the active task."""
        return self.hypernetwork.generated(self.index)


class GeneratedAdapter(nn.Module):
    """y + LN(U gelu(D y + b_D) + b_U; gamma, beta), all six generated for the active task."""

    def __init__(self, source: Generated[AdapterWeights]) -> None:
        super().__init__()
        self.source = source

    def forward(self, y: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        context = self.source.context
        if context.counts is not None:
            return context.task_by_task(self.forward, y)
        return adapter(y, self.source.weights(), "post")


def one_width(sites: Sequence[Site]) -> int:
    """The width that all sites have; raises Unsupported if they differ."""
    width, *others = {site.width for site in sites}
    if others:
        raise Unsupported("the generators serve one width, and sublayers differ in theirs")
    return width


class SiteHyperNetworks(HyperNetwork[AdapterWeights]):
    """HyperFormer: a hypernetwork of its own at every site, all reading one projected embedding."""

    def __init__(
        self,
        context: TaskContext,
        sites: Sequence[Site],
        bottleneck: int,
        task_embedding: int,
        hidden: int,
        projected: int,
    ) -> None:
        super().__init__(context, sites, task_embedding)
        self.projector = projector(task_embedding, hidden, projected)
        # The generators of all sites read the same vector, so that one matrix can hold them as its
        # rows: a single product generates everything.
        self.generator = AdapterGenerator(projected, len(sites), one_width(sites), bottleneck)

    def forward(self, task: Tensor) -> list[AdapterWeights]:
        """Task embedding [task_embedding] -> the adapters of all sites."""
        return self.generator(self.projector(task).unsqueeze(0))


class StackHyperNetwork(nn.Module):
    """One hypernetwork for all sites of a stack; embeddings tell it the layer and the position."""

    def __init__(
        self, layers: int, width: int, bottleneck: int, embedding: int, hidden: int, projected: int
    ) -> None:
        super().__init__()
        self.layers = nn.Embedding(layers, embedding)
        self.positions = nn.Embedding(len(POSITIONS), embedding)
        self.projector = projector(3 * embedding, hidden, projected)
        self.norm = nn.LayerNorm(projected, eps=1e-6)
        self.generator = AdapterGenerator(projected, 1, width, bottleneck)

    def forward(self, task: Tensor) -> list[AdapterWeights]:
        """Task embedding [E] -> adapters; that of (layer, position) at 2 * layer + position."""
        layers, positions = self.layers.weight, self.positions.weight
        shape = (len(layers), len(positions), -1)
        joined = torch.cat(
            [
                task.expand(shape),
                layers.unsqueeze(1).expand(shape),
                positions.unsqueeze(0).expand(shape),
            ],
            dim=-1,
        )  # [L, 2, 3E]
        return self.generator(self.norm(self.projector(joined.flatten(0, 1))))


class SharedHyperNetworks(HyperNetwork[AdapterWeights]):
    """HyperFormer++: one hypernetwork per stack, shared by its layers and positions."""

    def __init__(
        self,
        context: TaskContext,
        sites: Sequence[Site],
        bottleneck: int,
        task_embedding: int,
        hidden: int,
        projected: int,
    ) -> None:
        super().__init__(context, sites, task_embedding)
        layers = {site.stack: site.layer + 1 for site in sites}
        width = one_width(sites)
        self.stacks = nn.ModuleDict(
            {
                stack: StackHyperNetwork(
                    count, width, bottleneck, task_embedding, hidden, projected
                )
                for stack, count in layers.items()
            }
        )

    def forward(self, task: Tensor) -> list[AdapterWeights]:
        """Task embedding [task_embedding] -> the adapters of all sites."""
        generated = {stack: network(task) for stack, network in self.stacks.items()}
        return [
            generated[site.stack][len(POSITIONS) * site.layer + POSITIONS[site.kind]]
            for site in self.sites
        ]
