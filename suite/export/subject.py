"""What is exported: a cell's model as it serves one task, and how to see that a copy is equal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from suite.backbones.base import Backbone, TextBackbone, TextToTextBackbone
from suite.console import shown
from suite.data.encode import encode_questions
from suite.engine.content import Origin
from suite.engine.predictor import load_predictor
from suite.errors import UserError
from suite.method.model import AdaptedModel, HeadedModel, TextToTextModel, adapted, context_of
from suite.registry import Registry
from suite.registry.names import did_you_mean
from suite.registry.schema import TaskEntry
from suite.results.folder import delta_path
from suite.results.records import Result

ROWS, TOKENS = 4, 12
"""Size of the inputs on which two models are compared."""


class NotHeld(UserError):
    """A form cannot hold a model; says why."""


@dataclass(frozen=True)
class Subject:
    """A model on the CPU, `task` being active, and the backbone from which it was made."""

    result: Result
    origin: Origin
    model: AdaptedModel
    pristine: Backbone
    task: TaskEntry

    @property
    def network(self) -> nn.Module:
        """The backbone's network as the method has changed it."""
        return self.model.backbone.network

    @property
    def head(self) -> nn.Linear | None:
        """The task's output layer; None where the network writes the answer."""
        if self.model.heads is None:
            return None
        head = self.model.heads.by_task[self.task.name]
        assert isinstance(head, nn.Linear), "a head stays one linear layer"
        return head

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest answer that the task allows a text-to-text network."""
        assert self.task.text is not None
        columns = {name: [""] for name in self.task.text.columns}
        ids = encode_questions(self.task, columns, self.pristine, 1).target_ids
        assert ids is not None
        return ids.shape[1]

    def difference(self, network: nn.Module) -> float:
        """How far the outputs of the same model around another network are from this one's on
        random inputs, at most, in units of the largest output."""
        backbone = self.pristine.fresh()
        backbone.network = network
        other = adapted(backbone, [self.task], context_of([self.task])).eval()
        if self.head is not None and other.heads is not None:
            other.heads.by_task[self.task.name].load_state_dict(self.head.state_dict())
        own, found = outputs(self.model, self.pristine), outputs(other, self.pristine)
        return float((own - found).abs().max() / own.abs().max())


def subject_of(result: Result, out: Path, task: str | None, registry: Registry) -> Subject:
    """The model of a result, from its delta below the output folder `out`.

    Raises `UserError` if the cell failed, its delta is gone or fits no longer, or if it serves
    several tasks and `task` names none of them.
    """
    cell = result.cell
    if result.status != "ok":
        raise UserError(f"{cell.label}: {result.status}: {result.reason}; there is no model")
    chosen = task or cell.tasks[0]
    if task is None and len(cell.tasks) > 1:
        raise UserError(f"say --task: {cell.label} serves {', '.join(cell.tasks)}")
    if chosen not in cell.tasks:
        near = did_you_mean(chosen, cell.tasks)
        raise UserError(
            f"--task {chosen}: {cell.label} does not serve it{near}; it serves "
            f"{', '.join(cell.tasks)}"
        )
    delta = delta_path(out, cell)
    if not delta.is_file():
        raise UserError(f"{cell.label}: its delta is gone: there is no {shown(delta)}")
    predictor = load_predictor(delta, registry, "cpu")
    predictor.model.context.activate(chosen)
    return Subject(
        result, predictor.origin, predictor.model, predictor.backbone, predictor.tasks[chosen]
    )


def random_inputs(backbone: Backbone) -> dict[str, Tensor]:
    """Inputs of the network by name, the same at every call: images [B, 3, H, W] of random pixels,
    or random tokens [B, L], the last text being shorter than the others."""
    draw = torch.Generator().manual_seed(0)
    if not isinstance(backbone, TextBackbone):
        size = backbone.entry.image_size
        assert size is not None, "an image backbone states its image size"
        return {"image": torch.randn(ROWS, 3, size, size, generator=draw)}
    vocabulary = backbone.network.config.vocab_size
    mask = torch.ones(ROWS, TOKENS, dtype=torch.int64)
    mask[-1, TOKENS // 2 :] = 0
    made = {
        "input_ids": torch.randint(0, vocabulary, (ROWS, TOKENS), generator=draw),
        "attention_mask": mask,
        "token_type_ids": torch.zeros(ROWS, TOKENS, dtype=torch.int64),
    }
    return {name: made[name] for name in backbone.tokenizer.model_input_names}


@torch.no_grad()
def outputs(model: AdaptedModel, backbone: Backbone) -> Tensor:
    """Logits or numbers of the active task on `random_inputs`; of a text-to-text network those of
    every token of a random answer."""
    inputs: Mapping[str, Tensor] = random_inputs(backbone)
    if isinstance(model, TextToTextModel):
        return model(inputs, inputs["input_ids"][:, :3])
    assert isinstance(model, HeadedModel)
    return model(inputs)


def writes_text(subject: Subject) -> bool:
    """Whether the network writes its answer."""
    return isinstance(subject.pristine, TextToTextBackbone)
