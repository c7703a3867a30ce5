"""Learned tokens for the sequence of a frozen transformer, and learned prefixes of its keys.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, arXiv
2104.08691; Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119; Li and Liang,
"Prefix-Tuning", ACL 2021, arXiv 2101.00190; Wang et al., "Multitask Prompt Tuning Enables
Parameter-Efficient Transfer Learning", ICLR 2023, arXiv 2303.02861.
"""

import torch
from torch import Tensor, nn

from suite.backbones.per_task import PerTask, TaskContext


class Prompt(nn.Module):
    """The same tokens [n, width] for every example, `initial` at first."""

    def __init__(self, initial: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        self.tokens = nn.Parameter(initial.clone())
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """A sequence [B, L, width] -> tokens [B, n, width]."""
        return self.dropout(self.tokens).expand(len(x), -1, -1)


class RankOne(nn.Module):
    """u v^T [n, width] for every example, all ones at first."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.ones(count))
        self.v = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """A sequence [B, L, width] -> [B, n, width]."""
        return torch.outer(self.u, self.v).expand(len(x), -1, -1)


class MultitaskPrompt(nn.Module):
    """P * (u_k v_k^T), P [n, width] shared by all tasks (Wang et al. 2023, equation 1).

    While `teaching`, the tokens are those of the task's teacher instead: a prompt of its own.
    """

    def __init__(self, context: TaskContext, initial: Tensor) -> None:
        super().__init__()
        self.shared = Prompt(initial)
        self.factors = PerTask(context, {task: RankOne(*initial.shape) for task in context.tasks})
        self.teachers = PerTask(context, {task: Prompt(initial) for task in context.tasks})
        self.teaching = False

    def forward(self, x: Tensor) -> Tensor:
        """A sequence [B, L, width] -> tokens [B, n, width]."""
        if self.teaching:
            return self.teachers(x)
        return self.shared(x) * self.factors(x)


class PrefixEmbedding(nn.Module):
    """tanh(W e + b) [n, hidden] of an embedding e [n, inputs], N(0, 1) at first."""

    def __init__(self, count: int, inputs: int, hidden: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(count, inputs))
        self.down = nn.Linear(inputs, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """The same [n, hidden] for every sequence x."""
        return self.down(self.vectors).tanh()


class Prefix(nn.Module):
    """The same keys and values [2, n, width] of one layer for every example.

    In training they are a linear map of `embedding`, which layers may share (Li and Liang 2021,
    section 4.3). The `constant` that `keep` makes of them is all that has to be stored; once it is
    loaded and `constant_serves`, nothing else is needed.
    """

    def __init__(self, embedding: PrefixEmbedding, width: int) -> None:
        super().__init__()
        count, hidden = len(embedding.vectors), embedding.down.out_features
        self.constant = nn.Parameter(torch.zeros(2, count, width), requires_grad=False)
        self.reparametrised = nn.Sequential(embedding, nn.Linear(hidden, 2 * width))
        self.constant_serves = False

    def forward(self, x: Tensor) -> Tensor:
        """A sequence [B, L, ...] -> keys and values [B, 2, n, width]."""
        prefix = self.constant if self.constant_serves else self._made(x)
        return prefix.expand(len(x), -1, -1, -1)

    @torch.no_grad()
    def keep(self) -> None:
        """Set the constant to the present keys and values."""
        if not self.constant_serves:
            self.constant.copy_(self._made(self.constant))

    def _made(self, x: Tensor) -> Tensor:
        return self.reparametrised(x).unflatten(1, (2, -1)).transpose(0, 1)
