"""SSF, Convpass and FacT answer as their public code does, in float64."""

import pytest
import torch
from public_code import drawn, read, write_all
from reference import adapted_model

from suite.nn.convpass import ConvBypass

SCALED = {
    "patch_embed.proj": "patch_embed.ssf_{}_1",
    "norm": "ssf_{}_1",
    "norm1": "ssf_{}_1",
    "norm2": "ssf_{}_2",
    "qkv": "ssf_{}_1",
    "proj": "ssf_{}_2",
    "fc1": "ssf_{}_1",
    "fc2": "ssf_{}_2",
}
"""The public name of the scale or shift behind a layer, within the module that holds the layer."""
MATRICES = ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2")


def ssf_name(name):
    if not name.endswith((".scale", ".shift")):
        return name.replace(".layer.", ".")
    layer, _, kind = name.rpartition(".")
    if layer in SCALED:
        return SCALED[layer].format(kind)
    owner, _, end = layer.rpartition(".")
    return f"{owner}.{SCALED[end].format(kind)}"


def fact_name(name):
    """That of the public code for a parameter of ours."""
    plain = {
        "parts.factors.u": "FacTu.weight",
        "parts.factors.v": "FacTv.weight",
        "parts.factors.common": "FacTc",
        "parts.factors.mixture": "FacTp",
    }
    if name.startswith("parts.factors.cores."):
        block, matrix = divmod(int(name.rpartition(".")[2]), len(MATRICES))
        return f"blocks.{block}.{MATRICES[matrix]}_FacTs.weight"
    return plain.get(name, name)


def draw_weights(model, name_of):
    """Give every parameter but those of heads the weights that its public name stands for."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("heads."):
                public = name_of(name.removeprefix("backbone.network."))
                parameter.copy_(drawn(public, parameter.shape))


def test_ssf_scales_and_shifts_where_the_public_code_does():
    inputs, outputs = read("ssf", torch.float64)
    _, model = adapted_model("ssf", "vit")
    draw_weights(model, ssf_name)
    torch.testing.assert_close(model.backbone(inputs), outputs["features"])


@pytest.mark.parametrize("form", ["tensor_train", "tucker"])
def test_fact_changes_all_matrices_as_the_public_code_does(form):
    inputs, outputs = read(f"fact_{form}", torch.float64)
    _, model = adapted_model("fact", "vit", form=form, rank=3, scale=2.0)
    draw_weights(model, fact_name)
    torch.testing.assert_close(model.backbone(inputs), outputs["features"])


def test_convpass_convolves_class_token_and_patches_as_the_public_code_does():
    inputs, outputs = read("convpass", torch.float64)
    bypass = ConvBypass(4, 8, grid=(3, 3), prefix=1, scale=0.5, dropout=0.1).double().eval()
    names = {
        f"{part}.{end}": f"adapter_{part}.{end}"
        for part in ("down", "conv", "up")
        for end in ("weight", "bias")
    }
    parameters = dict(bypass.named_parameters())
    values = {public: drawn(public, parameters[own].shape) for own, public in names.items()}
    write_all(bypass, values, names)
    torch.testing.assert_close(bypass(inputs["tokens"]), 0.5 * outputs["change"])


def test_convpass_starts_as_the_frozen_network_and_stands_beside_both_sublayers():
    _, model = adapted_model("convpass", "vit")
    bypasses = [module for module in model.modules() if isinstance(module, ConvBypass)]
    assert len(bypasses) == 4
    _, alone = adapted_model("convpass", "vit", placement="attention")
    assert sum(isinstance(module, ConvBypass) for module in alone.modules()) == 2
    tokens = torch.randn(2, 5, 16, dtype=torch.float64)
    assert (bypasses[0](tokens) == 0).all()
    # A patch reads its neighbours; without U's zeros one changed patch moves another's answer.
    torch.nn.init.ones_(bypasses[0].up.weight)
    moved = tokens.clone()
    moved[:, 1] += 1
    torch.nn.init.ones_(bypasses[0].conv.weight)
    assert not torch.equal(bypasses[0](tokens)[:, 4], bypasses[0](moved)[:, 4])
    assert torch.equal(bypasses[0](tokens)[:, 0], bypasses[0](moved)[:, 0])
