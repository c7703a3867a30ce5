"""Adapters of several tasks, and each task's attention over what they give.

Pfeiffer et al., "AdapterFusion: Non-Destructive Task Composition for Transfer Learning", EACL 2021,
arXiv 2005.00247, section 3.2.
"""

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.nn.adapter import narrow_linear


class Fusion(nn.Module):
    """softmax_n((Q y + b) . K u_n) V u_n, summed over the changes u_n of the adapters.

    V starts as the identity, with 1e-6 beside the diagonal, Q and K at N(0, 0.02^2). K has no bias:
    it would add the same to every score of y.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.query.weight, std=0.02)
        nn.init.normal_(self.key.weight, std=0.02)
        nn.init.zeros_(self.query.bias)
        nn.init.constant_(self.value.weight, 1e-6)
        with torch.no_grad():
            self.value.weight.fill_diagonal_(1.0)

    def forward(self, y: Tensor, changes: Tensor) -> Tensor:
        """A sublayer's output [..., width] and changes of it [..., N, width] -> [..., width]."""
        scores = (self.key(changes) @ self.query(y).unsqueeze(-1)).squeeze(-1)  # [..., N]
        return (scores.softmax(-1).unsqueeze(-2) @ self.value(changes)).squeeze(-2)

    def distance(self) -> Tensor:
        """|V - I|^2, a scalar."""
        identity = torch.eye(len(self.value.weight), device=self.value.weight.device)
        return (self.value.weight - identity).square().sum()


class FusedAdapters(nn.Module):
    """y + u_t with the adapter of the active task alone, or once `fused` its fusion of all u_n;
    u_n = U_n gelu(D_n y) is what the adapter of task n adds.

    Adapters serve every task's fusion and belong to none.
    """

    def __init__(self, context: TaskContext, width: int, bottleneck: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict(
            {
                task: nn.Sequential(
                    narrow_linear(width, bottleneck),
                    nn.GELU(approximate="tanh"),
                    narrow_linear(bottleneck, width),
                )
                for task in context.tasks
            }
        )
        self.fusions = PerTask(context, {task: Fusion(width) for task in context.tasks})
        self.fused = True

    def forward(self, y: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        context = self.fusions.context
        if self.fusions.splits_batch:
            return context.task_by_task(self.forward, y)
        if not self.fused:
            return y + self.adapters[context.active](y)
        changes = torch.stack([adapter(y) for adapter in self.adapters.values()], dim=-2)
        return y + self.fusions(y, changes)
