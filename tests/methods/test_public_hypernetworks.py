"""Hypernetworks generate the adapters that public code does, with the same gradients."""

import torch
from public_code import CLOSE, read

from suite.backbones.per_task import TaskContext
from suite.backbones.sites import Site
from suite.nn.hypernetwork import SiteHyperNetworks, StackHyperNetwork
from suite.nn.kernels.adapter import adapter

GENERATORS = ("up.weight", "up.bias", "down.weight", "down.bias", "norm.weight", "norm.bias")
"""The kinds of tensor an adapter has, in the order of a generator's rows."""
SHARED = {
    "up": "up_sampler_hyper_net.{}_generator.0",
    "down": "down_sampler_hyper_net.{}_generator.0",
    "norm": "post_layernorm_hypernet.{}_generator",
}
OF_A_SITE = {
    "up": "meta_up_sampler.{}_generator.0",
    "down": "meta_down_sampler.{}_generator.0",
    "norm": "post_layernorm_hypernet.{}_generator",
}


def rows(state, names, end):
    """The rows of all generators of an adapter as one matrix, or their biases as one vector."""
    layers = (names[part].format(kind) for part, kind in (own.split(".") for own in GENERATORS))
    return torch.cat([state[f"{layer}.{end}"] for layer in layers])


def test_hyperformer_pp_generates_the_adapters_of_the_public_code():
    inputs, outputs = read("hyperformer_pp")
    state, task = inputs["state"], inputs["task"].requires_grad_()
    network = StackHyperNetwork(2, 8, 4, 2, 3, 3)
    values = {
        "layers.weight": state["layer_id_embeddings.weight"],
        "positions.weight": state["adapters_block_type.weight"],
        "norm.weight": state["LayerNorm.weight"],
        "norm.bias": state["LayerNorm.bias"],
    }
    for end in ("weight", "bias"):
        values[f"generator.{end}"] = rows(state, SHARED, end)
        for layer in (0, 2):
            public = f"task_hypernet.task_embeding_generator.{layer}.{end}"
            values[f"projector.{layer}.{end}"] = state[public]
    network.load_state_dict(values)

    total = 0
    adapters = network(task)
    for layer in range(2):
        for position, kind in enumerate(("feed_forward", "attention")):
            y = adapter(inputs["y"], adapters[2 * layer + position], "post")
            torch.testing.assert_close(y.detach(), outputs[f"{layer}.{kind}"], **CLOSE)
            total = total + (y * inputs["direction"][layer, position]).sum()
    total.backward()
    gradients = outputs["gradients"]
    torch.testing.assert_close(task.grad, gradients["task"], **CLOSE)
    expected = gradients["layer_id_embeddings.weight"]
    torch.testing.assert_close(network.layers.weight.grad, expected, **CLOSE)
    expected = gradients["adapters_block_type.weight"]
    torch.testing.assert_close(network.positions.weight.grad, expected, **CLOSE)
    for end in ("weight", "bias"):
        own = getattr(network.generator, end).grad
        torch.testing.assert_close(own, rows(gradients, SHARED, end), **CLOSE)


def test_hyperformer_generates_the_adapters_of_the_public_code():
    inputs, outputs = read("hyperformer")
    kinds = ("attention", "feed_forward")
    sites = [Site(kind, kind, "encoder", 0, 8) for kind in kinds]
    network = SiteHyperNetworks(TaskContext(["a"]), sites, 4, 2, 3, 3)
    embedding = inputs["embedding"]
    values = {"tasks.by_task.a.vector": embedding["task_to_embeddings.a"]}
    for end in ("weight", "bias"):
        own = [rows(inputs[kind], OF_A_SITE, end) for kind in kinds]
        values[f"generator.{end}"] = torch.cat(own)
        for layer in (0, 2):
            public = f"task_hyper_net.task_embeding_generator.{layer}.{end}"
            values[f"projector.{layer}.{end}"] = embedding[public]
    network.load_state_dict(values)

    adapters = network(network.tasks())
    total = 0
    for kind, weights, direction in zip(kinds, adapters, inputs["direction"], strict=True):
        y = adapter(inputs["y"], weights, "post")
        torch.testing.assert_close(y.detach(), outputs["outputs"][kind], **CLOSE)
        total = total + (y * direction).sum()
    total.backward()
    gradients = outputs["gradients"]
    vector = network.tasks.by_task["a"].vector
    torch.testing.assert_close(vector.grad, gradients["task_to_embeddings.a"], **CLOSE)
    for end in ("weight", "bias"):
        own = getattr(network.generator, end).grad
        expected = []
        for kind in kinds:
            start = f"{kind}."
            of_site = {
                n.removeprefix(start): g for n, g in gradients.items() if n.startswith(start)
            }
            expected.append(rows(of_site, OF_A_SITE, end))
        torch.testing.assert_close(own, torch.cat(expected), **CLOSE)
