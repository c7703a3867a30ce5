"""HyperFormer against its equations, and how often it generates."""

from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_backbone, tiny_batch, tiny_tasks

from suite.backbones.per_task import TaskContext
from suite.backbones.sites import Site
from suite.method import adapted, context_of
from suite.nn.hypernetwork import GeneratedAdapter, SharedHyperNetworks, SiteHyperNetworks

BOTTLENECK, HIDDEN, PROJECTED, EMBEDDING = 4, 10, 6, 5
FAMILIES = ("t5", "bert", "vit")
FORMS = (SiteHyperNetworks, SharedHyperNetworks)


def build(form, family):
    backbone = tiny_backbone(family)
    tasks = tiny_tasks(family, 2)
    context = context_of(tasks)
    sites = backbone.of_kind("attention", "feed_forward")
    torch.manual_seed(0)
    network = form(context, sites, BOTTLENECK, EMBEDDING, HIDDEN, PROJECTED)
    network.follow(backbone)
    for site, generated in zip(sites, network.outputs(), strict=True):
        backbone.insert(site, GeneratedAdapter(generated))
    model = adapted(backbone, tasks, context)
    model.parts["hypernetwork"] = network
    return model.eval()


def record(model, batch):
    """(input, output) of every adapter, by its index, in one pass."""
    seen = {}

    def keep(module, inputs, output):
        seen[module.source.index] = (inputs[0], output)

    handles = [
        module.register_forward_hook(keep)
        for module in model.modules()
        if isinstance(module, GeneratedAdapter)
    ]
    with torch.no_grad():
        model.loss(batch)
    for handle in handles:
        handle.remove()
    return [seen[index] for index in sorted(seen)]


def dense(state, name, x):
    return torch.einsum("...i,oi->...o", x, state[f"{name}.weight"]) + state[f"{name}.bias"]


def layer_norm(x, gamma, beta, epsilon):
    centred = x - x.mean(-1, keepdim=True)
    return centred / ((centred**2).mean(-1, keepdim=True) + epsilon).sqrt() * gamma + beta


def project(state, prefix, x):
    hidden = dense(state, f"{prefix}projector.0", x)
    return dense(state, f"{prefix}projector.2", torch.where(hidden > 0, hidden, 0))


def generated(state, prefix, embedding, site, d, b):
    """The six tensors of one adapter: the site's share of the rows of one linear map, in order."""
    shapes = {
        "up": (d, b),
        "up_bias": (d,),
        "down": (b, d),
        "down_bias": (b,),
        "gamma": (d,),
        "beta": (d,),
    }
    weight, bias = state[f"{prefix}generator.weight"], state[f"{prefix}generator.bias"]
    tensors = {}
    start = site * (2 * d * b + 3 * d + b)
    for kind, shape in shapes.items():
        rows = slice(start, start + torch.Size(shape).numel())
        tensors[kind] = (weight[rows] @ embedding + bias[rows]).reshape(shape)
        start = rows.stop
    return tensors


def expected_adapter(form, state, task, index, site, d, b):
    z = state[f"tasks.by_task.{task}.vector"]
    if form is SiteHyperNetworks:
        return generated(state, "", project(state, "", z), index, d, b)
    prefix = f"stacks.{site.stack}."
    position = {"feed_forward": 0, "attention": 1}[site.kind]
    layer = state[f"{prefix}layers.weight"][site.layer]
    joined = torch.cat([z, layer, state[f"{prefix}positions.weight"][position]])
    embedding = layer_norm(
        project(state, prefix, joined),
        state[f"{prefix}norm.weight"],
        state[f"{prefix}norm.bias"],
        1e-6,
    )
    return generated(state, prefix, embedding, 0, d, b)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", FORMS)
