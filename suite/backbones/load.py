"""Load a backbone's network and tokenizer from its folder.

Each library is imported only where it is used: either takes seconds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from suite.backbones import cifar
from suite.backbones.base import Backbone, EncoderBackbone, TextToTextBackbone, VisionBackbone
from suite.console import shown
from suite.errors import UserError
from suite.planning.locate import model_folder
from suite.registry.schema import BackboneEntry, Library


def load_backbone(entry: BackboneEntry) -> Backbone:
    """The pretrained, frozen backbone in float32 on the CPU.

    Raises UserError if its files are not on this machine or do not hold this network.
    """
    folder = model_folder(entry)
    try:
        return _LOADERS[entry.source.library](entry, folder).eval()
    except MemoryError:
        raise
    except Exception as error:
        # Files may be truncated, absent or of another network; libraries raise errors of any kind.
        reason = " ".join(str(error).split())
        raise UserError(
            f"{shown(folder)} does not hold the network that {shown(entry.path)} names: "
            f"{type(error).__name__}: {reason[:200]}"
        ) from error


def _transformers(entry: BackboneEntry, folder: Path) -> Backbone:
    from transformers import AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if entry.family == "t5":
        # Its attention adds a bias for each distance, which no fused kernel of the CPU takes: torch
        # then runs its slow path, and a step costs 1.4 of what the plain operations do.
        network = AutoModelForSeq2SeqLM.from_pretrained(
            folder, attn_implementation="eager", **options
        )
        return TextToTextBackbone(entry, network, network.config.d_model, tokenizer)
    network = AutoModel.from_pretrained(folder, add_pooling_layer=False, **options)
    return EncoderBackbone(entry, network, network.config.hidden_size, tokenizer)


def _timm(entry: BackboneEntry, folder: Path) -> Backbone:
    import timm

    # A ViT has a position for every patch: timm interpolates them where images have another size
    # than in pretraining.
    size: dict[str, Any] = {"img_size": entry.image_size} if entry.family == "vit" else {}
    network: Any = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0, **size)
    return VisionBackbone(entry, network.float(), network.num_features)


def _cifar(entry: BackboneEntry, folder: Path) -> Backbone:
    network: Any = cifar.BUILDERS[entry.family](**entry.source.arguments)
    state = load_file(folder / "model.safetensors")
    if not entry.scale.embedded:
        state = cifar.published_state(state)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return VisionBackbone(entry, network, network.num_features)


_LOADERS: dict[Library, Callable[[BackboneEntry, Path], Backbone]] = {
    "transformers": _transformers,
    "timm": _timm,
    "cifar": _cifar,
}
