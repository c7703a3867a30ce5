"""Networks for images as transformers writes them, in the form of timm: the same sites and costs as
every other network of their family, with equal outputs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from suite.backbones.whole import Differences, checkpoint_file
from suite.console import shown
from suite.errors import UserError
from suite.planning.architecture import CONFIG

BESIDE = (
    "classifier.", "cls_classifier.", "decoder.", "distillation_classifier.",
    "embeddings.mask_token", "lm_head.", "pooler.",
)  # fmt: skip
"""What only outputs and pretraining read; left out unless a network has a place for it."""
QKV = ("query", "key", "value")


class Checkpoint:
    """The configuration and the tensors of a network for images in a folder of transformers.

    Raises `UserError` unless the configuration has the values `served`, each with its only one.
    """

    def __init__(self, folder: Path, **served: Any) -> None:
        from transformers import AutoConfig

        self.config: Any = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        for key, value in {"num_channels": 3, **served}.items():
            if (found := getattr(self.config, key)) != value:
                where = shown(folder / CONFIG)
                raise UserError(f"{where}: {key} must be {value} to be served, not {found}")
        self.source = checkpoint_file(folder)
        # Before the names of a network that was saved with an output layer.
        prefix = f"{self.config.model_type.replace('-', '_')}."
        self._tensors: dict[str, Tensor] = {}
        for file in sorted(folder.glob("*.safetensors")):
            for name, tensor in load_file(file).items():
                self._tensors[name.removeprefix(prefix)] = tensor.float()

    def fill(
        self,
        network: nn.Module,
        names: Callable[[str], Sequence[str]],
        shaped: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor,
    ) -> None:
        """Give a network of timm its tensors. `names` says of which tensors of the file each one
        is made, below each other, and `shaped` brings what is made to its form.

        Raises `UserError` if a tensor is missing, superfluous or of another shape.
        """
        parts = {name: names(name) for name in network.state_dict()}
        needed = {part for several in parts.values() for part in several}
        own = {
            name: tensor
            for name, tensor in self._tensors.items()
            if name in needed or not name.startswith(BESIDE)
        }
        Differences(needed - own.keys(), own.keys() - needed).refuse(self.source)
        joined = {
            name: shaped(name, torch.cat([own[part] for part in several]))
            if len(several) > 1
            else shaped(name, own[several[0]])
            for name, several in parts.items()
        }
        Differences.between(joined, network).refuse(self.source)
        network.load_state_dict(joined)


def renamed(name: str, renamings: Mapping[str, str]) -> str:
    """A tensor's name in which the module that is longest among `renamings` has its other name."""
    fitting = [old for old in renamings if name == old or name.startswith(f"{old}.")]
    if not fitting:
        return name
    old = max(fitting, key=len)
    return renamings[old] + name[len(old) :]
