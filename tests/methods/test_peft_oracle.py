"""Methods in the forms of the peft library equal models that it makes of the same networks.

What is adapted is written down here for every family anew, and the library's own way of wrapping,
merging and unloading a model is used.
"""

import copy

import pytest
import torch
from peft import (
    FourierFTConfig,
    IA3Config,
    LoraConfig,
    OFTConfig,
    VeraConfig,
    get_peft_model,
)
from registered import ENTRIES, mini_options
from tiny import tiny_backbone, tiny_batch, tiny_tasks
from torch.nn.functional import conv2d

from suite.engine.delta import stored_tensors
from suite.method.load import load_method
from suite.nn.principal import PrincipalLinear

QUERIES_AND_VALUES = {"vit": ["qkv"], "bert": ["query", "value"], "t5": ["q", "v"]}
CONVOLUTIONS = {"resnet": ["conv1", "conv2"], "densenet": ["conv0", "conv1", "conv2", "conv"]}
LINEAR = {
    "vit": ["qkv", "attn.proj", "fc1", "fc2"],
    "bert": ["query", "key", "value", "dense"],
    "t5": ["q", "k", "v", "o", "wi", "wo"],
}
RESCALED = {
    "vit": (["qkv", "fc2"], ["fc2"]),
    "bert": (
        ["key", "value", r"0.output.dense", r"1.output.dense"],
        [r"0.output.dense", r"1.output.dense"],
    ),
    "t5": (["k", "v", "wo"], ["wo"]),
}


def lora(targets, dora=False):
    return LoraConfig(r=4, lora_alpha=8, target_modules=targets, use_dora=dora)


def vera(targets):
    return VeraConfig(r=64, target_modules=targets, projection_prng_key=0)


def fourierft(targets):
    return FourierFTConfig(
        n_frequency=100, scaling=10.0, target_modules=targets, random_loc_seed=777
    )


def oft(targets):
    return OFTConfig(oft_block_size=8, target_modules=targets, use_cayley_neumann=False)


LINEAR_FORMS = {"vera": vera, "fourierft": fourierft, "oft": oft}
CASES = [
    *[
        ("lora", family, {}, lora(t))
        for family, t in {**QUERIES_AND_VALUES, **CONVOLUTIONS}.items()
    ],
    *[("lora", family, {"targets": "all"}, lora(targets)) for family, targets in LINEAR.items()],
    *[
        ("dora", family, {}, lora(t, dora=True))
        for family, t in {**QUERIES_AND_VALUES, **CONVOLUTIONS}.items()
    ],
    *[
        ("ia3", family, {}, IA3Config(target_modules=t, feedforward_modules=ff))
        for family, (t, ff) in RESCALED.items()
    ],
    *[
        (name, family, {}, form(targets))
        for name, form in LINEAR_FORMS.items()
        for family, targets in QUERIES_AND_VALUES.items()
    ],
    *[
        (name, "bert", {"targets": "all"}, form(LINEAR["bert"]))
        for name, form in LINEAR_FORMS.items()
    ],
]
IDS = [f"{name}-{family}{'-all' if changes else ''}" for name, family, changes, _ in CASES]


def ours(name, family, changes):
    entry = ENTRIES[name]
    method = load_method(entry, mini_options(entry) | changes)
    torch.manual_seed(0)
    model = method.adapt(tiny_backbone(family), tiny_tasks(family, 1)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in added(model.backbone.network).values():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise)
    return model


def theirs(family, config):
    """peft's model of the pristine network."""
    network = copy.deepcopy(tiny_backbone(family).network).double()
    return get_peft_model(network, config).double().eval()


def added(network):
    """What trains in a network, by name without peft's prefix."""
    return {
        name.removeprefix("base_model.model."): parameter
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def copy_parameters(source, target):
    with torch.no_grad():
        for name, parameter in added(target).items():
            parameter.copy_(added(source)[name])


def outputs(family, network):
    """The features or logits that a network gives for a fixed batch."""
    batch = tiny_batch(family, "a")
    inputs = {
        name: value.double() if value.is_floating_point() else value
        for name, value in batch.inputs.items()
    }
    if family == "t5":
        return network(**inputs, labels=batch.target_ids).logits
    return network(**inputs).last_hidden_state if family == "bert" else network(inputs["image"])


@pytest.mark.parametrize(("name", "family", "changes", "config"), CASES, ids=IDS)
def test_outputs_and_gradients_are_those_of_peft(name, family, changes, config):
    model, reference = ours(name, family, changes), theirs(family, config)
    assert added(model.backbone.network).keys() == added(reference).keys()
    copy_parameters(model.backbone.network, reference)

    output, expected = (outputs(family, net) for net in (model.backbone.network, reference))
    torch.testing.assert_close(output, expected)
    assert not torch.allclose(output, outputs(family, theirs(family, config)))

    for result in (output, expected):
        result.square().mean().backward()
    wanted = added(reference)
    for key, parameter in added(model.backbone.network).items():
        torch.testing.assert_close(parameter.grad, wanted[key].grad, msg=key)
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(("name", "family", "changes", "config"), CASES, ids=IDS)
def test_merged_into_plain_weights_the_network_answers_the_same(name, family, changes, config):
    model, reference = ours(name, family, changes), theirs(family, config)
    copy_parameters(model.backbone.network, reference)
    plain = reference.merge_and_unload()
    pristine = tiny_backbone(family).network
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in pristine.named_parameters()]
    with torch.no_grad():
        torch.testing.assert_close(
            outputs(family, model.backbone.network), outputs(family, plain), rtol=1e-6, atol=1e-8
        )


