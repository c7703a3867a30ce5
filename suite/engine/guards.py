"""What must hold of a method on a backbone, looked at before anything trains."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from suite.backbones.base import Backbone
from suite.data.batching import Batch
from suite.engine.delta import stored_parameters, stored_tensors
from suite.engine.ledger import closed_form, disagreement
from suite.method import Method
from suite.method.model import AdaptedModel
from suite.registry.expression import Value
from suite.registry.schema import MethodEntry


def fault(
    model: AdaptedModel,
    method: Method,
    entry: MethodEntry,
    options: Mapping[str, Value],
    pristine: Backbone,
    batches: Sequence[Batch],
) -> str:
    """Why a freshly adapted model could only be trained in vain, in words; empty if it can.

    `batches` has one of every task. The model is used up: what it stores may be packed.
    """
    useless = unreached(model, method, batches)
    if useless:
        return without_effect(useless, pristine)
    if not entry.cost_stated:
        return ""
    return cost_fault(model, method, entry, options, pristine)


def unreached(model: AdaptedModel, method: Method, batches: Sequence[Batch]) -> list[str]:
    """The stored tensors inside the network that train, but get no gradient from the answers to a
    batch of every task. A method's other parts may be for a later phase."""
    gradients = network_gradients(model.train(), method, batches)
    return [name for name, found in gradients.items() if not found]


def network_gradients(
    model: AdaptedModel, method: Method, batches: Sequence[Batch]
) -> dict[str, list[Tensor]]:
    """The gradients that the answers to batches of every task give to each stored tensor inside the
    network that trains; none from a batch whose answers do not depend on it."""
    stored = stored_tensors(model, method)
    trained = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith("backbone.") and name in stored and parameter.requires_grad
    }
    found: dict[str, list[Tensor]] = {name: [] for name in trained}
    for batch in batches if trained else ():
        model.context.activate(batch.task)
        answers = model(batch.inputs, *([] if model.heads else [batch.target_ids]))
        total = answers.float().square().sum()
        if not total.requires_grad:
            continue
        gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
        for name, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                found[name].append(gradient)
    return found


def without_effect(names: Sequence[str], pristine: Backbone) -> str:
    """That tensors do nothing, in words."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"{names[0]}{more} would be trained and stored without effect: {pristine.entry.name} does "
        "not use the layer in its place"
    )


def cost_fault(
    model: AdaptedModel,
    method: Method,
    entry: MethodEntry,
    options: Mapping[str, Value],
    pristine: Backbone,
) -> str:
    """How what a model would store differs from the closed form, in words; empty if it does not."""
    expected = closed_form(entry.cost, pristine, len(model.tasks), options, method.facts(model))
    counted = stored_parameters(model, method, entry.regime)
    return disagreement(counted, expected, entry.path.name)
