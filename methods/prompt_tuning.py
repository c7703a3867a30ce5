"""Prompt tuning: a few learned tokens before the text are all that trains.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021,
https://arxiv.org/abs/2104.08691.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.nn.prompt import Prompt


@dataclass(frozen=True)
class PromptTuning(Method):
    """The encoder reads [P; X]: prompt and text."""

    tokens: int
    initial: str

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Put the prompt into the sequence that enters the first block of the encoder."""
        start = backbone.token_vectors(self.tokens)
        if self.initial == "uniform":
            start = torch.empty_like(start).uniform_(-0.5, 0.5)
        backbone.insert_tokens(backbone.of_kind("tokens")[0], Prompt(start))
        return adapted(backbone, tasks, context_of(tasks))
