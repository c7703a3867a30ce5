"""A model as a traced program of torch, whatever layers a method has put into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from suite.backbones.base import TextBackbone
from suite.backbones.writers import DecoderBackbone
from suite.export.subject import NotHeld, Subject, outputs, random_inputs, writes_text
from suite.method.model import HeadedModel

FILE = "model.pt2"
MULTIPLE = 8
"""Texts are padded to a multiple of so many tokens: networks treat one or two otherwise."""
LIMIT = 1e-5
"""Largest relative difference of outputs that rounding explains."""
_UNTRACEABLE = (RuntimeError, ValueError, AssertionError, TypeError)
"""What torch raises for code that it cannot trace."""


@dataclass(frozen=True)
class Program:
    """A written program: how far its outputs are from the model's, relative to the largest, and
    whether it takes one example at a time, because a layer of the method looks at the number."""

    difference: float
    one_by_one: bool


class _Function(nn.Module):
    """The model as a function of tensors."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.model = subject.model
        self.names = tuple(random_inputs(subject.pristine))

    def forward(self, *tensors: Tensor) -> Tensor:
        """The inputs in the order of `names`, then, if the network writes its answer, that so far
        [B, M]; gives logits or numbers [B, outputs], or [B, M, vocabulary]."""
        inputs: Mapping[str, Tensor] = dict(zip(self.names, tensors, strict=False))
        if isinstance(self.model, HeadedModel):
            return self.model(inputs)
        network: Any = self.model.backbone.network
        return network(**inputs, decoder_input_ids=tensors[-1], use_cache=False).logits


def write_program(subject: Subject, folder: Path) -> Program:
    """Write `model.pt2`, which takes texts of any length up to the cell's.

    Raises `NotHeld` if the model cannot be traced or the program answers otherwise.
    """
    name = f"{subject.result.cell.name} on {subject.pristine.entry.name}"
    arguments = [*random_inputs(subject.pristine).values()]
    if isinstance(subject.pristine, DecoderBackbone):
        raise NotHeld(
            f"{name}: a network that goes on with its source is not written as a program; --to "
            "peft holds what has the form of an adapter"
        )
    if writes_text(subject):
        network: Any = subject.pristine.network
        arguments.append(network.prepare_decoder_input_ids_from_labels(labels=arguments[0][:, :3]))
    one_by_one = False
    try:
        program = _traced(subject, arguments, Dim("batch"))
    except _UNTRACEABLE:
        one_by_one = True
        try:
            program = _traced(subject, [tensor[:1] for tensor in arguments], Dim.STATIC)
        except _UNTRACEABLE as error:
            reason = str(error).strip().partition("\n")[0]
            raise NotHeld(f"{name}: torch cannot trace it ({reason})") from error
    torch.export.save(program, folder / FILE)
    function = torch.export.load(folder / FILE).module()
    size = 1 if one_by_one else len(arguments[0])
    batches = zip(*(tensor.split(size) for tensor in arguments), strict=True)
    with torch.no_grad():
        found = torch.cat([function(*batch) for batch in batches])
    expected = outputs(subject.model, subject.pristine)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= LIMIT:
        raise NotHeld(f"{name}: traced, it answers otherwise (by {difference:.1g} of the largest)")
    return Program(difference, one_by_one)


def _longest(subject: Subject) -> int:
    """Tokens of the longest padded text: as in the cell, but no more than there are positions."""
    network: Any = subject.pristine.network
    padded = -(-subject.origin.max_length // MULTIPLE) * MULTIPLE
    positions = getattr(network.config, "max_position_embeddings", padded)
    return max(2 * MULTIPLE, min(padded, positions // MULTIPLE * MULTIPLE))


@torch.no_grad()
def _traced(subject: Subject, arguments: Sequence[Tensor], batch: Any) -> ExportedProgram:
    shapes: list[dict[int, Any]] = [{0: batch} for _ in arguments]
    if isinstance(subject.pristine, TextBackbone):
        length = Dim("length", min=MULTIPLE, max=_longest(subject))
        for shape in shapes:
            shape[1] = length
    if writes_text(subject):
        shapes[-1][1] = Dim("answer")
    return torch.export.export(
        _Function(subject), tuple(arguments), dynamic_shapes=(tuple(shapes),), strict=False
    )
