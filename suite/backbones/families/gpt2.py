"""GPT-2: a language model with learned positions and fused projections."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from suite.backbones.families.decoder import Decoder
from suite.backbones.sites import Network, Parts, Sublayer


class GPT2(Decoder):
    """Radford et al., "Language Models are Unsupervised Multitask Learners", 2019."""

    transformers: ClassVar[tuple[str, ...]] = ("gpt2",)
    blocks: ClassVar[str] = "h"
    parts: ClassVar[Parts] = {
        r"attn\.c_attn": "qkv",
        r"attn\.c_proj": "attention_output",
        r"mlp\.c_fc": "ff_hidden",
        r"mlp\.c_proj": "ff_output",
    }
    sublayers: ClassVar[tuple[Sublayer, ...]] = (
        Sublayer("attention", "attn.resid_dropout", "attn", "ln_1"),
        Sublayer("feed_forward", "mlp.dropout", "mlp", "ln_2"),
    )

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """With linear layers in the place of `Conv1D`, which is one of transposed weights."""
        network = super().prepared(network)
        for name, module in list(network.named_modules()):
            if type(module).__name__ == "Conv1D":
                network.set_submodule(name, _linear(module.weight, module.bias))
        return network

    @classmethod
    def key_width(cls, attention: Any) -> int:
        """That of the network."""
        return attention.embed_dim

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """Token and first position added up."""
        inner = network.base_model
        return inner.wte(ids) + inner.wpe.weight[0]


@torch.no_grad()
def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The linear layer with the weight [inputs, outputs] and the bias of a `Conv1D`."""
    inputs, outputs = weight.shape
    layer = nn.Linear(inputs, outputs, device=weight.device, dtype=weight.dtype)
    layer.weight.copy_(weight.T)
    layer.bias.copy_(bias)
    return layer
