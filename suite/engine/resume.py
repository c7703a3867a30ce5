"""What a phase of training changes, as tensors by name, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.engine.checkpoint import Standing
from suite.engine.optimizer import Optimizer
from suite.method import ParameterSet
from suite.method.model import AdaptedModel


@dataclass(frozen=True)
class Resumable:
    """The parts of a phase in training. A phase that is over needs neither its optimizer nor the
    last state of its parameters: the best one is kept."""

    model: AdaptedModel
    parameters: ParameterSet
    optimizer: Optimizer
    total_loss: Tensor

    def capture(
        self,
        step: int,
        best: Sequence[Tensor],
        best_score: float,
        best_validation: dict[str, float],
        *,
        ended: bool,
    ) -> Standing:
        """Where it stands after `step` steps, between two of them; the tensors are its own."""
        stepper = self.optimizer.stepper
        tensors = {f"model/{name}": tensor for name, tensor in self._tensors(ended)}
        if not ended:
            tensors |= {f"optimizer/{name}": tensor for name, _, tensor in self._moments()}
        if stepper is not None:
            tensors |= {f"stepper/{name}": tensor for name, tensor in stepper.state().items()}
        tensors |= {f"best/{number}": tensor for number, tensor in enumerate(best)}
        tensors |= {f"random/{name}": state for name, state in self._generators().items()}
        tensors["total_loss"] = self.total_loss
        return Standing(step, tensors, best_score, best_validation, self.model.measured)

    @torch.no_grad()
    def restore(self, standing: Standing, *, ended: bool) -> list[Tensor]:
        """Put a phase that has been begun anew where it stood; the tensors of its best state."""
        found = standing.tensors
        for name, tensor in self._tensors(ended):
            tensor.copy_(found[f"model/{name}"])
        for name, tensor in found.items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer":
                self._put_moment(rest, tensor)
        stepper = self.optimizer.stepper
        if stepper is not None:
            inner = [name for name in found if name.startswith("stepper/")]
            stepper.restore({name.removeprefix("stepper/"): found[name] for name in inner})
        self.total_loss.copy_(found["total_loss"])
        self.model.measured.clear()
        self.model.measured.update(standing.measured)
        torch.set_rng_state(found["random/cpu"])
        if "random/cuda" in found and self.total_loss.is_cuda:
            torch.cuda.set_rng_state(found["random/cuda"], self.total_loss.device)
        count = sum(name.startswith("best/") for name in found)
        return [found[f"best/{number}"].to(self.total_loss.device) for number in range(count)]

    def _tensors(self, ended: bool) -> list[tuple[str, Tensor]]:
        """Running statistics and whatever else may move, and the parameters that train."""
        stepper = self.optimizer.stepper
        others = self.parameters - stepper.parameters if stepper else self.parameters
        parameters = [(n, p) for n, p in self.model.named_parameters() if p in others]
        return [*self.model.named_buffers(), *([] if ended else parameters)]

    def _moments(self) -> list[tuple[str, Tensor, Tensor]]:
        """(name, parameter, tensor) of all that the optimizer keeps."""
        inner = self.optimizer.inner
        parameters = [p for group in inner.param_groups for p in group["params"]]
        return [
            (f"{number}/{key}", parameter, tensor)
            for number, parameter in enumerate(parameters)
            for key, tensor in inner.state.get(parameter, {}).items()
            if isinstance(tensor, Tensor)
        ]

    def _put_moment(self, name: str, tensor: Tensor) -> None:
        number, key = name.split("/")
        inner = self.optimizer.inner
        parameters = [p for group in inner.param_groups for p in group["params"]]
        parameter = parameters[int(number)]
        # In the memory order of the parameter, as the optimizer made it; counts are scalars.
        alike = tensor.shape == parameter.shape
        own = (
            torch.empty_like(parameter) if alike else torch.empty_like(tensor).to(parameter.device)
        )
        inner.state[parameter][key] = own.copy_(tensor)

    def _generators(self) -> dict[str, Tensor]:
        """Where torch's own generators stand, from which dropout draws."""
        states = {"cpu": torch.get_rng_state()}
        if self.total_loss.is_cuda:
            states["cuda"] = torch.cuda.get_rng_state(self.total_loss.device)
        return states