def test_every_adapter_equals_the_equations_in_float64(form, family):
    model = build(form, family).double()
    with torch.no_grad():
        for parameter in model.parts["hypernetwork"].parameters():
            parameter.normal_(std=0.4)
    state = {name: t.detach() for name, t in model.parts["hypernetwork"].state_dict().items()}
    sites, d = model.parts["hypernetwork"].sites, model.backbone.width
    for task in ("a", "b"):
        batch = tiny_batch(family, task)
        if "image" in batch.inputs:
            batch.inputs["image"] = batch.inputs["image"].double()
        passes = record(model, batch)
        assert len(passes) == len(sites)
        for index, (site, (y, output)) in enumerate(zip(sites, passes, strict=True)):
            w = expected_adapter(form, state, task, index, site, d, BOTTLENECK)
            hidden = torch.einsum("...d,bd->...b", y.double(), w["down"]) + w["down_bias"]
            inner = (2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)
            hidden = 0.5 * hidden * (1 + torch.tanh(inner))
            out = torch.einsum("...b,db->...d", hidden, w["up"]) + w["up_bias"]
            expected = y + layer_norm(out, w["gamma"], w["beta"], 1e-5)
            torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)


def at_published_size(form, task_embedding):
    """The adapters of a T5-base encoder at the start."""
    torch.manual_seed(0)
    sites = [
        Site(f"{layer}.{kind}", kind, "encoder", layer, 768)
        for layer in range(12)
        for kind in ("attention", "feed_forward")
    ]
    context = TaskContext(["a"])
    network = form(context, sites, 24, task_embedding, 128, 64)
    with torch.no_grad():
        return [network.generated(index) for index in range(len(sites))]


def test_shared_hypernetworks_start_near_the_identity():
    """gamma is generated, about N(0, 0.08^2): there is no 1 + gamma."""
    adapters = at_published_size(SharedHyperNetworks, 64)
    for kind in ("up", "gamma", "beta"):
        spread = torch.stack([getattr(weights, kind) for weights in adapters]).std().item()
        assert spread == pytest.approx(0.08, abs=0.005)
    y = torch.randn(100, 768)
    source = SimpleNamespace(context=TaskContext("a"), weights=lambda: adapters[0])
    module = GeneratedAdapter(source)
    assert (module(y) - y).square().mean().sqrt().item() == pytest.approx(0.11, abs=0.01)


def test_site_hypernetworks_start_almost_at_the_identity():
    for weights in at_published_size(SiteHyperNetworks, 512):
        assert weights.gamma.std() < 0.003
        assert weights.beta.abs().max() < 0.01


def count_generations(model):
    """A list that grows by one with every generation."""
    calls = []
    model.parts["hypernetwork"].register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("form", FORMS)
def test_generates_once_in_every_training_pass(form):
    model = build(form, "t5").train()
    calls = count_generations(model)
    for step in range(1, 4):
        model.loss(tiny_batch("t5", "a")).backward()
        assert len(calls) == step


@pytest.mark.parametrize("form", FORMS)
def test_generates_once_per_task_in_evaluation(form):
    model = build(form, "t5")
    calls = count_generations(model)
    for task in ("a", "b", "a", "b"):
        model.predict(tiny_batch("t5", task))
    assert len(calls) == 2


@pytest.mark.parametrize("form", FORMS)
def test_what_was_generated_does_not_outlive_training(form):
    model = build(form, "bert")
    batch = tiny_batch("bert", "a")
    optimizer = torch.optim.SGD(model.parts["hypernetwork"].parameters(), 10.0)
    with torch.no_grad():
        before = model.loss(batch)
    model.train()
    model.loss(batch).backward()
    optimizer.step()
    with torch.no_grad():
        assert not torch.equal(model.eval().loss(batch), before)


@pytest.mark.parametrize("form", FORMS)
def test_every_generator_receives_a_gradient(form):
    model = build(form, "t5").train()
    for task in ("a", "b"):
        model.loss(tiny_batch("t5", task)).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parts["hypernetwork"].parameters())