def kernel_product(b, a):
    """The kernel of the convolution `a` followed by the 1x1 convolution `b`."""
    return conv2d(a.transpose(0, 1), b).transpose(0, 1)


@pytest.mark.parametrize("family", ["bert", "resnet"])
def test_lora_is_a_low_rank_change_of_plain_weights(family):
    """The library's layers in turn equal W0 + (alpha / rank) B A, written out."""
    model = ours("lora", family, {"alpha": 12})
    network = tiny_backbone(family).network.double()
    parameters = {name: p.detach() for name, p in added(model.backbone.network).items()}
    with torch.no_grad():
        for name, a in parameters.items():
            if ".lora_A." not in name:
                continue
            b = parameters[name.replace(".lora_A.", ".lora_B.")]
            weight = network.get_submodule(name.split(".lora_A.")[0]).weight
            weight += 12 / 4 * kernel_product(b, a) if family == "resnet" else 12 / 4 * b @ a
        torch.testing.assert_close(
            outputs(family, model.backbone.network), outputs(family, network)
        )


@pytest.mark.parametrize("family", list(QUERIES_AND_VALUES))
def test_pissa_trains_what_peft_takes_out_of_the_weights(family):
    """peft changes the frozen weights in float32; ours stay, and the change is the same."""
    model = ours("pissa", family, {}).float()
    network = model.backbone.network
    targets = QUERIES_AND_VALUES[family]
    config = LoraConfig(r=4, lora_alpha=4, target_modules=targets, init_lora_weights="pissa")
    reference = get_peft_model(copy.deepcopy(tiny_backbone(family).network), config).eval()
    theirs_by_name = added(reference)
    own = added(network)
    assert len(own) == len(theirs_by_name)
    for name, module in network.named_modules():
        if not isinstance(module, PrincipalLinear):
            continue
        a, b = (theirs_by_name[f"{name}.lora_{part}.default.weight"] for part in "AB")
        # The same part of the weights, whatever the signs of singular vectors.
        torch.testing.assert_close(module.first_b @ module.first_a, b @ a, rtol=1e-3, atol=1e-5)
        with torch.no_grad():
            a.copy_(module.a)
            b.copy_(module.b)
    batch = tiny_batch(family, "a")
    results = [
        net(**batch.inputs, labels=batch.target_ids).logits
        if family == "t5"
        else net(**batch.inputs).last_hidden_state
        if family == "bert"
        else net(batch.inputs["image"])
        for net in (network, reference)
    ]
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", list(QUERIES_AND_VALUES))
def test_pissa_starts_as_the_frozen_network(family):
    entry = ENTRIES["pissa"]
    method = load_method(entry, mini_options(entry))
    model = method.adapt(tiny_backbone(family), tiny_tasks(family, 1)).double().eval()
    pristine = tiny_backbone(family).network.double()
    assert torch.equal(outputs(family, model.backbone.network), outputs(family, pristine))


@pytest.mark.parametrize(("name", "own"), [("vera", "vera_lambda_"), ("fourierft", "spectrum")])
def test_what_is_drawn_from_a_seed_is_not_stored_and_the_seed_decides(name, own):
    """Whatever torch's own generator has drawn before."""
    entry = ENTRIES[name]
    (seed,) = (option for option in entry.options if option.endswith("_seed"))

    def answer(seeded, drawn_before):
        method = load_method(entry, mini_options(entry) | {seed: seeded})
        torch.manual_seed(drawn_before)
        model = method.adapt(tiny_backbone("bert"), tiny_tasks("bert", 1)).eval()
        stored = [key for key in stored_tensors(model, method) if not key.startswith("heads.")]
        assert stored and all(own in key for key in stored)
        with torch.no_grad():
            for parameter in added(model.backbone.network).values():
                parameter.fill_(0.5)
            return model.backbone(tiny_batch("bert", "a").inputs)

    assert torch.equal(answer(3, drawn_before=0), answer(3, drawn_before=1))
    assert not torch.allclose(answer(3, drawn_before=0), answer(4, drawn_before=0))
