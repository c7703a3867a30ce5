"""Multi-task fine-tuning: one network, trained on all tasks together, with a head for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from suite.backbones.base import TextToTextBackbone
from suite.data.batching import Batch, MixedBatch
from suite.method import AdaptedModel, Backbone, Method, TaskEntry, adapted, context_of
from suite.method.model import HeadedModel, TextToTextModel
from suite.nn.chebyshev import Chebyshev


@dataclass(frozen=True)
class SharedFinetuning(Method):
    """Hard parameter sharing (Caruana, "Multitask Learning", 1997), the losses of the tasks summed
    or, after Hotegni et al. (see `suite.nn.chebyshev`), the largest of them minimised."""

    weighting: str
    violation_penalty: float
    penalty_growth: float
    rounds: int

    def adapt(self, backbone: Backbone, tasks: Sequence[TaskEntry]) -> AdaptedModel:
        """Train the whole network, norms and batch-norm statistics shared by all tasks."""
        backbone.network.requires_grad_(True)
        if self.weighting == "sum":
            return adapted(backbone, tasks, context_of(tasks))
        form = _TextToText if isinstance(backbone, TextToTextBackbone) else _Headed
        model = form(backbone, tasks, context_of(tasks))
        model.parts["weighting"] = Chebyshev(
            list(model.tasks), self.violation_penalty, self.penalty_growth, self.rounds
        )
        return model

    @property
    def steps_alike(self) -> bool:
        """The weighting goes on in rounds."""
        return self.weighting == "sum"

    def penalty(self, model: AdaptedModel, progress: float) -> None:
        """No term of the loss: only the rounds of the weighting go on."""
        if self.weighting == "chebyshev":
            weighting = model.parts["weighting"]
            assert isinstance(weighting, Chebyshev)
            weighting.advance(progress)

    def stored(self, model: AdaptedModel, names: Sequence[str]) -> Sequence[str]:
        """Everything but the bound of the weighting, which only serves training."""
        return [name for name in names if not name.startswith("parts.weighting.")]


class _Weighted(AdaptedModel):
    """What makes a model's loss in training that of the weighting; the class that computes the
    losses of the tasks follows in the order of bases."""

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """Of a batch, which is one of its task alone."""
        own = super().loss(batch, label_smoothing)  # type: ignore[safe-super]
        if not self.training:
            return own
        return self.parts["weighting"]({batch.task: own}, share=1 / len(self.tasks))

    def mixed_loss(self, batch: MixedBatch, label_smoothing: float = 0.0) -> Tensor:
        """The same of the rows of several tasks, in a pass for each."""
        if not self.training:
            return super().mixed_loss(batch, label_smoothing)  # type: ignore[safe-super]
        losses = {}
        for part in batch:
            losses[part.task] = super().loss(part, label_smoothing)  # type: ignore[safe-super]
        return self.parts["weighting"](losses)


class _Headed(_Weighted, HeadedModel):
    pass


class _TextToText(_Weighted, TextToTextModel):
    pass
