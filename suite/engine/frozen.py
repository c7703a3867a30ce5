"""Frozen weights in the type in which they are computed with.

Autocast rounds a frozen float32 weight to bfloat16 in every pass. A layer whose weight only enters
its own product gives the same bits if the weight was rounded once, before the training.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.base import Backbone
from suite.backbones.parameters import ParameterSet
from suite.backbones.precision import rounds
from suite.engine.arithmetic import arithmetic
from suite.engine.training_data import TaskBatches
from suite.method import Method
from suite.method.model import AdaptedModel

PLAIN = (nn.Linear, nn.Conv2d)
"""Layers that do nothing else with their weight and bias. Subclasses may."""
TRIED = 4
"""Examples of every task on which losses must stay the same, bit for bit."""
UNTOUCHED = "frozen weights in float32"


@contextmanager
def frozen_in_bfloat16(
    model: AdaptedModel,
    method: Method,
    pristine: Backbone,
    data: Mapping[str, TaskBatches],
    device: torch.device,
) -> Iterator[tuple[str, ...]]:
    """Keep the frozen weights of plain layers in bfloat16 if that is what the model computes in,
    and give them the values of the `pristine` backbone at the end; what is done, for a reader.

    A method with phases of its own may read them between two: they stay as they are, as they do
    where something besides the layers reads them, which the losses of a few examples show.
    """
    if not rounds(model.precision, device):
        yield ()
        return
    if type(method).phases is not Method.phases:
        yield (f"{UNTOUCHED}: the method has phases of its own",)
        return
    chosen = _of_plain_layers(model)
    if not chosen:
        yield ()
        return
    before = _losses(model, data, device)
    with _hidden(model, chosen):
        alone = torch.equal(_losses(model, data, device), before)
    if not alone:
        yield (f"{UNTOUCHED}: the method reads them",)
        return
    values = dict(pristine.network.named_parameters())
    for parameter in chosen:
        parameter.data = parameter.data.to(torch.bfloat16)
    try:
        same = torch.equal(_losses(model, data, device), before)
        if same:
            yield (f"{sum(p.numel() for p in chosen)} frozen weights in bfloat16",)
    finally:
        for parameter in chosen:
            parameter.data = values[model.backbone.originals[parameter]].detach().clone()
    if not same:
        yield (f"{UNTOUCHED}: rounded once, they give other losses",)


@contextmanager
def _hidden(model: AdaptedModel, chosen: ParameterSet) -> Iterator[None]:
    """Let plain layers alone know these parameters; whoever else reads one finds NaN."""
    values = {id(parameter): parameter.data for parameter in chosen}
    layers = [m for m in model.modules() if type(m) in PLAIN and not chosen.isdisjoint(_own(m))]
    for layer in layers:
        assert isinstance(layer, PLAIN)
        known = {
            name: values.get(id(own), own) for name, own in layer.named_parameters(recurse=False)
        }
        # An attribute of the layer hides the method of its class.
        layer.__dict__["forward"] = partial(_product, layer, known["weight"], known.get("bias"))
    for parameter in chosen:
        parameter.data = parameter.new_tensor(torch.nan).expand(parameter.shape)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]
        for parameter in chosen:
            parameter.data = values[id(parameter)]


def _product(
    layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor | None, x: Tensor
) -> Tensor:
    """What a plain layer gives for x with this weight and bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return layer._conv_forward(x, weight, bias)


def _own(layer: nn.Module) -> ParameterSet:
    return ParameterSet(layer.parameters(recurse=False))


def _of_plain_layers(model: AdaptedModel) -> ParameterSet:
    """The backbone's frozen parameters that nothing but plain layers holds."""
    uses, plain = Counter[int](), Counter[int]()
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                uses[id(parameter)] += 1
                plain[id(parameter)] += type(module) in PLAIN
    return ParameterSet(
        parameter
        for parameter in model.backbone.parameters()
        if not parameter.requires_grad
        and parameter in model.backbone.originals
        and plain[id(parameter)] == uses[id(parameter)]
    )


@torch.no_grad()
def _losses(model: AdaptedModel, data: Mapping[str, TaskBatches], device: torch.device) -> Tensor:
    with arithmetic(model, device):
        batches = (next(own.validation.evaluation(TRIED))[1] for own in data.values())
        return torch.stack([model.loss(batch) for batch in batches])
