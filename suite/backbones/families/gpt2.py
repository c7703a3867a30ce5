"""GPT-2: a language model with learned positions and fused projections."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from suite.backbones.families.decoder import STACK, Decoder
from suite.backbones.sites import Network, Parts, Site, numbered, weight_sites, with_depths
from suite.registry.schema import SiteKind

PARTS: Parts = {
    r"attn\.c_attn": "qkv",
    r"attn\.c_proj": "attention_output",
    r"mlp\.c_fc": "ff_hidden",
    r"mlp\.c_proj": "ff_output",
}
SUBLAYERS: tuple[tuple[SiteKind, str, str, str], ...] = (
    ("attention", "attn.resid_dropout", "attn", "ln_1"),
    ("feed_forward", "mlp.dropout", "mlp", "ln_2"),
)


class GPT2(Decoder):
    """Radford et al., "Language Models are Unsupervised Multitask Learners", 2019."""

    transformers: ClassVar[tuple[str, ...]] = ("gpt2",)

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """With linear layers in the place of `Conv1D`, which is one of transposed weights."""
        network = super().prepared(network)
        for name, module in list(network.named_modules()):
            if type(module).__name__ == "Conv1D":
                network.set_submodule(name, _linear(module.weight, module.bias))
        return network

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After the dropouts that end the sublayers, before the residual sums."""
        sites = list(weight_sites(network, numbered(r"h\.(\d+)", STACK), PARTS))
        width = network.config.hidden_size
        for layer in range(len(network.h)):
            at = f"h.{layer}"
            sites.append(Site(f"{at}.attn", "keys", STACK, layer, width, part="self"))
            for kind, end, entry, norm in SUBLAYERS:
                sites.append(
                    Site(
                        f"{at}.{end}",
                        kind,
                        STACK,
                        layer,
                        width,
                        entry=f"{at}.{entry}",
                        entry_norm=f"{at}.{norm}",
                    )
                )
        return with_depths(sites)

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """Token and first position added up."""
        return network.wte(ids) + network.wpe.weight[0]


@torch.no_grad()
def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The linear layer with the weight [inputs, outputs] and the bias of a `Conv1D`."""
    inputs, outputs = weight.shape
    layer = nn.Linear(inputs, outputs, device=weight.device, dtype=weight.dtype)
    layer.weight.copy_(weight.T)
    layer.bias.copy_(bias)
    return layer
