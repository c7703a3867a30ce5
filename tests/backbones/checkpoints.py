"""Small checkpoints in folders as the hub has them, and the entries that name them."""

from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from suite.registry.schema import BackboneEntry

WORDS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", *"0123456789", *(f"w{n}" for n in range(26)))
SIZE = len(WORDS)


def tokenizer(**settings) -> PreTrainedTokenizerFast:
    """One token a word, framed as BERT frames texts."""
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names | settings)


def text_checkpoint(root: Path, family: str, network: PreTrainedModel, **settings) -> BackboneEntry:
    """A network of transformers and a tokenizer, below `root`/models."""
    folder = root / "models" / "own"
    network.save_pretrained(folder)
    tokenizer(**settings).save_pretrained(folder)
    return entry(root, family, "transformers", "text")


def image_checkpoint(
    root: Path, family: str, name: str, image_size: int, **arguments
) -> BackboneEntry:
    """A network of timm with ten classes and random norms, below `root`/models."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=10, **arguments)
    for module in network.modules():
        for tensor in module.parameters(recurse=False):
            if tensor.ndim == 1:
                tensor.data += 0.1 * torch.randn(tensor.shape)
    save_for_hf(network, root / "models" / "own", model_args=arguments, safe_serialization=True)
    return entry(root, family, "timm", "image", image_size)


def entry(
    root: Path, family: str, library: str, modality: str, image_size: int | None = None
) -> BackboneEntry:
    """The entry of the checkpoint below `root`/models."""
    return BackboneEntry(
        schema=1,
        name="own",
        description="Random weights.",
        family=family,
        modality=modality,
        scale="full",
        source={"library": library, "id": "own", "local_only": True},
        image_size=image_size,
        mean=(0.5, 0.5, 0.5) if image_size else None,
        std=(0.5, 0.5, 0.5) if image_size else None,
        licence="own",
        path=root / "own.yaml",
    )


def weights_of(root: Path) -> Path:
    """The checkpoint's file of weights."""
    return root / "models" / "own" / "model.safetensors"


def edit(root: Path, change) -> None:
    """Write the tensors of the checkpoint as `change` maps them, a dict to a dict."""
    file = weights_of(root)
    save_file(change(load_file(file)), file, {"format": "pt"})


def same_state(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks have the same tensors."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
