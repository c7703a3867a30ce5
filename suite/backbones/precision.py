"""In which type a network computes."""

import torch

from suite.registry.schema import Precision


def rounds(precision: Precision, device: torch.device) -> bool:
    """Whether matrix products and convolutions are computed in bfloat16; by default on a GPU."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
