"""Texts that are too short or too long for a network."""

import torch.nn.functional as F
from torch import Tensor

from suite.backbones.base import TextBackbone
from suite.backbones.whole import positions
from suite.console import shown
from suite.errors import UserError
from suite.registry.schema import TaskEntry


def never_empty(
    given: dict[str, Tensor], task: TaskEntry, backbone: TextBackbone
) -> dict[str, Tensor]:
    """The same, but for texts without a token, of which there would be no features: they have the
    one that starts a text, or else the one that ends it."""
    empty = given["attention_mask"].sum(1) == 0
    if not empty.any():
        return given
    tokenizer = backbone.tokenizer
    token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if token is None:
        raise UserError(
            f"{shown(backbone.entry.path)}: a text of {task.name} is empty, and the tokenizer of "
            f"{backbone.entry.name} has no token that starts or ends one (bos_token, eos_token)"
        )
    width = max(1, given["attention_mask"].shape[1])
    given = {name: F.pad(ids, (0, width - ids.shape[1])) for name, ids in given.items()}
    given["input_ids"][empty, 0] = token
    given["attention_mask"][empty, 0] = 1
    return given


def require_positions(task: TaskEntry, longest: int, answer: int, backbone: TextBackbone) -> None:
    """Raise `UserError` if the network has not the positions for a text of `longest` tokens, and
    for its answer where that follows in the same sequence."""
    known = positions(backbone.network)
    if known is not None and longest + answer > known:
        room = f", and {answer} more for its answer" if answer else ""
        raise UserError(
            f"{shown(backbone.entry.path)}: {backbone.entry.name} has {known} positions, "
            f"and a text of {task.name} has {longest} tokens{room}: set max_length in the recipe "
            f"to {known - answer} at most"
        )
