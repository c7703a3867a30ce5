"""Pretrain one mini vision backbone and write it where the package loads it from.

    python -m suite.mini.pretrain.vision resnet_mini
    python -m suite.mini.pretrain.vision densenet_mini
    python -m suite.mini.pretrain.vision vit_mini

Supervised classification of the generated patterns of `suite.mini.patterns`, on one CPU thread so
that the same versions give the same file. Writes `model.safetensors` and `config.json` to
`suite/mini/weights/NAME/` and prints the accuracy on fresh patterns after every epoch.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones import cifar
from suite.mini import WEIGHTS, images, patterns

SIZE = 24
MEAN, STD = 0.5, 0.25


@dataclass(frozen=True)
class Pretraining:
    """One backbone's builder in `suite.backbones.cifar` and its optimisation."""

    builder: str
    arguments: dict[str, Any]
    learning_rate: float
    epochs: int = 16
    per_category: int = 300
    batch: int = 64
    weight_decay: float = 0.02
    seed: int = 7


BACKBONES = {
    "resnet_mini": Pretraining("resnet", {"depth": 8, "width": 16}, 4e-3),
    "densenet_mini": Pretraining(
        "densenet",
        {"growth": 12, "blocks": [1, 3, 6], "initial": 16, "bottleneck": 2},
        4e-3,
        epochs=10,
    ),
    "vit_mini": Pretraining(
        "vit",
        {"image_size": SIZE, "patch_size": 4, "width": 64, "depth": 4, "heads": 4},
        1.5e-3,
        epochs=16,
    ),
}


def normalise(pixels: np.ndarray) -> Tensor:
    """Turn uint8 images into the network's input, float32 [N, 3, H, W]."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return ((x - MEAN) / STD).contiguous()


def augment(x: Tensor, random: torch.Generator) -> Tensor:
    """Random changes on which no category depends: small shifts, swapped channels, negatives."""
    down, right = (int(torch.randint(-2, 3, (), generator=random)) for _ in range(2))
    shifted = F.pad(x, (2, 2, 2, 2), mode="replicate")
    height, width = x.shape[2:]
    shifted = shifted[:, :, 2 + down : 2 + down + height, 2 + right : 2 + right + width]
    sign = 1 - 2 * torch.randint(0, 2, (len(x), 1, 1, 1), generator=random)
    return shifted[:, torch.randperm(3, generator=random)] * sign


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Share of correctly classified images, in percent."""
    model.eval()
    hits = sum(
        int((model(x).argmax(1) == y).sum())
        for x, y in zip(x.split(256), labels.split(256), strict=True)
    )
    model.train()
    return 100 * hits / len(labels)


def pretrain(plan: Pretraining) -> nn.Module:
    """Train the planned backbone from scratch and return it without its classifier."""
    torch.manual_seed(plan.seed)
    backbone = getattr(cifar, plan.builder)(**plan.arguments)
    model = nn.Sequential(backbone, nn.Linear(backbone.num_features, len(patterns.categories())))
    train_images, train_labels = patterns.patterns(images.generator(1), plan.per_category, SIZE)
    x, labels = normalise(train_images), torch.from_numpy(train_labels)
    test_images, test_labels = patterns.patterns(images.generator(2), 12, SIZE)
    held_out = normalise(test_images), torch.from_numpy(test_labels)
    steps = len(labels) // plan.batch
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.epochs * steps, pct_start=0.15
    )
    random = torch.Generator().manual_seed(plan.seed)
    for epoch in range(plan.epochs):
        order = torch.randperm(len(labels), generator=random)
        for batch in order[: steps * plan.batch].split(plan.batch):
            logits = model(augment(x[batch], random))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        line = (
            f"epoch {epoch + 1}/{plan.epochs}: {accuracy(model, *held_out):.1f} % of fresh patterns"
        )
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    return backbone.eval()


def save(backbone: nn.Module, plan: Pretraining, folder: Path) -> None:
    """Write the backbone's weights and the configuration that rebuilds it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    safetensors.torch.save_file(state, folder / "model.safetensors")
    config = {
        "builder": plan.builder,
        "arguments": plan.arguments,
        "image_size": SIZE,
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "pretraining": asdict(plan),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    """Pretrain the backbone named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("backbone", choices=BACKBONES)
    parser.add_argument("--folder", type=Path, help="where to write (default: the package)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder = options.folder or WEIGHTS / options.backbone
    plan = BACKBONES[options.backbone]
    save(pretrain(plan), plan, folder)


if __name__ == "__main__":
    main()
