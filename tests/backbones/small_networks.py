"""Small networks of real architectures, randomly initialised, saved as a hub's folders are."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

WORDS = ("red", "green", "blue", "round", "square", "small", "large")
WRITING = (*"0123456789", "Answer", ":")
WRITERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2")
WRITTEN = 64
"""Tokens of which a language model writes."""
SIZES = {
    "vocab_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 16}
TEXT: dict[str, Callable[[], Any]] = {
    "electra": lambda: transformers.ElectraConfig(**SIZES, embedding_size=16),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=16, dim=32, n_layers=2, n_heads=2, hidden_dim=64
    ),
    "albert": lambda: transformers.AlbertConfig(
        **{**SIZES, "num_hidden_layers": 4}, num_hidden_groups=2, embedding_size=16
    ),
    "deberta": lambda: transformers.DebertaV2Config(
        **SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"]
    ),
    "mpnet": lambda: transformers.MPNetConfig(**SIZES),
    "modernbert": lambda: transformers.ModernBertConfig(**SIZES, pad_token_id=0),
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "mistral": lambda: transformers.MistralConfig(**GROUPED),
    "qwen2": lambda: transformers.Qwen2Config(
        **{**GROUPED, "num_key_value_heads": 2, "vocab_size": 64}, tie_word_embeddings=True
    ),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED),
    "gemma": lambda: transformers.GemmaConfig(**GROUPED),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=16, n_embd=32, n_layer=2, n_head=2, n_positions=64
    ),
}
VIT = {"img_size": 24, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
STAGES = {"layers": (1, 1, 1, 1), "channels": (16, 16, 16, 16)}
IMAGE: dict[str, tuple[str, dict[str, Any]]] = {
    "deit_distilled": ("deit_tiny_distilled_patch16_224", VIT),
    "vit_reg4": ("vit_small_patch14_reg4_dinov2", VIT),
    "beit": ("beit_base_patch16_224", VIT),
    "eva": ("eva_giant_patch14_224", VIT),
    "eva02": ("eva02_tiny_patch14_224", VIT),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 24, "window_size": 3, "embed_dim": 24, "depths": (2, 1), "num_heads": (2, 2)},
    ),
    "convnext": (
        "convnext_atto",
        {"patch_size": 1, "depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)},
    ),
    "convnextv2": (
        "convnextv2_tiny",
        {"patch_size": 1, "depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)},
    ),
    "bit": ("resnetv2_50x1_bit", {"channels": (128, 128, 128, 128), "stem_chs": 32}),
    "resnet_gn": ("resnet50_gn", {"layers": (1, 1, 1, 1), "channels": (32, 32, 32, 32)}),
    "resnext": ("resnext50_32x4d", {**STAGES, "cardinality": 4, "base_width": 16}),
    "regnet": ("regnety_002", {}),
}
SIZE = 24
"""Of the images of the embedded tasks."""


def save_text(name: str, folder: Path) -> nn.Module:
    """A network of transformers with a tokenizer of a few words."""
    torch.manual_seed(0)
    network = transformers.AutoModel.from_config(TEXT[name]())
    network.save_pretrained(folder)
    tokenizer = _letters() if name == "qwen2" else _words()
    tokenizer.save_pretrained(folder)
    return network.eval()


def save_writer(name: str, folder: Path) -> nn.Module:
    """A language model with its output layer and a tokenizer of a few words and digits.

    The weights are large, so that what it writes depends on the text. What lies in the folder asks
    for a generation that is not greedy; the network that is returned does not.
    """
    torch.manual_seed(0)
    config = TEXT[name]()
    config.vocab_size = WRITTEN
    network = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    network.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=3.0, max_length=2, eos_token_id=5
    )
    network.save_pretrained(folder)
    tokenizer = _letters() if name == "qwen2" else _words(WRITING)
    tokenizer.save_pretrained(folder)
    network.generation_config = transformers.GenerationConfig()
    return network.eval()


def _words(more: Sequence[str] = ()) -> Any:
    """A tokenizer of the words, which says that it pads on the left."""
    words = ["[PAD]", "[UNK]", "</s>", *WORDS, *more]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        padding_side="left",
        **({"eos_token": "</s>"} if more else {}),
    )


def _letters() -> Any:
    """A tokenizer of Qwen2's own class, which is made anew whatever tokenizer was saved."""
    letters = sorted({*"".join((*WORDS, *WRITING)), "\u0120", "\u010a"})
    vocabulary = {"<|endoftext|>": 0, **{letter: i for i, letter in enumerate(letters, 1)}}
    return transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[])


def save_image(name: str, folder: Path) -> nn.Module:
    """A network of timm, its parameters away from zero and one, with its configuration."""
    architecture, arguments = IMAGE[name]
    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False, num_classes=0, **arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.05 * torch.randn(parameter.shape))
    folder.mkdir(parents=True)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": network.num_features,
        "model_args": {key: value for key, value in arguments.items() if key != "img_size"},
        "pretrained_cfg": {
            "input_size": [3, SIZE, SIZE],
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.25, 0.3],
            "num_classes": 0,
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return network.eval()


def save_vision(folder: Path, **more: Any) -> nn.Module:
    """A vision transformer of transformers as a classifier, with what it does to images."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=SIZE,
        patch_size=8,
        **more,
    )
    network = transformers.ViTForImageClassification(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    told = {
        "do_normalize": True,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.25, 0.3],
        "size": {"height": SIZE, "width": SIZE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return network.eval()
