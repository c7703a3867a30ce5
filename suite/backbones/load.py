"""Load a backbone's network and tokenizer from its folder.

Each library is imported only where it is used: either takes seconds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from suite.backbones import cifar, whole
from suite.backbones.base import Backbone, EncoderBackbone, TextBackbone, VisionBackbone
from suite.backbones.family import Family, ImageFamily, TextFamily, family_class
from suite.backbones.probe import site_faults
from suite.backbones.whole_timm import whole_timm
from suite.backbones.writers import CUE, DecoderBackbone, EncoderDecoderBackbone
from suite.console import say, shown
from suite.errors import Unsupported, UserError
from suite.planning.architecture import architecture, configuration, refined, unserved
from suite.planning.locate import model_folder
from suite.registry.schema import BackboneEntry, Library


def load_backbone(entry: BackboneEntry) -> Backbone:
    """The backbone that `read_backbone` gives; raises UserError as well if its sites are not what
    they claim."""
    backbone = read_backbone(entry)
    for fault in site_faults(backbone):
        raise _of_another_form(backbone.entry, type(backbone.network), fault)
    return backbone


def read_backbone(entry: BackboneEntry) -> Backbone:
    """The pretrained, frozen backbone in float32 on the CPU.

    Raises UserError if its files are not on this machine, do not hold this network, whole, or hold
    one that no family serves.
    """
    folder = model_folder(entry)
    entry = refined(entry, folder)
    try:
        family = family_class(entry.family)
        backbone = _LOADERS[entry.source.library](entry, folder, family).eval()
    except (MemoryError, UserError, Unsupported):
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
    found = {site.kind for site in backbone.sites}
    if lacking := [kind for kind in family.kinds if kind not in found]:
        fault = f"it has no sites of the kind {', '.join(lacking)}"
        raise _of_another_form(entry, type(backbone.network), fault)
    return backbone


def _of_another_form(entry: BackboneEntry, network: type, fault: str) -> UserError:
    """What refuses a network that its family's file does not fit."""
    library, folder = entry.source.library, model_folder(entry)
    reason = f"{network.__name__}: {fault}"
    if library == "cifar":
        return UserError(f"{shown(entry.path)}: {reason}")
    named = entry.source.architecture or architecture(library, configuration(folder))
    return unserved(shown(folder), library, named, entry.family, reason)


def _transformers(entry: BackboneEntry, folder: Path, family: type[Family]) -> Backbone:
    if issubclass(family, ImageFamily):
        network = family.of_transformers(entry, folder)
        return VisionBackbone(entry, family.prepared(network), network.num_features)
    from transformers import AutoTokenizer
    from transformers.utils import logging

    assert issubclass(family, TextFamily)
    logging.disable_progress_bar()
    # Code that comes with weights is never run.
    local = {"local_files_only": True, "trust_remote_code": False}
    # What is missing or does not fit is refused here, in one message for all libraries.
    options = local | {
        "dtype": torch.float32,
        "use_safetensors": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
    }
    tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    # Masks, positions and pooling count from the first token: texts are padded and cut on the
    # right, whatever the tokenizer's own configuration says.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        # Masked all the same, and a text's own end token is not.
        tokenizer.pad_token = tokenizer.eos_token
    network, told = family.pretrained(folder, entry.does, options)
    differences = whole.Differences.told_by_transformers(told, network.base_model_prefix)
    differences.refuse(whole.checkpoint_file(folder))
    whole.require_tokens(tokenizer, network, folder)
    network = family.prepared(network)
    # A tokenizer of another network may give more than this one takes.
    taken = family.inputs(network)
    tokenizer.model_input_names = [n for n in tokenizer.model_input_names if n in taken]
    form: type[TextBackbone] = EncoderBackbone
    if entry.does == "text_to_text" and network.config.is_encoder_decoder:
        whole.require_answer_tokens(network.config, folder)
        form = EncoderDecoderBackbone
    elif entry.does == "text_to_text":
        whole.require_cue(tokenizer, CUE, folder)
        form = DecoderBackbone
    return form(entry, network, family.width(network), tokenizer)


def _timm(entry: BackboneEntry, folder: Path, family: type[Family]) -> Backbone:
    assert issubclass(family, ImageFamily)
    network = whole_timm(folder, **family.timm_arguments(entry))
    names = {form.__name__ for form in type(network).__mro__}
    if not names.intersection(family.classes):
        fault = f"the family is made of {', '.join(family.classes)}"
        raise _of_another_form(entry, type(network), fault)
    # Some have a hidden layer behind the pooling, which is part of the network.
    return VisionBackbone(entry, family.prepared(network.float()), network.head_hidden_size)


def _cifar(entry: BackboneEntry, folder: Path, family: type[Family]) -> Backbone:
    assert issubclass(family, ImageFamily)
    network: Any = family.small(entry.source.arguments)
    file = folder / "model.safetensors"
    state = load_file(file)
    if not entry.scale.embedded:
        state = cifar.published_state(state)
    whole.Differences.between(state, network).refuse(file)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return VisionBackbone(entry, network, network.num_features)


_LOADERS: dict[Library, Callable[[BackboneEntry, Path, type[Family]], Backbone]] = {
    "transformers": _transformers,
    "timm": _timm,
    "cifar": _cifar,
}
