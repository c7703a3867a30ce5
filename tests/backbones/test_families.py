"""Every family: its networks load, methods adapt them, and what is stored is what was counted."""

from functools import cache

import pytest
import torch
import toy
from small_networks import IMAGE, SIZE, TEXT, save_image, save_text, save_writer
from small_registry import write_entry, write_words

import suite
from suite.backbones.load import load_backbone
from suite.errors import UserError
from suite.registry import load
from suite.registry.families import families, family_of

METHODS = (
    "linear_probe",
    "full_finetuning",
    "lora",
    "adapters",
    "parallel_adapters",
    "bitfit",
    "norm_tuning",
    "prefix_tuning",
    "prompt_tuning",
    "vpt_shallow",
    "hyperformer_pp",
)
WRITER = "qwen3_writes"
"""A language model that writes its answers."""
DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2", WRITER)
NETWORKS = (*TEXT, WRITER, *IMAGE)
BY_DAY = ("distilbert", WRITER, "swin")
METHODS_BY_DAY = ("linear_probe", "lora", "adapters", "prompt_tuning", "hyperformer_pp")
"""What every run trains on what; the night has all methods and networks."""
FAMILY = {
    **{name: name for name in TEXT if name in families()},
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", WRITER), "decoder"),
    "deit_distilled": "vit",
    "vit_reg4": "vit",
    "beit": "beit",
    "eva": "eva",
    "eva02": "eva",
    "swin": "swin",
    "convnext": "convnext",
    "convnextv2": "convnext",
    "bit": "resnetv2",
    "resnet_gn": "resnet",
    "resnext": "resnet",
    "regnet": "regnet",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A registry with all networks, a task on texts and two on images."""
    root = tmp_path_factory.mktemp("registry")
    toy.write_tasks(root, pixels=24)
    write_words(root)
    catalog = root / "backbones"
    for name in TEXT:
        save_text(name, catalog / "mini" / name)
        write_entry(catalog, name, FAMILY[name])
    save_writer("qwen3", catalog / "mini" / WRITER)
    write_entry(catalog, WRITER, FAMILY[WRITER], "form: text_to_text\n")
    for name in IMAGE:
        save_image(name, catalog / "mini" / name)
        write_entry(catalog, name, FAMILY[name])
    return root


@pytest.fixture(scope="module")
def result_of(folder, tmp_path_factory, forked):
    """The result of a network and a method: two steps. All networks of a kind run together, by day
    some and by night all."""
    out = tmp_path_factory.mktemp("out")

    @cache
    def ran(image, night):
        done = suite.run(
            METHODS if night else METHODS_BY_DAY,
            "colours/reds" if image else "words/reads",
            [name for name in (NETWORKS if night else BY_DAY) if (name in IMAGE) == image],
            steps=2,
            batch_size=8,
            registry=folder,
            out=out,
            jobs=1,
            quiet=True,
        )
        return {(each.cell.backbone, each.cell.method): each for each in done}

    return lambda name, method: ran(name in IMAGE, not by_day(name, method))[name, method]


def by_day(name, method):
    return name in BY_DAY and method in METHODS_BY_DAY


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(name, method, marks=() if by_day(name, method) else pytest.mark.nightly)
        for name in NETWORKS
        for method in METHODS
    ],
)
def test_a_method_is_trained_stored_and_counted_on_a_network(result_of, name, method):
    result = result_of(name, method)
    if result.status == "unsupported":
        assert method in refusals(name), result.reason
        return
    assert result.status == "ok", result.reason
    assert method not in refusals(name)
    stored = result.ledger.shared_bits + sum(result.ledger.task_bits.values())
    assert (stored > 0) == (method != "linear_probe")
    if name == WRITER:
        assert (sum(result.ledger.head_bits.values()) > 0) == (method == "linear_probe")


def refusals(name):
    """The methods that are not defined on a network."""
    found = set()
    if name not in (*DECODERS, "electra"):
        found.add("prefix_tuning")
    if name not in (*DECODERS, "electra", "distilbert"):
        found.add("prompt_tuning")
    if name not in ("deit_distilled", "vit_reg4"):
        found.add("vpt_shallow")
    if name in ("convnext", "convnextv2", "bit", "resnet_gn", "resnext", "regnet"):
        found |= {"parallel_adapters", "hyperformer_pp"}
    if name in ("regnet", "convnext", "convnextv2"):
        found.add("lora")  # the rank cannot be divided by their groups
    if name == "swin":
        found.add("hyperformer_pp")  # widths grow by stage
    if name in ("llama", "mistral", "qwen3", "gemma", "modernbert", WRITER):
        found.add("bitfit")
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly if name in IMAGE else ())
        for name in (*TEXT, *IMAGE)
    ],
)
def test_a_loaded_network_computes_what_its_library_computes(folder, name, tmp_path):
    backbone = load_backbone(load(folder).backbones[name])
    assert backbone.family == FAMILY[name]
    torch.manual_seed(1)
    with torch.no_grad():
        if name in TEXT:
            own = save_text(name, tmp_path / name)
            mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
            inputs = {"input_ids": torch.randint(3, 10, (2, 5)), "attention_mask": mask}
            hidden = own(**inputs).last_hidden_state
            # Of a decoder the last token that is not padding, of an encoder all of them.
            if FAMILY[name] in ("decoder", "gpt2"):
                expected = torch.stack([hidden[0, 4], hidden[1, 2]])
            else:
                expected = torch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)])
        else:
            own = save_image(name, tmp_path / name)
            inputs = {"image": torch.randn(2, 3, SIZE, SIZE)}
            expected = own(inputs["image"])
        torch.testing.assert_close(backbone(inputs), expected, rtol=1e-5, atol=1e-5)


def test_shared_layers_are_counted_once(folder):
    backbone = load_backbone(load(folder).backbones["albert"])
    config = backbone.network.config
    assert (config.num_hidden_layers, backbone.blocks) == (4, 2)
    own = backbone.network.encoder.albert_layer_groups[0].albert_layers[0]
    queries = [site for site in backbone.of_kind("linear") if site.part == "query"]
    assert len(queries) == 2
    assert backbone.module(queries[0]) is own.attention.query


@pytest.mark.parametrize("name", ["beit", "eva", "gpt2"])
def test_a_fused_projection_is_called_as_a_layer(folder, name):
    backbone = load_backbone(load(folder).backbones[name])
    (first, *_) = [site for site in backbone.of_kind("linear") if site.part == "qkv"]
    inputs = {"image": torch.randn(2, 3, SIZE, SIZE)}
    if name == "gpt2":
        ids = torch.tensor([[3, 4, 5]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before = backbone(inputs)
    backbone.replace(first, torch.nn.Sequential(backbone.module(first), torch.nn.Tanh()))
    assert not torch.allclose(before, backbone(inputs))


def test_a_network_of_a_kind_of_the_family_is_served_as_that_kind(folder):
    write_entry(folder / "backbones", "distilbert", "bert")
    write_entry(folder / "backbones", "convnext", "resnet")
    try:
        registry = load(folder)
        assert load_backbone(registry.backbones["distilbert"]).family == "distilbert"
        with pytest.raises(UserError, match="'convnext_atto', which belongs to the family convnex"):
            load_backbone(registry.backbones["convnext"])
    finally:
        write_entry(folder / "backbones", "distilbert", "distilbert")
        write_entry(folder / "backbones", "convnext", "convnext")


def test_a_network_that_no_family_serves_is_refused_by_its_name(folder):
    config = folder / "backbones" / "mini" / "distilbert" / "config.json"
    before = config.read_text()
    config.write_text(before.replace('"distilbert"', '"mobilebert"'))
    try:
        registry = load(folder)
        with pytest.raises(UserError, match=r"'mobilebert', which no family serves.*modernbert"):
            load_backbone(registry.backbones["distilbert"])
        (item,) = suite.plan("lora", "reads", "distilbert", registry=registry).planned
        assert item.action == "unsupported"
        assert "'mobilebert', which no family serves" in item.reason
    finally:
        config.write_text(before)


@pytest.mark.parametrize(
    ("library", "architecture", "family"),
    [
        ("timm", "resnet50", "resnet"),
        ("timm", "resnetv2_50x1_bit", "resnetv2"),
        ("timm", "vit_base_patch16_224", "vit"),
        ("timm", "vit_small_patch16_dinov3", "eva"),
        ("timm", "swin_tiny_patch4_window7_224", "swin"),
        ("transformers", "xlm-roberta", "bert"),
        ("transformers", "gpt2", "gpt2"),
    ],
)
def test_the_longest_pattern_decides(library, architecture, family):
    assert family_of(library, architecture).name == family


@pytest.mark.parametrize("architecture", ["mobilenetv3_small_050", "swinv2_tiny_window8_256"])
def test_other_architectures_belong_to_no_family(architecture):
    assert family_of("timm", architecture) is None
