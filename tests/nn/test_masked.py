import pytest
import torch
from torch import nn

from suite.backbones.per_task import TaskContext
from suite.nn.masked import BinaryMask, masked


def mask_of(shape=(3, 7)):
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64)
    mask = BinaryMask(weight, 0.01, 0.005)
    return weight, mask


def test_all_weights_are_kept_at_first():
    weight, mask = mask_of()
    assert torch.equal(mask(weight), weight)


def test_a_weight_is_dropped_at_the_threshold_and_its_score_still_learns():
    """Gradients equal those of a mask of real numbers, kept and dropped alike."""
    weight, mask = mask_of()
    mask.score.data[0] = 0.005
    mask.score.data[1] = -1.0
    real = torch.cat([torch.zeros(2, 7), torch.ones(1, 7)]).double().requires_grad_(True)
    target = torch.randn(3, 7, dtype=torch.float64)
    (mask(weight) - target).square().sum().backward()
    (weight * real - target).square().sum().backward()
    assert torch.equal(mask(weight), weight * real)
    assert torch.equal(mask.score.grad, real.grad)


@pytest.mark.parametrize("shape", [(3, 7), (4, 2, 3, 3), (5,)])
def test_bits_restore_the_mask_eight_weights_to_a_byte(shape):
    weight, mask = mask_of(shape)
    mask.score.data.uniform_(0, 0.01)
    expected = mask(weight)
    mask.pack()
    assert mask.bits.dtype == torch.uint8
    assert mask.bits.numel() == -(-weight.numel() // 8)
    other = BinaryMask(weight, 0.01, 0.005)
    other.bits.copy_(mask.bits)
    other.unpack()
    assert torch.equal(other(weight), expected)


def test_the_first_weight_is_the_lowest_bit_of_the_first_byte():
    _, mask = mask_of((9,))
    mask.score.data.fill_(0)
    mask.score.data[[0, 8]] = 1
    mask.pack()
    assert mask.bits.tolist() == [1, 1]


def test_fifty_steps_equal_a_plain_straight_through_reference():
    """Adam on scores; the reference computes dL/dscore = dL/dW * W0 by hand."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 4).double().requires_grad_(False)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    network = masked(layer, TaskContext(["a"]), 0.01, 0.005)
    mask = network.transforms.by_task["a"]
    score = nn.Parameter(torch.full_like(weight, 0.01))
    ours, theirs = (torch.optim.Adam([p], 1e-3) for p in (mask.score, score))
    flips = 0
    for _ in range(50):
        x, y = torch.randn(8, 6).double(), torch.randn(8, 4).double()
        before = mask.score > 0.005
        ours.zero_grad()
        (network(x) - y).square().mean().backward()
        ours.step()
        flips += int((before != (mask.score > 0.005)).sum())
        kept = (score > 0.005).double()
        error = 2 * (x @ (weight * kept).T + bias - y) / y.numel()
        score.grad = (error.T @ x) * weight
        theirs.step()
        torch.testing.assert_close(mask.score, score, rtol=1e-9, atol=1e-12)
    assert flips >= 10
