"""Checks of a method's cost: what is counted, and under which heading."""

import dataclasses
from collections.abc import Iterator

from torch import nn

from suite.backbones.per_task import PerTask
from suite.contract.answers import outputs
from suite.contract.fixture import Bench, Fault
from suite.engine.delta import stored_tensors
from suite.engine.ledger import closed_form, count, disagreement, parameters
from suite.errors import Unsupported
from suite.method.load import load_method
from suite.method.model import AdaptedModel, HeadedModel, output_size
from suite.registry.expression import parse
from suite.registry.schema import Option, OptionValue, TaskEntry


def ledger_equals_closed_form(bench: Bench, model: AdaptedModel) -> None:
    """The saved file holds what the YAML states, and something if it states anything."""
    require_stated_cost(bench, model)
    ledger = count(bench.folder / "ledger.safetensors")
    cost = bench.entry.cost
    if (cost.shared or cost.per_task) and not (
        ledger.shared_bits or any(ledger.task_bits.values())
    ):
        kinds = ", ".join(dict.fromkeys(site.kind for site in bench.backbone.sites))
        raise Fault(
            f"nothing but heads is stored on {bench.backbone.family}, although the YAML states a "
            f"cost: the sites of this family are {kinds}"
        )


def cost_holds_for_one_task(bench: Bench, model: AdaptedModel) -> None:
    """A joint method's closed form is right for other numbers of tasks."""
    if bench.entry.regime == "joint":
        alone = bench.tasks[:1]
        single = dataclasses.replace(bench, tasks=alone)
        require_stated_cost(single, single.adapt(alone), " (a cell of one task)")


def cost_holds_for_other_options(bench: Bench, model: AdaptedModel) -> None:
    """The closed form follows every option, tried one at a time on the untrained model."""
    for name, value in _other_values(bench):
        options = {**bench.options, name: value}
        try:
            other = dataclasses.replace(
                bench, options=options, method=load_method(bench.entry, options)
            )
            untrained = other.adapt(bench.served)
        except Unsupported:
            continue
        except ValueError:
            # A number invented here may be invalid; a choice that the YAML offers may not.
            if bench.entry.options[name].choices:
                raise
            continue
        require_stated_cost(other, untrained, f" (with {name}: {value})")


def only_outputs_are_heads(bench: Bench, model: AdaptedModel) -> None:
    """Heads and running statistics are not counted: nothing else may be stored as one of them."""
    own = {f"backbone.network.{site.name}" for site in bench.backbone.of_kind("head")}
    heads = model.heads if isinstance(model, HeadedModel) else None
    if heads is not None:
        for task, head in heads.by_task.items():
            stored = sum(tensor.numel() for tensor in head.state_dict().values())
            linear = output_size(model.tasks[task]) * (bench.backbone.width + 1)
            if stored != linear:
                raise Fault(
                    f"the head of {task} stores {stored:,} numbers, a linear one {linear:,}: "
                    "the rest is part of the method's cost"
                )
    statistics = set()
    for name, module in model.named_modules():
        passed_off = isinstance(module, PerTask) and module.head and module is not heads
        if passed_off and not any(f"{name}.".startswith(f"{head}.") for head in own):
            raise Fault(f"{name} is stored as a head, and is neither the model's nor a head site")
        if isinstance(module, nn.modules.batchnorm._NormBase):
            statistics |= {inner for inner, _ in module.named_buffers(name)}
    buffers = dict(model.named_buffers())
    for name in stored_tensors(model, bench.method):
        buffer = buffers.get(name)
        if buffer is not None and buffer.is_floating_point() and name not in statistics:
            raise Fault(f"{name} would be stored as a running statistic: make it a parameter")


def statistics_are_used(bench: Bench, model: AdaptedModel) -> None:
    """Running statistics are not counted: they must belong to norms that answers pass through."""
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
    }
    ran: set[nn.Module] = set()
    hooks = [norm.register_forward_hook(lambda own, *_: ran.add(own)) for norm in norms.values()]
    for task in bench.served:
        outputs(model, bench.batch(task))
    for hook in hooks:
        hook.remove()
    stored = stored_tensors(model, bench.method)
    for name, norm in norms.items():
        if norm not in ran and f"{name}.running_mean" in stored:
            raise Fault(f"{name}.running_mean is stored as a statistic of a norm that never runs")


def facts_are_declared(bench: Bench, model: AdaptedModel) -> None:
    """`facts` reports what the YAML explains; facts in the cost hold for the stored model."""
    facts = bench.method.facts(model)
    reported = {name.split("@")[0] for name in facts}
    yaml = bench.entry.path.name
    for name in sorted(reported ^ set(bench.entry.facts)):
        raise Fault(
            f"facts() reports '{name}', which {yaml} does not list under facts"
            if name in reported
            else f"{yaml} lists '{name}' under facts, which facts() does not report"
        )
    restored = bench.restore(bench.save(model, "facts"), bench.served)
    again = bench.method.facts(restored)
    terms = (*bench.entry.cost.shared, *bench.entry.cost.per_task)
    used = {name for term in terms for name in parse(term.count).names}
    for name, value in facts.items():
        if name.split("@")[0] in used and again.get(name) != value:
            raise Fault(
                f"the fact {name} is {value:g} after training, {again.get(name, 0):g} of the "
                "same model loaded from its file"
            )


def require_stated_cost(bench: Bench, model: AdaptedModel, where: str = "") -> None:
    """Raise `Fault` if the model's file holds something else than the closed form gives."""
    tasks: tuple[TaskEntry, ...] = tuple(model.tasks.values())
    expected = closed_form(
        bench.entry.cost, bench.backbone, len(tasks), bench.options, bench.method.facts(model)
    )
    counted = parameters(bench.save(model, "ledger"))
    difference = disagreement(counted, expected, bench.entry.path.name)
    if difference:
        raise Fault(difference + where)


def _other_values(bench: Bench) -> Iterator[tuple[str, OptionValue]]:
    for name, option in bench.entry.options.items():
        for value in _others(option, bench.options[name]):
            yield name, value


def _others(option: Option, value: OptionValue) -> tuple[OptionValue, ...]:
    if option.choices:
        return tuple(choice for choice in option.choices if choice != value)
    if isinstance(value, bool):
        return (not value,)
    return (2 * value,) if isinstance(value, int) else ()
