"""The parameter counts that papers and their code state, on networks of the real sizes."""

import pytest
import torch
from networks import meta_backbone
from registered import ENTRIES
from tiny import tiny_tasks

from suite.engine.delta import stored_tensors
from suite.engine.ledger import closed_form
from suite.method.load import load_method

# Counts of residual adapters leave out the batch norms (53,120 in a ResNet-50) that they train.
COUNTS = [
    ("bitfit", {}, "vit_b16", 102_912),
    ("bitfit", {}, "t5_base", 250_368),
    ("norm_tuning", {}, "t5_base", 47_616),
    ("norm_tuning", {}, "resnet50", 53_120),
    ("attention_only", {}, "vit_b16", 12 * 4 * (768 + 1) * 768 + 197 * 768),
    ("parallel_adapters", {}, "bert_base", 9_452_544),
    ("adaptformer", {}, "vit_b16", 1_189_632),
    ("compacter", {}, "t5_base", 161_728),
    ("compacter", {"placement": "compacter_pp"}, "t5_base", 104_704),
    ("residual_adapters", {}, "resnet50", 1_257_472 + 53_120),
    ("residual_adapters", {"placement": "series"}, "resnet50", 1_265_024 + 53_120),
    ("conv_adapter", {"reduction": 4}, "resnet50", 356_848),
    ("conv_adapter", {}, "resnet50", 199_192),
    # 1,396,736 in mixtures, 172,032 in shortcuts, 9,600 in batch norms; with NFF 3,904 lengths.
    ("rcm", {"normalised": False}, "resnet18", 1_396_736 + 172_032 + 9_600),
    ("rcm", {}, "resnet18", 1_396_736 + 172_032 + 9_600 + 3_904),
    ("rcm", {"normalised": False}, "resnet50", 1_257_472 + 64**2 + 2_768_896 + 53_120),
    ("lora", {"rank": 4}, "t5_base", 442_368),
    ("lora", {}, "t5_base", 884_736),
    ("lora", {"rank": 16}, "t5_base", 1_769_472),
    ("lora", {}, "bert_base", 294_912),
    ("lora", {}, "vit_b16", 294_912),
    ("lora", {}, "resnet50", 635_544),
    ("dora", {}, "t5_base", 884_736 + 72 * 768),
    ("prompt_tuning", {}, "t5_base", 76_800),
    ("vpt_shallow", {}, "vit_b16", 38_400),
    ("vpt_deep", {}, "vit_b16", 460_800),
    ("ia3", {}, "t5_base", 129_024),
    ("ia3", {}, "bert_base", 55_296),
    ("ssf", {}, "vit_b16", 205_824),
    ("convpass", {}, "vit_b16", 327_552),
    ("fact", {}, "vit_b16", 2 * 768 * 16 + 12 * 12 * 16**2),
    ("fact", {"form": "tucker", "rank": 32}, "vit_b16", 2 * 768 * 32 + 32**3 + 32 * 144),
    ("vera", {"rank": 1024}, "bert_base", 43_008),
    ("fourierft", {}, "bert_base", 24_000),
    ("fourierft", {}, "t5_base", 72_000),
    ("oft", {}, "t5_base", 857_088),
    ("pissa", {}, "t5_base", 884_736),
]


@pytest.mark.parametrize(("name", "changes", "network", "count"), COUNTS)
def test_built_model_and_closed_form_have_the_published_count(name, changes, network, count):
    entry = ENTRIES[name]
    options = {name: option.default for name, option in entry.options.items()} | changes
    backbone = meta_backbone(network)
    expected = closed_form(entry.cost, backbone, 1, options, {})
    with torch.device("meta"):
        model = load_method(entry, options).adapt(backbone, tiny_tasks(backbone.family, 1))
    heads = 0 if backbone.family == "t5" else 3 * (backbone.width + 1)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) - heads == count
    assert expected == (0, count)


# No paper states these: 24 feed-forward layers with 32 rows of 768 and 32 columns; 415 groups of 64
# channels with embeddings of 64, a projector, its norm and one generator; inputs and outputs of a
# ViT's linear layers with its patch embedding and norms; adapters with 48 hidden units.
JOINT_COUNTS = [
    ("hypergrid", "t5_base", 222_903_552 + 24 * (32 * 768 + 32), 0),
    ("hyperformer_norm", "resnet50", 415 * 64 + 129 * 128 + 129 * 64 + 2 * 64 + 65 * 128, 64),
    ("lines", "resnet50", 23_508_032, 0),
    ("kd_mtl", "vit_b16", 85_798_656, 0),
    ("mtlora", "vit_b16", 32 * 147_456 + 590_592 + 25 * 1_536, 4 * 147_456),
    ("adapter_fusion", "bert_base", 8 * 12 * 74_544, 12 * (3 * 768**2 + 768)),
    # 77.6 thousand for one task and 10.5 thousand a task for eight, as the paper counts.
    ("mpt", "t5_base", 76_800, 868),
]


@pytest.mark.parametrize(("name", "network", "shared", "per_task"), JOINT_COUNTS)
def test_what_a_joint_method_stores_is_counted_by_hand(name, network, shared, per_task):
    entry = ENTRIES[name]
    options = {name: option.default for name, option in entry.options.items()}
    backbone = meta_backbone(network)
    assert closed_form(entry.cost, backbone, 8, options, {}) == (shared, 8 * per_task)
    method = load_method(entry, options)
    with torch.device("meta"):
        model = method.adapt(backbone, tiny_tasks(backbone.family, 8))
    stored = stored_tensors(model, method)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = [name for name in stored if name in trained and not name.startswith("heads.")]
    assert sum(stored[name].numel() for name in kept) == shared + 8 * per_task


@pytest.mark.parametrize(("network", "unsited"), [("resnet50", 0), ("vit_b16", (1 + 197) * 768)])
def test_a_network_is_its_bottom_blocks_and_the_rest(network, unsited):
    """What precedes a block goes with the bottom, what follows it with the block before."""
    backbone = meta_backbone(network)
    own = 0
    for end, share in (("bottom", 0.25), ("top", 0.75)):
        options = {"end": end, "share": share}
        shared, per_task = closed_form(ENTRIES[f"{end}_k"].cost, backbone, 1, options, {})
        assert shared + per_task == backbone.parameter_count()
        own += per_task
    assert own + unsited == backbone.parameter_count()
