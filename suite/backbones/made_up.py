"""A backbone of a catalogued form with random weights, in the files that are read for the real one:
layers, shapes and costs are its own, and what it answers means nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from suite.backbones.family import ImageFamily, family_class
from suite.errors import UserError
from suite.planning.architecture import CONFIG
from suite.planning.locate import EMBEDDED
from suite.registry.schema import BackboneEntry

TOKENIZER = "tokenizer*.json"
CLASSES = 2
"""Of the output layer that a file of timm has, and nothing reads."""


def write_weights(entry: BackboneEntry, folder: Path) -> None:
    """Write the files of a full-scale backbone below `folder`/models.

    Raises UserError if its entry does not say enough of its form.
    """
    place = folder / "models" / entry.source.id
    place.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        {"cifar": _cifar, "timm": _timm, "transformers": _transformers}[entry.source.library](
            entry, place
        )


def _cifar(entry: BackboneEntry, place: Path) -> None:
    family = family_class(entry.family)
    assert issubclass(family, ImageFamily)
    _save(family.small(entry.source.arguments), place)


def _timm(entry: BackboneEntry, place: Path) -> None:
    import timm

    name = entry.source.architecture or entry.source.id.rpartition("/")[2].partition(".")[0]
    if not timm.is_model(name):
        raise UserError(f"timm has no architecture '{name}', which {entry.name} names")
    network: Any = timm.create_model(name, pretrained=False, num_classes=CLASSES)
    _save(network, place)
    config = {
        "architecture": name,
        "num_classes": CLASSES,
        "pretrained_cfg": {"input_size": [3, entry.image_size, entry.image_size]},
    }
    (place / CONFIG).write_text(json.dumps(config))


def _transformers(entry: BackboneEntry, place: Path) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    source = entry.source
    if not source.configuration:
        raise UserError(
            f"backbone {entry.name}: source.configuration does not say the form of the network, "
            "which random weights need: model_type and its sizes, as in its config.json"
        )
    sizes = dict(source.configuration)
    config: Any = transformers.AutoConfig.for_model(str(sizes.pop("model_type")), **sizes)
    writes = entry.does == "text_to_text"
    maker = transformers.AutoModelForSeq2SeqLM if writes else transformers.AutoModel
    maker.from_config(config).save_pretrained(place)
    words = EMBEDDED / "weights" / ("t5_mini" if writes else "bert_mini")
    for file in words.glob(TOKENIZER):
        shutil.copy(file, place)


def _save(network: torch.nn.Module, place: Path) -> None:
    save_file(network.state_dict(), place / "model.safetensors")
