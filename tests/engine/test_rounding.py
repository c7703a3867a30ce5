"""Tensors as whole numbers with scales, held against other people's code."""

import json
from pathlib import Path

import pytest
import torch

from suite.engine.rounding import SHARE, decode, encode, layout
from suite.registry.schema import Store

PUBLIC = Path(__file__).parents[1] / "methods/public/bitdelta.json"
WHOLE = (Store.INT8, Store.INT4)
CODED = (*WHOLE, Store.BINARY)
SHAPES = [(4, 64), (64, 4), (5, 7), (8, 3, 3, 3), (2, 2, 2), (33,), (1, 1), (3, 100)]


def random(shape, size=1.0, seed=0):
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_signs_and_scale_are_those_of_bitdelta():
    public = json.loads(PUBLIC.read_text())
    base, finetuned = torch.tensor(public["base"]), torch.tensor(public["finetuned"])
    change = finetuned - base
    back = decode(encode(change, Store.BINARY), change.shape, Store.BINARY)
    assert torch.equal(back > 0, torch.tensor(public["signs"]).bool())
    scale = back.abs().unique()
    assert len(scale) == 1
    assert scale.item() == torch.tensor(public["coeff"]).bfloat16().item()


@pytest.mark.parametrize("store", WHOLE)
@pytest.mark.parametrize("shape", [(16, 64), (6, 5, 3, 3)])
def test_numbers_are_those_of_pytorchs_quantisation_of_each_output(store, shape):
    values = random(shape) * torch.logspace(-3, 3, shape[0]).view(-1, *[1] * (len(shape) - 1))
    limit = {Store.INT8: 127, Store.INT4: 7}[store]
    codes = encode(values, store)
    expected = torch.fake_quantize_per_channel_affine(
        values, codes.scale.float(), torch.zeros(shape[0], dtype=torch.int32), 0, -limit, limit
    )
    torch.testing.assert_close(decode(codes, shape, store), expected, rtol=1e-6, atol=0)
    largest = values.abs().flatten(1).amax(1)
    torch.testing.assert_close(codes.scale.float(), largest / limit, rtol=2**-8, atol=0)


@pytest.mark.parametrize("store", WHOLE)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_number_is_off_by_more_than_half_a_step(store, shape):
    values = random(shape)
    codes = encode(values, store)
    error = (decode(codes, shape, store) - values).abs().max()
    assert error <= 0.5 * codes.scale.float().max() * (1 + 1e-5)


@pytest.mark.parametrize("store", CODED)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e-37, 1e-43, 1e30, 0.0])
def test_what_a_file_gives_back_is_stored_as_the_same_bytes(store, shape, size):
    first = encode(random(shape, size), store)
    again = encode(decode(first, shape, store), store)
    assert torch.equal(first.scale, again.scale)
    assert torch.equal(first.numbers, again.numbers)


@pytest.mark.parametrize("store", CODED)
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_in_a_file_follow_from_the_shape(store, shape):
    codes = encode(random(shape), store)
    assert layout(shape, store) == (tuple(codes.numbers.shape), len(codes.scale))


def test_two_numbers_or_eight_signs_take_a_byte_and_a_scale_serves_an_output():
    assert layout((64, 40), Store.INT8) == ((64, 40), 64)
    assert layout((64, 40), Store.INT4) == ((64 * 40 // 2,), 64)
    assert layout((64, 40), Store.BINARY) == ((64 * 40 // 8,), 1)
    assert layout((3, 33), Store.INT4) == ((50,), 3)


def test_short_outputs_share_a_scale():
    assert layout((64, 4), Store.INT4) == ((128,), 64 * 4 // SHARE)
    assert layout((100,), Store.INT8) == ((100,), 4)
    values = torch.ones(64, 4)
    values[-1] = 100
    back = decode(encode(values, Store.INT4), values.shape, Store.INT4)
    torch.testing.assert_close(back[:56], values[:56], rtol=0.01, atol=0)
    assert back[56:63].eq(0).all()
    torch.testing.assert_close(back[63], values[63], rtol=0.01, atol=0)
