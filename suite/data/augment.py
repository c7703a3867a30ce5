"""Image augmentation on the device, one random choice per image."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from suite.data.transfer import to_device


def augment(images_BCHW: Tensor, kind: str, rng: np.random.Generator) -> Tensor:
    """Horizontal flips with probability 1/2 (`flip`), random crops after padding by an eighth of
    the side (`crop`), or both (`crop_flip`). Returns images of the same shape."""
    count, _, height, width = images_BCHW.shape
    device = images_BCHW.device
    if "flip" in kind:
        flip = to_device(torch.from_numpy(rng.random(count) < 0.5), device)
        images_BCHW = torch.where(flip.view(-1, 1, 1, 1), images_BCHW.flip(-1), images_BCHW)
    if "crop" in kind:
        pad = height // 8
        padded = F.pad(images_BCHW, (pad, pad, pad, pad))
        offsets = to_device(torch.from_numpy(rng.integers(0, 2 * pad + 1, (2, count))), device)
        rows = offsets[0].view(-1, 1) + torch.arange(height, device=device)
        columns = offsets[1].view(-1, 1) + torch.arange(width, device=device)
        index = torch.arange(count, device=device).view(-1, 1, 1)
        picked = padded.permute(0, 2, 3, 1)[index, rows.unsqueeze(2), columns.unsqueeze(1)]
        images_BCHW = picked.permute(0, 3, 1, 2).contiguous()
    return images_BCHW
