"""Tokens that a method puts into the sequence of a transformer stack.

Hooks on the stack's own blocks, so that the network's names stay as they are: before a block they
add tokens and widen its attention mask, after the last block they take them out again, so that
pooling and class token see what they always saw. The tokens of a T5 encoder stay in its output,
which the decoder reads.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INSERTED = "inserted_tokens"
"""The name under which a block holds the module that gives its tokens."""


class TokenSequence:
    """The sequence of one stack in one forward pass, and how many of its tokens are inserted.

    `place` is their index: in front of the sequence, but after a class token. `leave` says whether
    they are taken out after the last block.
    """

    def __init__(self, blocks: Sequence[nn.Module], place: int, leave: bool = True) -> None:
        self.place = place
        self.count = 0
        self.first = blocks[0]
        self.arguments = tuple(inspect.signature(self.first.forward).parameters)
        for block in blocks:
            block.register_forward_pre_hook(self._enter, with_kwargs=True)
        if leave:
            blocks[-1].register_forward_hook(self._leave)

    def insert(self, block: nn.Module, module: nn.Module) -> None:
        """Let `module` give the tokens that enter `block`; raises ValueError if it has some."""
        if hasattr(block, INSERTED):
            raise ValueError("tokens are inserted twice at the same site: let one module give all")
        block.add_module(INSERTED, module)

    def _enter(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the block's tokens in the place of earlier ones, and fit the other inputs to them."""
        if block is self.first:
            self.count = 0
        x, *others = args
        given = dict(zip(self.arguments[1:], others, strict=False)) | kwargs
        module = getattr(block, INSERTED, None)
        if module is not None:
            x = self._without(x)
            tokens = module(x)
            if tokens.ndim != 3 or tokens.shape[::2] != x.shape[::2]:
                raise ValueError(
                    f"the module that gives tokens must map [B, L, {x.shape[2]}] to "
                    f"[B, n, {x.shape[2]}], and mapped {list(x.shape)} to {list(tokens.shape)}"
                )
            self.count = tokens.shape[1]
            x = torch.cat([x[:, : self.place], tokens.to(x.dtype), x[:, self.place :]], dim=1)
        if self.count:
            self.fit(given, x.shape[1])
        return (x,), given

    def fit(self, given: dict[str, Any], length: int) -> None:
        """Change a block's other inputs so that they suit a sequence of `length` tokens."""
        mask = given.get("attention_mask")
        if mask is None:
            return
        # All rows are the same, and the place is in front of what may be padding.
        if mask.shape[2] > 1:
            rows = mask[:, :, :1].expand(-1, -1, self.count, -1)
            mask = torch.cat([rows, mask], dim=2)
        given["attention_mask"] = padded_mask(mask, self.count)

    def _without(self, x: Tensor) -> Tensor:
        """The sequence [B, L, width] without what was inserted."""
        if not self.count:
            return x
        return torch.cat([x[:, : self.place], x[:, self.place + self.count :]], dim=1)

    def _leave(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return self._without(output)


class SourceSequence(TokenSequence):
    """The sequence of a T5 encoder: positions are relative, and the decoder reads all of it."""

    def __init__(self, network: Any) -> None:
        super().__init__(network.encoder.block, place=0, leave=False)
        self.positions = network.encoder.block[0].layer[0].SelfAttention
        network.decoder.register_forward_pre_hook(self._read, with_kwargs=True)

    def fit(self, given: dict[str, Any], length: int) -> None:
        """The position bias too, which the first block computes for the others."""
        super().fit(given, length)
        bias = given.get("position_bias")
        if bias is not None and bias.shape[-2:] != (length, length):
            given["position_bias"] = self.positions.compute_bias(length, length, bias.device)

    def _read(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Let the decoder attend to inserted tokens as well."""
        mask = kwargs["encoder_attention_mask"]
        if mask is not None:
            # By the lengths and not by `count`: text generation calls the encoder only once.
            inserted = kwargs["encoder_hidden_states"].shape[1] - mask.shape[1]
            kwargs = {**kwargs, "encoder_attention_mask": F.pad(mask, (inserted, 0), value=1)}
        return args, kwargs


class CausalSequence(TokenSequence):
    """The sequence of a language model that reads from left to right.

    Inserted tokens stand in front of all others, at the positions before the first where positions
    are rotated by the layer `rotary`.
    """

    def __init__(self, blocks: Sequence[nn.Module], rotary: nn.Module | None) -> None:
        super().__init__(blocks, place=0)
        self.rotary = rotary

    def fit(self, given: dict[str, Any], length: int) -> None:
        """The rotations too, which the network computes for all blocks."""
        mask = given.get("attention_mask")
        if mask is not None:
            seen = torch.ones(self.count, length, dtype=torch.bool, device=mask.device).tril()
            if mask.dtype == torch.bool:
                own = seen
            else:
                own = torch.zeros_like(seen, dtype=mask.dtype)
                own = own.masked_fill(~seen, torch.finfo(mask.dtype).min)
            rows = own.expand(*mask.shape[:2], -1, -1)
            given["attention_mask"] = torch.cat([rows, padded_mask(mask, self.count)], dim=2)
        rotations = given.get("position_embeddings")
        if rotations is not None and self.rotary is not None:
            before = torch.arange(-self.count, 0, device=rotations[0].device)
            before = before.expand(len(rotations[0]), -1)
            first = self.rotary(rotations[0], position_ids=before)
            given["position_embeddings"] = tuple(
                torch.cat(pair, dim=1) for pair in zip(first, rotations, strict=True)
            )


def padded_mask(mask: Tensor, count: int) -> Tensor:
    """An attention mask [..., K] for `count` more keys in front, which everything attends to."""
    # A mask of numbers is added to the scores, one of truth values says what is attended to.
    return F.pad(mask, (count, 0), value=1.0 if mask.dtype == torch.bool else 0.0)
