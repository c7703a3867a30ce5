"""A vision transformer as transformers writes it, in the form of timm: one projection for queries,
keys and values, and the same sites as every other ViT."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from suite.backbones.whole import Differences, checkpoint_file
from suite.console import shown
from suite.errors import UserError
from suite.planning.architecture import CONFIG, configuration

PREFIX = "vit."
"""Before the names of a network that was saved with an output layer."""
OUTPUTS = ("classifier.", "pooler.")
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
WITHIN = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""Names within a block, timm's and those in a file of transformers."""
QKV = ("query", "key", "value")


def vit_of_transformers(folder: Path, image_size: int) -> nn.Module:
    """The network without output layer in a folder of the model type `vit`, [B, 3, H, W] to the
    features of its class token [B, width].

    Raises `UserError` if a tensor is missing, superfluous or of another shape, or if the network
    has a form that is not served: other images or another activation.
    """
    from timm.models.vision_transformer import VisionTransformer

    config = _Config(folder)
    if config["image_size"] != image_size:
        raise UserError(
            f"{config.path}: image_size is {config['image_size']}, for which there are position "
            f"embeddings, and not {image_size}"
        )
    for key, served in (("hidden_act", "gelu"), ("num_channels", 3)):
        if config[key] != served:
            raise UserError(f"{config.path}: {key} must be {served}, not {config[key]}")
    network = VisionTransformer(
        img_size=image_size,
        patch_size=config["patch_size"],
        embed_dim=config["hidden_size"],
        depth=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        mlp_ratio=config["intermediate_size"] / config["hidden_size"],
        qkv_bias=config["qkv_bias"],
        norm_layer=partial(nn.LayerNorm, eps=config["layer_norm_eps"]),
        num_classes=0,
    )
    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    own = {
        name.removeprefix(PREFIX): tensor.float()
        for name, tensor in state.items()
        if not name.removeprefix(PREFIX).startswith(OUTPUTS)
    }
    source = checkpoint_file(folder)
    parts = {name: _names(name) for name in network.state_dict()}
    needed = {part for names in parts.values() for part in names}
    Differences(needed - own.keys(), own.keys() - needed).refuse(source)
    joined = {name: _joined([own[part] for part in names]) for name, names in parts.items()}
    Differences.between(joined, network).refuse(source)
    network.load_state_dict(joined)
    return network


class _Config:
    """What the configuration says, and what the library takes where it says nothing."""

    DEFAULTS: Mapping[str, Any] = {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": True,
    }  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.path = shown(folder / CONFIG)
        self.said = configuration(folder)

    def __getitem__(self, key: str) -> Any:
        return self.said.get(key, self.DEFAULTS[key])


def _names(name: str) -> list[str]:
    """The tensors in a file of transformers that a tensor of timm is made of."""
    if name.startswith("blocks."):
        _, layer, rest = name.split(".", 2)
        start = f"encoder.layer.{layer}"
        path, _, kind = rest.rpartition(".")
        if path == "attn.qkv":
            return [f"{start}.attention.attention.{part}.{kind}" for part in QKV]
        return [f"{start}.{WITHIN[path]}.{kind}"]
    if name in OUTSIDE:
        return [OUTSIDE[name]]
    path, _, kind = name.rpartition(".")
    return [f"{OUTSIDE[path]}.{kind}"]


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
