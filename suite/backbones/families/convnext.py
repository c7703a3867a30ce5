"""ConvNeXt: a convolutional network built like a transformer."""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from suite.backbones.family import ImageFamily
from suite.backbones.of_transformers import Checkpoint, renamed
from suite.backbones.sites import (
    Network,
    Parts,
    Site,
    blocks_of,
    inside,
    weight_sites,
    with_depths,
)
from suite.registry.schema import BackboneEntry, SiteKind

PARTS: Parts = {r"mlp\.fc1": "ff_hidden", r"mlp\.fc2": "ff_output"}
OUTSIDE = {
    "stem.0": "embeddings.patch_embeddings",
    "stem.1": "embeddings.layernorm",
    "head.norm": "layernorm",
}
"""Names of timm, and those in a file of transformers."""
WITHIN = {
    "conv_dw": "dwconv",
    "norm": "layernorm",
    "mlp.fc1": "pwconv1",
    "mlp.grn": "grn",
    "mlp.fc2": "pwconv2",
    "gamma": "layer_scale_parameter",
}
"""The same within a block."""


class ConvNeXt(ImageFamily):
    """Liu et al., "A ConvNet for the 2020s", CVPR 2022, arXiv 2201.03545."""

    kinds: ClassVar[tuple[SiteKind, ...]] = ("block", "conv", "norm")
    timm: ClassVar[tuple[str, ...]] = ("convnext_*", "convnextv2_*")
    transformers: ClassVar[tuple[str, ...]] = ("convnext", "convnextv2")
    classes: ClassVar[tuple[str, ...]] = ("ConvNeXt",)

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """The same layers under other names."""
        from timm.models.convnext import ConvNeXt as ConvNeXtOfTimm

        found = Checkpoint(folder, hidden_act="gelu")
        config = found.config
        second = config.model_type == "convnextv2"
        scale = None if second or config.layer_scale_init_value <= 0 else 1.0
        network: Any = ConvNeXtOfTimm(
            patch_size=config.patch_size,
            depths=config.depths,
            dims=config.hidden_sizes,
            ls_init_value=scale,
            use_grn=second,
            num_classes=0,
        )
        # That of the last norm alone: inside blocks it is fixed.
        network.head.norm.eps = config.layer_norm_eps
        found.fill(network, _names_in_transformers, _shaped)
        return network

    @classmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """After layer scale, before stochastic depth and the residual sum."""
        blocks = blocks_of(network, lambda _, module: type(module).__name__ == "ConvNeXtBlock")
        sites = list(weight_sites(network, inside(blocks), PARTS))
        for layer, name in enumerate(blocks):
            width = network.get_submodule(f"{name}.conv_dw").out_channels
            at = f"{name}.drop_path"
            sites.append(Site(at, "block", "backbone", layer, width, insert_before=True))
        return with_depths(sites)


def _names_in_transformers(name: str) -> list[str]:
    if not name.startswith("stages."):
        return [renamed(name, OUTSIDE)]
    _, stage, part, layer, rest = name.split(".", 4)
    if part == "downsample":
        return [f"encoder.stages.{stage}.downsampling_layer.{layer}.{rest}"]
    return [f"encoder.stages.{stage}.layers.{layer}.{renamed(rest, WITHIN)}"]


def _shaped(name: str, tensor: Tensor) -> Tensor:
    """Transformers keeps the scales of response normalisation as [1, 1, 1, width]."""
    return tensor.flatten() if ".grn." in name and tensor.shape[:3] == (1, 1, 1) else tensor
