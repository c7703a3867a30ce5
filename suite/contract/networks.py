"""Checks whether a backbone keeps its promises to methods: what its sites are, and that what a
method does there has the effect that it pays for."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from suite.backbones.base import Backbone
from suite.backbones.layers import is_norm
from suite.backbones.probe import Examples, answer, random_examples, site_faults
from suite.data.batching import Batch
from suite.engine.delta import stored_tensors
from suite.engine.guards import cost_fault, network_gradients, without_effect
from suite.engine.workspace import adapt_model
from suite.errors import Unsupported
from suite.method import Method
from suite.method.load import load_method
from suite.method.model import AdaptedModel
from suite.registry.options import default_options
from suite.registry.schema import (
    BackboneEntry,
    MethodEntry,
    OptionValue,
    Scale,
    SiteKind,
    TaskEntry,
)
from suite.registry.schema.task import Classification, Sources, Text

SEED = 1
DRAWS = 5
"""How often tensors are moved before they are said to be without effect: a few units with a ReLU
may all be off for two examples."""
NOISE = 0.05
"""Standard deviation of what moves tensors from where they start, beside their own."""
SAME = 1e-3
"""Largest difference between outputs that are the same but for rounding, relative to the largest of
them."""
ZERO = SAME / 10
"""The same for a method that is said to start at zero, on networks that are known to be sound."""
WEIGHTS: tuple[SiteKind, ...] = ("conv", "linear", "patch_embedding", "head")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of a backbone."""

    check: str
    fault: str = ""
    """What is wrong; empty if the backbone keeps this promise."""
    note: str = ""
    """What a reader may want to know."""


def check_backbone(
    backbone: Backbone, methods: Collection[MethodEntry], references: Collection[Backbone]
) -> Iterator[Finding]:
    """Every check of a backbone, with those of the methods that are defined on its family; those of
    its sites alone if one of them is not what it claims.

    `references` are known to be sound: on them it shows which methods start at zero.
    """
    faults = list(site_faults(backbone))
    yield Finding("sites", "; ".join(faults[:3]), _counted(backbone))
    if faults:
        return
    yield Finding("layers at sites", _outside(backbone))
    yield Finding("weights matter", _idle(backbone))
    for entry in methods:
        refusal = entry.refusal(backbone.family)
        if refusal:
            yield Finding(entry.name, note=f"unsupported: {refusal}")
        else:
            yield _with_method(entry, backbone, references)


def _counted(backbone: Backbone) -> str:
    kinds = [site.kind for site in backbone.sites]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _outside(backbone: Backbone) -> str:
    """A norm, a convolution or a linear layer that no site names, in words."""
    named = {site.name for site in backbone.of_kind("norm", *WEIGHTS)}
    for name, module in backbone.network.named_modules():
        layer = isinstance(module, nn.Conv2d | nn.Linear) or is_norm(module)
        if layer and name not in named:
            return f"{name} ({type(module).__name__}) is at no site: no method would change it"
    return ""


def _idle(backbone: Backbone) -> str:
    """A layer at a site whose weight the answers do not depend on, in words."""
    own = backbone.fresh()
    own.network.requires_grad_(True)
    answer(own, random_examples(own)).float().square().sum().backward()
    for site in own.of_kind("norm", *WEIGHTS):
        weight = own.module(site).get_parameter("weight")
        if weight.grad is None or not weight.grad.any():
            return f"the answers do not depend on {site.name}.weight"
    return ""


def _with_method(
    entry: MethodEntry, backbone: Backbone, references: Collection[Backbone]
) -> Finding:
    """What a method at its default settings finds: a fault, or that it does not apply."""
    options = default_options(entry, backbone.entry.scale)
    method = load_method(entry, options)
    try:
        return Finding(entry.name, _method_fault(entry, method, options, backbone, references))
    except Unsupported as refusal:
        return Finding(entry.name, note=f"unsupported: {refusal}")
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return Finding(entry.name, f"raises {type(error).__name__}: {reason}")


