"""Load a backbone's network and tokenizer from its folder.

Each library is imported only where it is used: either takes seconds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from suite.backbones import cifar, whole
from suite.backbones.base import Backbone, EncoderBackbone, TextToTextBackbone, VisionBackbone
from suite.backbones.probe import require_sites
from suite.backbones.whole_timm import whole_timm
from suite.console import say, shown
from suite.errors import UserError
from suite.planning.locate import model_folder
from suite.registry.schema import BackboneEntry, Library


def load_backbone(entry: BackboneEntry) -> Backbone:
    """The backbone that `read_backbone` gives; raises UserError as well if its sites are not what
    they claim."""
    backbone = read_backbone(entry)
    require_sites(backbone)
    return backbone


def read_backbone(entry: BackboneEntry) -> Backbone:
    """The pretrained, frozen backbone in float32 on the CPU.

    Raises UserError if its files are not on this machine or do not hold this network, whole.
    """
    folder = model_folder(entry)
    try:
        backbone = _LOADERS[entry.source.library](entry, folder).eval()
    except (MemoryError, UserError):
        raise
    except Exception as error:
        # Files may be truncated, absent or of another network; libraries raise errors of any kind.
        reason = " ".join(str(error).split())
        raise UserError(
            f"{shown(folder)} does not hold the network that {shown(entry.path)} names: "
            f"{type(error).__name__}: {reason[:200]}"
        ) from error
    source = whole.checkpoint_file(folder)
    whole.require_finite(backbone.network, source)
    backbone.note = whole.interpolated(backbone.network, source)
    if backbone.note:
        say(f"{entry.name}: {backbone.note}")
    return backbone


def _transformers(entry: BackboneEntry, folder: Path) -> Backbone:
    from transformers import AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    # What is missing or does not fit is refused here, in one message for all libraries.
    local = {"local_files_only": True, "trust_remote_code": False}
    options = local | {
        "dtype": torch.float32,
        "use_safetensors": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
    }
    tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    # Batches are cut on the right, and a class token is read on the left.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if entry.family == "t5":
        network, told = AutoModelForSeq2SeqLM.from_pretrained(folder, **options)
        whole.require_answer_tokens(network.config, folder)
    else:
        network, told = AutoModel.from_pretrained(folder, add_pooling_layer=False, **options)
    differences = whole.Differences.told_by_transformers(told, network.base_model_prefix)
    differences.refuse(whole.checkpoint_file(folder))
    whole.require_tokens(tokenizer, network, folder)
    if entry.family == "t5":
        return TextToTextBackbone(entry, network, network.config.d_model, tokenizer)
    return EncoderBackbone(entry, network, network.config.hidden_size, tokenizer)


def _timm(entry: BackboneEntry, folder: Path) -> Backbone:
    # A ViT has a position for every patch: timm interpolates them where images have another size
    # than in pretraining.
    size: dict[str, Any] = {"img_size": entry.image_size} if entry.family == "vit" else {}
    network = whole_timm(folder, **size)
    return VisionBackbone(entry, network.float(), network.num_features)


def _cifar(entry: BackboneEntry, folder: Path) -> Backbone:
    network: Any = cifar.BUILDERS[entry.family](**entry.source.arguments)
    file = folder / "model.safetensors"
    state = load_file(file)
    if not entry.scale.embedded:
        state = cifar.published_state(state)
    whole.Differences.between(state, network).refuse(file)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return VisionBackbone(entry, network, network.num_features)


_LOADERS: dict[Library, Callable[[BackboneEntry, Path], Backbone]] = {
    "transformers": _transformers,
    "timm": _timm,
    "cifar": _cifar,
}
