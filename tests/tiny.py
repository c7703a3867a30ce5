"""Tiny, randomly initialised backbones of every family, with tasks and batches to match."""

from functools import cache

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from suite.backbones import cifar
from suite.backbones.base import Backbone, EncoderBackbone, VisionBackbone
from suite.backbones.writers import EncoderDecoderBackbone
from suite.data.batching import Batch, Batches
from suite.data.encode import Examples
from suite.engine.loop import train
from suite.engine.training_data import TaskBatches
from suite.registry.schema import BackboneEntry, Recipe, TaskEntry

WIDTH = 16
VOCABULARY = 24
IMAGE = 16
FAMILIES = ("resnet", "densenet", "vit", "bert", "t5")


class DigitTokenizer:
    """Token n + 2 is the digit n; 0 is padding and 1 ends a text."""

    def batch_decode(self, ids, skip_special_tokens):
        return ["".join(str(int(i) - 2) for i in row if 2 <= i < 12) for row in ids]


def tiny_backbone(family: str) -> Backbone:
    """A new frozen backbone; the same weights at every call."""
    return _tiny_backbone(family).fresh()


@cache
def _tiny_backbone(family):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS[family]().eval()
        # Batch norms with statistics of their own, norms that are not the identity.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.8, 1.2)
    return wrap(family, network)


def wrap(family: str, network: nn.Module) -> Backbone:
    """The backbone around a network of the family."""
    entry = BackboneEntry(
        schema=1,
        name=f"tiny_{family}",
        description="Random weights.",
        family=family,
        modality="text" if family in ("bert", "t5") else "image",
        scale="mini",
        source={"library": "cifar", "id": "none"},
        image_size=IMAGE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        licence="Apache-2.0",
    )
    if family == "t5":
        return EncoderDecoderBackbone(entry, network, network.config.d_model, DigitTokenizer())
    if family == "bert":
        return EncoderBackbone(entry, network, network.config.hidden_size, DigitTokenizer())
    return VisionBackbone(entry, network, network.num_features)


def _t5():
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        d_ff=2 * WIDTH,
        d_kv=8,
        num_heads=2,
        num_layers=2,
        num_decoder_layers=2,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def _bert():
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
    return BertModel(config, add_pooling_layer=False)


def _vit():
    return VisionTransformer(
        img_size=IMAGE, patch_size=8, embed_dim=WIDTH, depth=2, num_heads=2, num_classes=0
    )


NETWORKS = {
    "resnet": lambda: cifar.resnet(depth=8, width=8),
    "densenet": lambda: cifar.densenet(growth=8, blocks=(2, 2)),
    "vit": _vit,
    "bert": _bert,
    "t5": _t5,
}


def tiny_tasks(family: str, count: int = 2) -> tuple[TaskEntry, ...]:
    """Three-class tasks `a`, `b`, ..., in the modality of the family."""
    text = family in ("bert", "t5")
    return tuple(
        TaskEntry(
            schema=1,
            name=name,
            description="Random labels.",
            modality="text" if text else "image",
            output={"type": "classification", "labels": ("x", "y", "z")},
            metrics=("accuracy",),
            text={"columns": ("s",), "template": "s: {s}"} if text else None,
            sources={},
            licence="Apache-2.0",
        )
        for name in "abcdefgh"[:count]
    )


def tiny_batch(family: str, task: str, size: int = 6, seed: int = 0) -> Batch:
    """Random inputs, and targets that the first token or the mean colour decides."""
    generator = torch.Generator().manual_seed(seed)
    if family in ("bert", "t5"):
        ids = torch.randint(2, VOCABULARY, (size, 7), generator=generator)
        mask = torch.ones_like(ids)
        mask[0, 4:] = 0
        targets = ids[:, 0] % 3
        inputs = {"input_ids": ids, "attention_mask": mask}
    else:
        targets = torch.randint(0, 3, (size,), generator=generator)
        image = torch.randn(size, 3, IMAGE, IMAGE, generator=generator)
        image[torch.arange(size), targets] += 1
        inputs = {"image": image}
    target_ids = torch.stack([targets + 2, torch.ones_like(targets)], 1) if family == "t5" else None
    return Batch(task, inputs, targets, target_ids)


def tiny_data(family: str, task: str, size: int = 16) -> TaskBatches:
    """One batch of `tiny_batch`, as the training loop sees a task: to train and to validate on."""
    batch = tiny_batch(family, task, size)
    inputs = dict(batch.inputs)
    lengths = np.ones(size, int)
    if "image" in inputs:
        # Back to the pixels that become these numbers once mean and spread are 0.5.
        inputs["image"] = 255 * (0.5 * inputs["image"] + 0.5)
    else:
        lengths *= inputs["input_ids"].shape[1]
    examples = Examples(inputs, batch.targets, batch.target_ids, lengths)
    batches = Batches(task, examples, tiny_backbone(family).entry)
    return TaskBatches(batches, batches)


def train_briefly(model, method, family, steps=10, learning_rate=3e-3):
    """The suite's own training, a few steps of AdamW a task on one batch of each."""
    recipe = Recipe(
        learning_rate=learning_rate,
        schedule="constant",
        warmup=0.0,
        steps=steps,
        batch_size=16,
        evaluations=1,
        clip_norm=None,
    )
    data = {task: tiny_data(family, task) for task in model.tasks}
    train(model, method, data, recipe, seed=0, progress=lambda step, steps: None)
