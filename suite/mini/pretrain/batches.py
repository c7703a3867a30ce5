"""Corpus tokens, their corruptions, and the optimisation that both text backbones share."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suite.mini.pretrain.corpus import rivals

CORPUS = 60_000
STRAYS = 0.25
BATCH = 48
TEMPERATURE = 0.1
REPORT = 400
REPLACED_WEIGHT = 5.0
"""ELECTRA weighs the detector by 50 over a mean of masked tokens; here both share all layers."""


class Replacer:
    """Replaces a token by a rival of the same kind, where there is one, or by any corpus token.

    Only the other sentence tells a rival from the original, so rivals are for second sentences.
    """

    def __init__(
        self, vocabulary: dict[str, int], prefix: str, corpus: np.ndarray, dice: np.random.Generator
    ) -> None:
        self._corpus, self._dice = corpus, dice
        self._rivals: dict[int, np.ndarray] = {}
        for group in rivals():
            ids = np.array(
                sorted({vocabulary[prefix + w] for w in group if prefix + w in vocabulary})
            )
            for i in ids.tolist():
                self._rivals[i] = np.union1d(self._rivals.get(i, ids), ids)

    def __call__(self, token: int, second: bool) -> int:
        """A replacement, which may by chance be the token itself."""
        pool = self._rivals.get(token) if second and self._dice.random() < 0.8 else None
        pool = self._corpus if pool is None else pool
        return int(pool[self._dice.integers(len(pool))])


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one tensor [B, L], padded with zeros."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def by_length(lengths: Sequence[int], dice: np.random.Generator) -> Callable[[], np.ndarray]:
    """A sampler of BATCH documents of about the same length."""
    order = np.argsort(lengths, kind="stable")

    def draw() -> np.ndarray:
        start = dice.integers(0, len(order) - BATCH)
        return order[start : start + BATCH]

    return draw


def detector(width: int) -> nn.Module:
    """A head that tells replaced tokens, or strange pairs, from original ones."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 1))


def binary(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits [N, 1], zero where there is none."""
    loss = F.binary_cross_entropy_with_logits(logits.squeeze(-1), truth.float(), reduction="sum")
    return loss / max(1, len(truth))


def pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real positions: [B, L, D] and [B, L] to [B, D]."""
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def contrast(first: Tensor, second: Tensor) -> Tensor:
    """InfoNCE: which of the batch's second sentences belongs to each first one? Both [B, D]."""
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / TEMPERATURE
    return F.cross_entropy(logits, torch.arange(len(logits)))


def optimise(
    modules: Sequence[nn.Module],
    losses: Callable[[float], dict[str, Tensor]],
    steps: int,
    rate: float = 3e-3,
    slowly: str = "",
) -> None:
    """AdamW with a short warm-up and a cosine to 2 % of the rate, on the sum of the losses.

    `losses` is told the share of the steps that are done.
    Parameters whose name ends with `slowly` learn at a quarter of the rate.
    """
    named = [pair for module in modules for pair in module.named_parameters()]
    parameters = [parameter for _, parameter in named]
    slow = [parameter for name, parameter in named if name.endswith(slowly)] if slowly else []
    fast = [parameter for parameter in parameters if not any(parameter is p for p in slow)]
    groups: list[dict[str, Any]] = [{"params": fast}]
    if slow:
        groups.append({"params": slow, "lr": rate / 4})
    optimizer = torch.optim.AdamW(groups, rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: min(1, (k + 1) / 100) * max(0.02, 0.5 * (1 + math.cos(math.pi * k / steps))),
    )
    history: list[dict[str, float]] = []
    start = time.monotonic()
    for step in range(steps):
        parts = losses(step / steps)
        sum(parts.values(), torch.zeros(())).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        history.append({name: value.item() for name, value in parts.items()})
        if step == 0 or step % REPORT == REPORT - 1:
            means = {name: np.mean([row[name] for row in history if name in row]) for name in parts}
            line = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            print(f"step {step + 1:5d}  {line}  {time.monotonic() - start:.0f} s", flush=True)  # noqa: T201
            history.clear()
