"""The networks whose training steps are timed: plain library models with random weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 100
TOKENS = 128


@dataclass
class Problem:
    """A network and the loss of one fixed batch of random inputs."""

    network: nn.Module
    loss: Callable[[], Tensor]
    head: nn.Module

    def gated_layers(self) -> list[nn.Module]:
        """Every convolution and linear layer except the head."""
        kinds = nn.Conv2d | nn.Linear
        return [m for m in self.network.modules() if isinstance(m, kinds) and m is not self.head]


def vision(name: str, image: int) -> Callable[[int, torch.device], Problem]:
    """A timm model."""

    def build(batch: int, device: torch.device) -> Problem:
        import timm

        network = timm.create_model(name, num_classes=CLASSES).to(device)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, image, image, device=device)
        images = images.to(memory_format=torch.channels_last)
        targets = torch.randint(CLASSES, (batch,), device=device)
        return Problem(
            network,
            lambda: F.cross_entropy(network(images).float(), targets),
            network.get_classifier(),
        )

    return build


class Encoder(nn.Module):
    """BERT and a classifier of its first token."""

    def __init__(self, size: str) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        small |= {"intermediate_size": 64, "vocab_size": 1000}
        config = BertConfig(**(small if size == "tiny" else {}))
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(self.bert.config.hidden_size, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [B, L] -> logits [B, CLASSES]."""
        return self.head(self.bert(ids).last_hidden_state[:, 0])


def encoder(size: str) -> Callable[[int, torch.device], Problem]:
    """BERT on 128 tokens."""

    def build(batch: int, device: torch.device) -> Problem:
        network = Encoder(size).to(device)
        ids = torch.randint(1000, (batch, TOKENS), device=device)
        targets = torch.randint(CLASSES, (batch,), device=device)
        return Problem(
            network, lambda: F.cross_entropy(network(ids).float(), targets), network.head
        )

    return build


def text_to_text(batch: int, device: torch.device) -> Problem:
    """T5-base, 128 tokens in and out."""
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
    network = T5ForConditionalGeneration(T5Config(**sizes)).to(device)
    network.config.use_cache = False
    ids, labels = (torch.randint(2, 30000, (batch, TOKENS), device=device) for _ in range(2))
    return Problem(network, lambda: network(input_ids=ids, labels=labels).loss, network.lm_head)


NETWORKS: dict[str, Callable[[int, torch.device], Problem]] = {
    "resnet50": vision("resnet50", 224),
    "densenet121": vision("densenet121", 224),
    "vit_small": vision("vit_small_patch16_224", 224),
    "bert_base": encoder("base"),
    "t5_base": text_to_text,
    "tiny_resnet": vision("resnet10t", 32),
    "tiny_bert": encoder("tiny"),
}
