"""Piggyback and RCM equal plain networks whose weights are computed in the open, in float64."""

import pytest
import torch
from reference import adapted_model, features, inputs_of, layer_name, pristine_weights

from suite.method import ParameterSet

PIGGYBACK = ["resnet", "densenet", "vit", "bert"]
RCM = ["resnet", "densenet"]


def named(model, inner, end):
    return {
        layer_name(name, inner): parameter
        for name, parameter in model.named_parameters()
        if f".{inner}.by_task.a.{end}" in name
    }


@pytest.mark.parametrize("family", PIGGYBACK)
def test_piggyback_keeps_weights_and_passes_gradients_straight_through(family):
    _, model = adapted_model("piggyback", family)
    scores = named(model, "transforms", "score")
    weights = pristine_weights(family)
    torch.manual_seed(1)
    with torch.no_grad():
        for score in scores.values():
            score.uniform_(-0.02, 0.03)
    used = {}
    for name, score in scores.items():
        kept = torch.where(score.detach() > 0.005, 1.0, 0.0).double()
        used[name] = (weights[f"{name}.weight"] * kept).requires_grad_()
        assert 0.2 < kept.mean() < 0.8
    inputs = inputs_of(family)
    expected = features(family, weights | {f"{n}.weight": w for n, w in used.items()}, inputs)
    output = model.backbone(inputs)
    torch.testing.assert_close(output, expected)

    direction = torch.randn_like(output)
    (output * direction).sum().backward()
    gradients = torch.autograd.grad((expected * direction).sum(), list(used.values()))
    for name, gradient in zip(used, gradients, strict=True):
        # Weights that are dropped receive the gradient they would have if they were kept.
        torch.testing.assert_close(scores[name].grad, gradient * weights[f"{name}.weight"])
    trained = ParameterSet(p for p in model.parameters() if p.requires_grad)
    assert trained == ParameterSet([*scores.values(), *model.heads.parameters()])


@pytest.mark.parametrize("family", RCM)
def test_rcm_mixes_the_responses_of_a_frozen_filter_bank(family):
    _, model = adapted_model("rcm", family, normalised=False)
    mixtures = named(model, "transforms", "mixture")
    weights = pristine_weights(family)
    kernels = {name for name, tensor in weights.items() if tensor.ndim == 4}
    assert {f"{name}.weight" for name in mixtures} == {
        name for name in kernels if weights[name].shape[-1] > 1
    }
    torch.manual_seed(1)
    banks, own = {}, {}
    for name, mixture in mixtures.items():
        matrix = weights[f"{name}.weight"].flatten(1)
        # W_t starts as U, principal directions of the responses to white inputs: U^T W W^T U is
        # diagonal, the largest variance first, and U W_s gives the pretrained weights back.
        start = mixture.detach().clone()
        torch.testing.assert_close(
            start @ start.T, torch.eye(len(start)).double(), atol=1e-5, rtol=0
        )
        spread = start.T @ matrix @ matrix.T @ start
        variances = spread.diagonal()
        torch.testing.assert_close(spread, variances.diag(), atol=1e-4, rtol=0)
        assert (variances.diff() < 1e-5).all()
        banks[name] = start.T @ matrix
        with torch.no_grad():
            mixture.add_(0.1 * torch.randn_like(mixture))
        own[name] = mixture.detach().clone().requires_grad_()
    used = {
        f"{name}.weight": (own[name] @ banks[name]).view_as(weights[f"{name}.weight"])
        for name in own
    }
    inputs = inputs_of(family)
    expected = features(family, weights | used, inputs)
    output = model.backbone(inputs)
    # Directions and bank are kept in float32.
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)

    direction = torch.randn_like(output)
    (output * direction).sum().backward()
    gradients = torch.autograd.grad((expected * direction).sum(), list(own.values()))
    for name, gradient in zip(own, gradients, strict=True):
        torch.testing.assert_close(mixtures[name].grad, gradient, rtol=1e-3, atol=1e-5, msg=name)
