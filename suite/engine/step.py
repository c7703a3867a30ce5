"""One optimizer step of a phase, in the form in which a device can replay it.

What changes from step to step on the host (rates, the method's stepper) is handed to the device
before it, and `compute` reads the batch and tensors on the device alone: no value goes back to the
host. On every device this is how steps are taken.
"""

from collections.abc import Mapping

import torch

from suite.backbones.of_pass import forget_passes
from suite.data.batching import Batch, MixedBatch
from suite.engine.arithmetic import arithmetic
from suite.engine.capture import Steps, recorder, turned_off
from suite.engine.optimizer import Optimizer, rate_factor
from suite.method import Method, Phase
from suite.method.model import AdaptedModel
from suite.registry.schema import Recipe


class TrainingStep:
    """Takes the `steps` steps of a phase."""

    def __init__(
        self,
        model: AdaptedModel,
        method: Method,
        phase: Phase,
        recipe: Recipe,
        optimizer: Optimizer,
        steps: int,
        total_loss: torch.Tensor,
    ) -> None:
        self.model = model
        self.method = method
        self.phase = phase
        self.recipe = recipe
        self.optimizer = optimizer
        self.steps = steps
        self.total_loss = total_loss
        """The sum of all losses []. It stays not finite once one loss was: none need be read."""
        self.device = total_loss.device
        self.progress = 0.0
        self.taken = Steps(self.compute, recorder(self.device), self._obstacle())

    def take(self, number: int, batch: Batch | MixedBatch) -> bool:
        """Take step `number` (from 1); whether tensors of the model have moved."""
        self.progress = (number - 1) / self.steps
        self.optimizer.prepare(rate_factor(self.recipe, number, self.steps), self.progress)
        self.taken(batch)
        moved = self.optimizer.settle()
        if moved:
            self.taken.forget()
        return moved

    def compute(self, batch: Batch | MixedBatch) -> None:
        """The device's part."""
        smoothing = self.recipe.label_smoothing
        with arithmetic(self.model, self.device):
            if isinstance(batch, Batch):
                loss = self.model.loss(batch, smoothing)
            else:
                loss = self.model.mixed_loss(batch, smoothing)
            penalty = self.method.penalty(self.model, self.progress)
            if penalty is not None:
                loss = loss + penalty
            if self.phase.penalty is not None:
                # Such a phase is refused where tasks are mixed.
                assert isinstance(batch, Batch)
                loss = loss + self.phase.penalty(batch)
        self.total_loss += loss.detach()
        loss.backward()
        self.optimizer.apply()
        forget_passes()

    @property
    def captured(self) -> int:
        """How many steps a graph has replayed."""
        return self.taken.captured

    @property
    def uncaptured(self) -> Mapping[str, int]:
        """How many steps were not, by reason; none where nothing can be captured."""
        return self.taken.uncaptured

    def _obstacle(self) -> str:
        if off := turned_off():
            return off
        if not self.method.steps_alike:
            return "the method changes its loss as training goes on"
        stepper = self.optimizer.stepper
        if stepper is not None and not stepper.on_device:
            return "the method's stepper reads the device"
        return ""