def _method_fault(
    entry: MethodEntry,
    method: Method,
    options: Mapping[str, OptionValue],
    backbone: Backbone,
    references: Collection[Backbone],
) -> str:
    adapt = partial(_adapted, entry, method)
    examples = random_examples(backbone)
    if starts_at_zero(entry, references):
        moved = _moved(backbone, adapt(backbone), examples)
        if moved > SAME:
            return (
                f"before any training its answers differ by {moved:.2g} of the largest: a layer "
                "that it replaces did something else"
            )
    idle: list[str] | None = None
    for seed in range(SEED, SEED + DRAWS):
        found = _idle_tensors(adapt(backbone), method, examples, seed)
        idle = found if idle is None else [name for name in idle if name in found]
        if not idle:
            break
    if idle:
        return without_effect(idle, backbone)
    return (
        cost_fault(adapt(backbone), method, entry, options, backbone) if entry.cost_stated else ""
    )


def _idle_tensors(model: AdaptedModel, method: Method, examples: Examples, seed: int) -> list[str]:
    """The stored tensors inside the network that train, but get no gradient once all are moved."""
    none = torch.zeros(0)
    batches = [Batch(task, examples.inputs, none, examples.answers) for task in model.tasks]
    _shake(model, method, seed)
    gradients = network_gradients(model.eval(), method, batches)
    return [name for name, found in gradients.items() if not any(map(torch.any, found))]


def starts_at_zero(entry: MethodEntry, references: Collection[Backbone]) -> bool:
    """Whether a method's fresh model answers as the network does, on all references that it
    claims."""
    own = [reference for reference in references if not entry.refusal(reference.family)]
    return bool(own) and all(_starts_at_zero(entry, reference) for reference in own)


_known: dict[tuple[object, ...], bool] = {}


def _starts_at_zero(entry: MethodEntry, reference: Backbone) -> bool:
    key = (entry.path, entry.name, reference.entry.name)
    if key not in _known:
        method = load_method(entry, default_options(entry, Scale.MINI))
        try:
            model = _adapted(entry, method, reference)
            _known[key] = _moved(reference, model, random_examples(reference)) <= ZERO
        except Unsupported:
            _known[key] = False
    return _known[key]


def _moved(backbone: Backbone, model: AdaptedModel, examples: Examples) -> float:
    """How far a model's features or logits are from the network's, relative to the largest."""
    with torch.no_grad():
        before = answer(backbone.eval(), examples)
        model.context.activate(next(iter(model.tasks)))
        after = answer(model.backbone.eval(), examples)
    return float((after - before).abs().max() / before.abs().max())


def _shake(model: AdaptedModel, method: Method, seed: int) -> None:
    """Move what trains and is stored a little: at zero, one factor of a product has no gradient."""
    draw = torch.Generator().manual_seed(seed)
    stored = stored_tensors(model, method)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name in stored:
                own = float(parameter.std()) if parameter.numel() > 1 else 0.0
                parameter.add_(NOISE * (1 + own) * torch.randn(parameter.shape, generator=draw))


def _adapted(entry: MethodEntry, method: Method, backbone: Backbone) -> AdaptedModel:
    tasks = _tasks(backbone.entry, 2 if entry.regime == "joint" else 1)
    return adapt_model(method, backbone, tasks, SEED, torch.device("cpu"))


def _tasks(entry: BackboneEntry, count: int) -> list[TaskEntry]:
    """Tasks of three classes in the backbone's modality."""
    text = Text(columns=("text",), template="{text}") if entry.modality == "text" else None
    return [
        TaskEntry(
            schema=1,
            name=name,
            description="Random examples.",
            modality=entry.modality,
            output=Classification(type="classification", labels=("x", "y", "z")),
            metrics=("accuracy",),
            text=text,
            sources=Sources(),
            licence="none",
        )
        for name in ("first", "second")[:count]
    ]
