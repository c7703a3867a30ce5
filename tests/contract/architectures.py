"""Some fifty small random networks of real architectures, to be saved to a folder and loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from checkpoints import SIZE, image_checkpoint, text_checkpoint

from suite.registry.families import family_of
from suite.registry.schema import BackboneEntry


@dataclass(frozen=True)
class Small:
    """A network, and the family that it belongs to or is nearest to."""

    family: str
    name: str
    served: bool = True
    """Whether it must be served; else it may be refused, by its architecture's name."""
    image_size: int = 32
    arguments: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.name

    def save(self, root: Path) -> BackboneEntry:
        """Write the checkpoint below `root`/models."""
        torch.manual_seed(0)
        if hasattr(hf, self.name):
            config = getattr(hf, self.name).config_class(**self.arguments)
            network = getattr(hf, self.name)(config)
            named = family_of("transformers", config.model_type)
            return text_checkpoint(root, named.name if named else self.family, network)
        return image_checkpoint(root, self.family, self.name, self.image_size, **self.arguments)


def image(family: str, *names: str, served: bool = True, size: int = 32, **arguments: Any):
    return [Small(family, name, served, size, arguments) for name in names]


def text(*names: str, served: bool = True, label: str = "", **arguments: Any):
    return [Small("bert", name, served, arguments=TEXT | arguments, label=label) for name in names]


def t5(*names: str, served: bool = True, label: str = "", **arguments: Any):
    return [Small("t5", name, served, arguments=T5 | arguments, label=label) for name in names]


TEXT = {
    "vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "pad_token_id": 0, "max_position_embeddings": 64,
}  # fmt: skip
T5 = {
    "vocab_size": SIZE, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
RES = {"layers": (1, 1, 1, 1), "channels": (16, 16, 16, 16), "stem_width": 8}
VIT = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2}

NETWORKS = [
    *image("vit", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224",
           "deit3_small_patch16_224", "vit_base_patch16_siglip_224",
           "vit_base_patch16_clip_quickgelu_224", **VIT),
    *image("vit", "vit_small_patch14_reg4_dinov2", size=28, **VIT | {"img_size": 28}),
    *image("vit", "vit_tiny_patch16_224", size=48, **VIT | {"num_heads": 4, "class_token": False,
           "global_pool": "avg", "img_size": 48}),
    *image("vit", "vit_base_patch16_rpn_224", "vit_dlittle_patch16_reg1_gap_256", **VIT),
    *image("vit", "vit_small_patch16_18x2_224", "vit_dpwee_patch16_reg1_gap_256", served=False,
           **VIT),
    *image("eva", "vit_pe_core_tiny_patch16_384", "vit_small_patch16_dinov3",
           "vit_small_patch16_rope_mixed_224", **VIT),
    *image("beit", "beit_base_patch16_224", "beitv2_base_patch16_224", **VIT),
    *image("eva", "eva02_tiny_patch14_224", size=28, **VIT | {"img_size": 28}),
    *image("vit", "vit_relpos_small_patch16_224", "cait_xxs24_224", "xcit_nano_12_p16_224",
           served=False, **VIT),
    *image("swin", "swin_tiny_patch4_window7_224", size=56, img_size=56, embed_dim=24,
           depths=(1, 1), num_heads=(2, 2)),
    *image("resnet", "resnet18", "resnet18d", "resnet50", "resnet26t", "seresnet50", "resnetaa50d",
           "ecaresnet26t", "resnetrs50", **RES),
    *image("resnet", "resnext50_32x4d", **RES | {"cardinality": 4, "base_width": 16}),
    *image("resnet", "wide_resnet50_2", **RES | {"base_width": 32}),
    *image("resnet", "resnet50_gn", layers=(1, 1, 1, 1), channels=(32, 32, 32, 32)),
    *image("resnet", "skresnet18", "res2net50_26w_4s", served=False, layers=(1, 1, 1, 1),
           channels=(32, 32, 32, 32)),
    *image("resnetv2", "resnetv2_50", "resnetv2_50d_gn", layers=(1, 1, 1, 1),
           channels=(128, 128, 128, 128), stem_chs=64),
    *image("resnetv2", "resnetv2_50x1_bit", channels=(128, 128, 128, 128), stem_chs=64),
    *image("convnext", "convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 16, 32)),
    *image("convnext", "convnext_base", depths=(1, 1, 1, 1), dims=(8, 16, 16, 32),
           head_hidden_size=24),
    *image("resnet", "resnext26ts", "nf_resnet26", "efficientnet_b0", served=False),
    *image("regnet", "regnety_002"),
    *image("resnet", "mobilenetv3_small_050", "tf_efficientnet_lite0", served=False),
    *image("densenet", "densenet121", growth_rate=8, block_config=(2, 2, 2, 2)),
    *image("densenet", "densenet121", size=64, growth_rate=4, block_config=(1, 2)),
    *text("BertModel", "BertForMaskedLM", "BertForPreTraining", "RobertaModel",
          "RobertaForMaskedLM", "XLMRobertaModel", "CamembertModel"),
    *text("BertModel", label="BertModel with relu", hidden_act="relu", num_hidden_layers=1),
    *text("ElectraModel", "DebertaV2Model", "MPNetModel", "AlbertModel", "ErnieModel"),
    *text("MobileBertModel", "RobertaPreLayerNormModel", served=False),
    *text("DistilBertModel", dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    *text("ModernBertModel", eos_token_id=2, bos_token_id=1, cls_token_id=1, sep_token_id=2),
    *text("LlamaModel", "Qwen2Model", num_key_value_heads=2, eos_token_id=2, bos_token_id=1),
    *text("GPT2Model", eos_token_id=2, bos_token_id=1),
    *text("MistralModel", "Gemma2Model", "Gemma3TextModel", "Olmo2Model", "Olmo3Model", "Phi3Model",
          "SmolLM3Model", "GraniteModel", "Qwen3Model", num_key_value_heads=1, head_dim=8,
          eos_token_id=2, bos_token_id=1),
    *text("GPTNeoXModel", "OPTModel", "BloomModel", "FalconModel", "StableLmModel", "CohereModel",
          "EuroBertModel", "NomicBertModel", "BigBirdModel", "RoFormerModel", "ConvBertModel",
          served=False, eos_token_id=2, bos_token_id=1),
    *t5("T5ForConditionalGeneration", "MT5ForConditionalGeneration"),
    *t5("T5ForConditionalGeneration", label="T5 v1.1", feed_forward_proj="gated-gelu",
        tie_word_embeddings=False),
    *t5("UMT5ForConditionalGeneration"),
]  # fmt: skip
"""Every family, some in several forms, and what is near to them. What is not `served` may be
refused, by its architecture's name, or is sound."""
