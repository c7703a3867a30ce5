"""What one training or evaluation step consumes."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one task.

    `inputs` are the backbone's keyword tensors, first dimension B; `targets` are class indices
    int64 [B], numbers float32 [B], or target ids int64 [B, M] (-100 is padding).
    """

    task: str
    inputs: Mapping[str, Tensor]
    targets: Tensor
