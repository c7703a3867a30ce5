"""Methods that train all tasks together compute what their public code does, and store as much."""

import pytest
import torch
from networks import meta_backbone
from public_code import read, write_all
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_tasks
from torch import nn

from suite.backbones.per_task import PerTask, TaskContext
from suite.backbones.sites import Site
from suite.engine.ledger import closed_form
from suite.method.load import load_method
from suite.nn.fusion import FusedAdapters, Fusion
from suite.nn.hypernetwork_pairs import PairedHyperNetworks
from suite.nn.kernels.adapter import adapter
from suite.nn.low_rank import LowRank, MultiTaskLinear

# Of the papers or of public code; T5-base and T5-small with eight tasks.
COUNTS = [
    ("adapters_shared_norms", "t5_base", 14_581_248),
    ("adapters_shared_norms", "t5_small", 3_288_064),
    ("hyperformer_unique", "t5_base", 10_289_376),
    ("hyperformer_unique", "t5_small", 4_730_816),
]


def build(name, family, **changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    return method, method.adapt(tiny_backbone(family), tiny_tasks(family))


@pytest.mark.parametrize(("name", "network", "count"), COUNTS)
def test_built_model_and_closed_form_have_the_published_count(name, network, count):
    entry = ENTRIES[name]
    options = {name: option.default for name, option in entry.options.items()}
    backbone = meta_backbone(network)
    assert sum(closed_form(entry.cost, backbone, 8, options, {})) == count
    with torch.device("meta"):
        model = load_method(entry, options).adapt(backbone, tiny_tasks("t5", 8))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


def test_adapters_with_shared_norms_are_those_of_the_public_code():
    inputs, outputs = read("adapters_shared_norms", torch.float64)
    _, model = build("adapters_shared_norms", "t5", reduction=4, norm_start=1.0)
    model.double()
    sites = model.backbone.of_kind("attention", "feed_forward")
    layers = [model.backbone.module(site)[0] for site in sites]
    assert len(layers) == 8
    names = {"norm.weight": "post_layer_norm.weight", "norm.bias": "post_layer_norm.bias"}
    for task in "ab":
        for end in ("weight", "bias"):
            for part in ("down", "up"):
                names[f"adapters.by_task.{task}.{part}.{end}"] = (
                    f"adapters.{task}.{part}_sampler.{end}"
                )
    write_all(layers[0], inputs["weights"], names)
    for task in "ab":
        model.context.activate(task)
        torch.testing.assert_close(layers[0](inputs["x"]), outputs[task])


def test_one_hypernetwork_a_kind_generates_the_adapters_of_the_public_code():
    inputs, outputs = read("hyperformer_unique", torch.float64)
    kinds = ("attention", "feed_forward")
    sites = [Site("", kind, "encoder", layer, 6) for layer in range(2) for kind in kinds]
    network = PairedHyperNetworks(TaskContext("a"), sites, 2, 3, 5, 4).double()
    public = inputs["weights"]
    generator = "task_hypernet.task_embeding_generator"
    plain = {
        "layers.weight": "layer_id_embeddings.weight",
        "projector.0.weight": f"{generator}.0.weight",
        "projector.0.bias": f"{generator}.0.bias",
        "projector.2.weight": f"{generator}.2.weight",
        "projector.2.bias": f"{generator}.2.bias",
        "norm.weight": "LayerNorm.weight",
        "norm.bias": "LayerNorm.bias",
    }
    parts = (
        "up_sampler_hyper_net.weight_generator.0",
        "up_sampler_hyper_net.bias_generator.0",
        "down_sampler_hyper_net.weight_generator.0",
        "down_sampler_hyper_net.bias_generator.0",
        "post_layernorm_hypernet.weight_generator",
        "post_layernorm_hypernet.bias_generator",
    )
    generators = {
        end: [
            f"{kind}_{part}.{end}" for kind in ("feed_forward", "self_attention") for part in parts
        ]
        for end in ("weight", "bias")
    }
    tensors = {name: public[name] for name in plain.values()} | {
        end: torch.cat([public[name] for name in names]) for end, names in generators.items()
    }
    assert public.keys() == {*plain.values(), *generators["weight"], *generators["bias"]}
    own = {"generator.weight": "weight", "generator.bias": "bias"}
    write_all(network.stacks["encoder"], tensors, plain | own)
    for site, weights in zip(sites, network(inputs["task_embedding"]), strict=True):
        output = adapter(inputs["x"], weights, "post")
        torch.testing.assert_close(output, outputs[str(site.layer)][site.kind])


def test_mtlora_adds_a_shared_and_a_task_s_own_change_as_the_public_code_does():
    inputs, outputs = read("mtlora", torch.float64)
    weights = inputs["weights"]
    base = nn.Linear(5, 4).double()
    shared = LowRank(base, rank=3, scale=4.0)
    context = TaskContext("ab")
    own = PerTask(context, {task: LowRank(base, rank=2, scale=2.0) for task in "ab"})
    layer = MultiTaskLinear(base, shared, own, dropout=0.0).double()
    names = {"weight": "linear.weight", "bias": "linear.bias"}
    for part in "ab":
        names[f"shared.{part}"] = f"lora_shared_{part.upper()}"
        for task in "ab":
            names[f"own.by_task.{task}.{part}"] = f"lora_tasks_{part.upper()}.{task}"
    write_all(layer, weights, names)
    for task in "ab":
        context.activate(task)
        torch.testing.assert_close(layer(inputs["x"]), outputs[task])
    alone = MultiTaskLinear(base, shared, None, dropout=0.0)
    torch.testing.assert_close(alone(inputs["x"]), outputs["shared"])


@pytest.mark.parametrize(("task_blocks", "specialised"), [("all", 32), ("last", 16)])
def test_mtlora_gives_tasks_changes_of_their_own_in_all_blocks_or_the_last(
    task_blocks, specialised
):
    """Six linear layers in each of two encoder blocks, ten in each of two decoder blocks."""
    _, model = build("mtlora", "t5", task_blocks=task_blocks)
    layers = [module for module in model.modules() if isinstance(module, MultiTaskLinear)]
    assert len(layers) == 32
    assert sum(layer.own is not None for layer in layers) == specialised


def test_a_fusion_is_that_of_the_public_code():
    inputs, outputs = read("adapter_fusion", torch.float64)
    fusion = Fusion(5).double()
    torch.testing.assert_close(fusion.value.weight.detach(), outputs["first_value"])
    names = {name: name for name, _ in fusion.named_parameters()}
    # A bias of the keys adds the same to every score, so that the public one changes nothing.
    weights = {name: tensor for name, tensor in inputs["weights"].items() if name != "key.bias"}
    write_all(fusion, weights, names)
    fused = inputs["y"] + fusion(inputs["y"], inputs["changes"])
    torch.testing.assert_close(fused, outputs["fused"])
    identity = torch.eye(5, dtype=torch.float64)
    expected = (weights["value.weight"] - identity).square().sum()
    torch.testing.assert_close(fusion.distance(), expected)


def test_adapter_fusion_trains_adapters_one_by_one_and_then_only_fusions():
    method, model = build("adapter_fusion", "bert")
    phases = method.phases(model)
    assert [phase.tasks for phase in phases] == [("a",), ("b",), ("a",), ("b",)]
    for phase, part in zip(phases, ("adapters.", "adapters.", "by_task.", "by_task."), strict=True):
        trained = {name for name, p in model.named_parameters() if p in phase.parameters}
        (task,) = phase.tasks
        layers = {name for name, _ in model.named_parameters() if f".{part}{task}." in name}
        heads = {name for name, _ in model.heads.named_parameters("heads") if f".{task}." in name}
        assert trained == layers | heads
        assert heads < trained


def test_while_adapters_train_they_are_alone_and_then_each_task_reads_all():
    method, model = build("adapter_fusion", "bert")
    first, *_, last = method.phases(model)
    layer = next(module for module in model.modules() if isinstance(module, FusedAdapters))
    y = torch.randn(2, 3, 16)
    reads_b = []
    for phase in (first, last):
        phase.prepare()
        model.context.activate("a")
        before = layer(y)
        with torch.no_grad():
            layer.adapters["b"][2].bias.add_(1.0)
        reads_b.append(not torch.equal(layer(y), before))
    assert reads_b == [False, True]
