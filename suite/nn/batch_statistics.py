"""Batch norms of which only the running statistics are a task's own."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class OwnStatistics(_BatchNorm):
    """A frozen batch norm that follows the batches it sees: it normalises with their statistics in
    training and with their running ones, which are stored, afterwards.

    Scale and shift are those of `norm`, which is not changed. It is no BatchNorm2d, those of which
    a backbone keeps in evaluation mode while nothing in them trains.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        assert norm.running_mean is not None and norm.running_var is not None
        self.running_mean = norm.running_mean.clone()
        self.running_var = norm.running_var.clone()
        self.then = nn.Sequential(*norm.children())
        """What the norm does to its output: some have their activation in them."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] to the same shape."""
        return self.then(super().forward(x))

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise ValueError(f"expected [B, channels, H, W], got {x.dim()} dimensions")
