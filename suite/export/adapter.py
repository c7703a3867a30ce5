"""A model in the form of the `peft` library: a configuration, and tensors by their names in peft.

What peft has put into the network itself is held as it is. A layer of this package whose change has
the form of LoRA becomes that: PiSSA's B A - B0 A0 is [B, -B0] [A; A0] (Meng, Wang and Zhang 2024,
arXiv 2404.02948). A prompt in front of a T5's source is prompt tuning.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    PromptTuningConfig,
    get_peft_model_state_dict,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from suite.backbones.base import TextBackbone
from suite.backbones.tokens import INSERTED
from suite.backbones.writers import DecoderBackbone, EncoderDecoderBackbone
from suite.engine.delta import live_tensors
from suite.export.subject import NotHeld, Subject
from suite.nn.peft_layers import exactly
from suite.nn.principal import PrincipalLinear
from suite.nn.prompt import Prompt

WITHIN = "base_model.model."
"""Where a network lies inside peft's model of it."""
LIMIT = 1e-5
"""Largest relative difference of outputs that rounding explains."""


@dataclass(frozen=True)
class Adapter:
    """What peft reads: its configuration, and the tensors by their names in its file."""

    config: PeftConfig
    tensors: Mapping[str, Tensor]

    def write(self, folder: Path, base: str, revision: str | None) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors`; `base` is the id or the
        folder of the backbone."""
        config = copy.deepcopy(self.config)
        config.base_model_name_or_path = base
        config.revision = revision
        config.inference_mode = True
        config.save_pretrained(str(folder))
        save_file(dict(self.tensors), folder / "adapter_model.safetensors", {"format": "pt"})


def adapter_of(subject: Subject) -> Adapter:
    """The subject's model without its head; raises `NotHeld` if peft has no such form."""
    layers = dict(subject.network.named_modules())
    if any(isinstance(layer, BaseTunerLayer) for layer in layers.values()):
        found = _injected(subject)
    elif prompts := {name: each for name, each in layers.items() if isinstance(each, Prompt)}:
        found = _prompt(subject, prompts)
    else:
        found = _low_rank(subject, layers)
    return found


def check(subject: Subject, folder: Path) -> float:
    """The relative difference of outputs between the model and what peft makes of the folder.

    Raises `NotHeld` if rounding does not explain it: something matters that peft does not hold.
    """
    network: Any = PeftModel.from_pretrained(subject.pristine.fresh().network, str(folder)).eval()
    if isinstance(subject.pristine, DecoderBackbone):
        # Its features and its output layer are asked for apart; peft's layers are inside.
        network = network.get_base_model()
    difference = subject.difference(network)
    if not difference <= LIMIT:
        raise NotHeld(
            f"{_name(subject)}: what peft can hold of it answers otherwise (by {difference:.1g} of "
            f"the largest output); {_INSTEAD}"
        )
    return difference


_INSTEAD = "--to torch holds every method"


def _name(subject: Subject) -> str:
    return f"{subject.result.cell.name} on {subject.pristine.entry.name}"


def _injected(subject: Subject) -> Adapter:
    network = subject.network
    configs: Mapping[str, PeftConfig] = network.peft_config  # type: ignore[assignment]
    (name,) = configs
    found = get_peft_model_state_dict(network, adapter_name=name, save_embedding_layers=False)
    _require_all(subject, found)
    config = copy.deepcopy(configs[name])
    config.task_type = _task_type(subject)
    return Adapter(config, {WITHIN + key: _plain(tensor) for key, tensor in found.items()})


def _low_rank(subject: Subject, layers: Mapping[str, nn.Module]) -> Adapter:
    found = {name: change for name, layer in layers.items() if (change := _change(layer))}
    _require_all(subject, {f"{name}.": layers[name] for name in found})
    rank = max(len(down) for down, _ in found.values())
    tensors = {}
    for name, (down, up) in found.items():
        missing = rank - len(down)
        tensors[f"{WITHIN}{name}.lora_A.weight"] = _plain(F.pad(down, (0, 0, 0, missing)))
        tensors[f"{WITHIN}{name}.lora_B.weight"] = _plain(F.pad(up, (0, missing)))
    sites = [site for site in subject.pristine.of_kind("linear") if site.name in found]
    # With alpha = rank the change is B A itself.
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=exactly(sites),
        task_type=_task_type(subject),
    )
    return Adapter(config, tensors)


def _change(layer: nn.Module) -> tuple[Tensor, Tensor] | None:
    """A [r, in_features] and B [out_features, r] of a layer that adds B A x to the frozen one."""
    if isinstance(layer, PrincipalLinear):
        return torch.cat([layer.a, layer.first_a]), torch.cat([layer.b, -layer.first_b], 1)
    return None


def _prompt(subject: Subject, prompts: Mapping[str, Prompt]) -> Adapter:
    pristine = subject.pristine
    place = f"{pristine.of_kind('tokens')[0].name}.{INSERTED}"
    if not isinstance(pristine, EncoderDecoderBackbone) or list(prompts) != [place]:
        raise NotHeld(
            f"{_name(subject)}: peft puts a prompt in front of the embeddings of a text, before "
            f"positions and norms, and only there; this one enters the blocks: {_INSTEAD}"
        )
    (prompt,) = prompts.values()
    _require_all(subject, {"prompt": prompt})
    network: Any = pristine.network
    config = PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=len(prompt.tokens),
        token_dim=pristine.width,
        num_transformer_submodules=1,
        num_layers=network.config.num_layers,
        num_attention_heads=network.config.num_heads,
    )
    return Adapter(config, {"prompt_embeddings": _plain(prompt.tokens)})


def _require_all(subject: Subject, held: Mapping[str, Tensor | nn.Module]) -> None:
    """Raise `NotHeld` if a tensor of the delta is neither held nor the head's."""
    known = set()
    for each in held.values():
        tensors = each.state_dict().values() if isinstance(each, nn.Module) else [each]
        known |= {tensor.data_ptr() for tensor in tensors}
    others = [
        name
        for name, tensor in live_tensors(subject.model).items()
        if not name.startswith("heads.") and tensor.data_ptr() not in known
    ]
    if others or not held:
        what = f"{len(others)} of its tensors, first {others[0]}" if others else "its change"
        raise NotHeld(f"{_name(subject)}: peft has no form for {what}; {_INSTEAD}")


def _task_type(subject: Subject) -> str | None:
    match subject.pristine:
        case EncoderDecoderBackbone():
            return "SEQ_2_SEQ_LM"
        case DecoderBackbone():
            return "CAUSAL_LM"
        case TextBackbone():
            return "FEATURE_EXTRACTION"
    return None


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().contiguous()
