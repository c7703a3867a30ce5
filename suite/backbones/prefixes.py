"""Keys and values that a method puts before those of an attention layer.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021, arXiv
2101.00190, equation 2. A hook hands the layer a cache, as in text generation, in which the prefix
stands already; the layer itself stays as it is.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from suite.backbones.tokens import padded_mask

PREFIX = "prefix"
"""The name under which an attention layer holds the module that gives its prefix."""


class PrefixedCache:
    """What an attention layer of transformers takes for its cache: the prefix [B, 2, n, width]
    before the keys and values of the layer, and before those of `cache`, if it has one."""

    def __init__(self, prefix: Tensor, cache: Any) -> None:
        self.prefix = prefix
        self.cache = cache

    def get_seq_length(self, layer: int = 0) -> Any:
        """How many keys precede those of this pass."""
        before = 0 if self.cache is None else self.cache.get_seq_length(layer)
        return self.prefix.shape[2] + before

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values [B, heads, n + K, size] of a layer, given those of this pass."""
        if self.cache is not None:
            keys, values = self.cache.update(keys, values, layer, *args, **kwargs)
        heads, size = keys.shape[1], keys.shape[3]
        split = self.prefix.unflatten(3, (heads, size)).to(keys.dtype)
        before = split.transpose(2, 3).unbind(1)
        return torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)


class PrefixedAttention:
    """A forward-pre-hook of an attention layer that holds a module for its prefix.

    `positions` is the layer that knows the relative positions of all layers of a T5 stack.
    """

    def __init__(self, attention: Any, module: nn.Module, positions: Any = None) -> None:
        if hasattr(attention, PREFIX):
            raise ValueError(
                "prefixes are inserted twice at the same site: let one module give all"
            )
        attention.add_module(PREFIX, module)
        self.positions = positions
        self.arguments = tuple(inspect.signature(attention.forward).parameters)
        self.mask = "mask" if "mask" in self.arguments else "attention_mask"
        attention.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(
        self, attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give the layer its prefix, a mask with room for it and the positions it has."""
        given = dict(zip(self.arguments, args, strict=False)) | kwargs
        x = given.pop(self.arguments[0])
        source = given.get("key_value_states")
        prefix = attention.prefix(x)
        if prefix.ndim != 4 or prefix.shape[:2] != (len(x), 2):
            raise ValueError(
                "the module that gives a prefix must give keys and values [B, 2, n, width], for "
                f"{list(x.shape)} it gave {list(prefix.shape)}"
            )
        cache = given.get("past_key_values")
        # An encoder-decoder's cache has two parts. That of cross-attention saves only the keys and
        # values of the source, which are computed anew here.
        own = None if source is not None else getattr(cache, "self_attention_cache", cache)
        prefixed = PrefixedCache(prefix, own)
        given["past_key_values"] = prefixed
        count, queries = prefix.shape[2], x.shape[1]
        before = prefixed.get_seq_length(attention.layer_idx)
        keys = count + source.shape[1] if source is not None else before + queries
        mask = given.get(self.mask)
        if mask is not None:
            given[self.mask] = padded_mask(mask, count)
        elif attention.is_causal and queries > 1:
            # Without a mask the layer would count the queries from the first key of the prefix.
            every = torch.ones(1, 1, queries, keys, dtype=torch.bool, device=x.device)
            given[self.mask] = every.tril(keys - queries)
        bias = given.get("position_bias")
        if bias is not None and bias.shape[-1] != keys:
            given["position_bias"] = (
                None
                if source is not None
                else self.positions.compute_bias(queries, keys, x.device, before)
            )
        return (x,), given
