"""Networks of their real sizes on the meta device: shapes without memory."""

import timm
import torch
from tiny import wrap
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from suite.backbones import cifar
from suite.backbones.base import Backbone
from suite.backbones.families.resnet_decathlon import ResNetDecathlon


def meta_backbone(name: str) -> Backbone:
    """`name` as the papers use it, without its head, parameters on the meta device."""
    with torch.device("meta"):
        family, network = BUILDERS[name]()
    return wrap(family, network)


def _t5(width: int, hidden: int, layers: int, heads: int) -> tuple[str, T5ForConditionalGeneration]:
    config = T5Config(
        vocab_size=32128, d_model=width, d_ff=hidden, num_layers=layers, num_heads=heads
    )
    return "t5", T5ForConditionalGeneration(config)


def _bert(width: int, hidden: int, layers: int, heads: int) -> BertModel:
    config = BertConfig(
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
    )
    return BertModel(config, add_pooling_layer=False)


BUILDERS = {
    "t5_base": lambda: _t5(768, 3072, 12, 12),
    "t5_small": lambda: _t5(512, 2048, 6, 8),
    "bert_base": lambda: ("bert", BertModel(BertConfig(), add_pooling_layer=False)),
    "minilm": lambda: ("bert", _bert(384, 1536, 6, 12)),
    "vit_tiny": lambda: ("vit", timm.create_model("vit_tiny_patch16_224", num_classes=0)),
    "vit_tiny_96": lambda: (
        "vit",
        timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=96),
    ),
    "vit_b16": lambda: ("vit", timm.create_model("vit_base_patch16_224", num_classes=0)),
    "vit_b16_in21k": lambda: ("vit", timm.create_model("vit_base_patch16_224", num_classes=0)),
    "resnet18": lambda: ("resnet", timm.create_model("resnet18", num_classes=0)),
    "resnet34": lambda: ("resnet", timm.create_model("resnet34", num_classes=0)),
    "resnet50": lambda: ("resnet", timm.create_model("resnet50", num_classes=0)),
    "resnet20": lambda: ("resnet", cifar.resnet(20)),
    "resnet26": lambda: ("resnet_decathlon", ResNetDecathlon.small({"blocks": 4, "width": 32})),
    "densenet_bc": lambda: ("densenet", cifar.densenet(12, (6, 12, 24), 24)),
    "densenet121": lambda: ("densenet", timm.create_model("densenet121", num_classes=0)),
}
