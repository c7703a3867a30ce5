"""Backbones that are given by a hub id or a folder, without an entry of their own."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy

sys.path.append(str(Path(__file__).parents[1] / "backbones"))

from small_networks import save_image, save_text, save_vision

import suite
from suite.backbones.load import load_backbone
from suite.cli.main import main
from suite.errors import UserError
from suite.planning.given import with_given
from suite.registry import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No data, an empty hub cache and an empty cache of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SUITE_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def in_hub_cache(folder: Path, repository: str) -> Path:
    """Move a folder to where the hub's cache keeps a repository's revision."""
    root = Path("hub") / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    target = root / "snapshots" / COMMIT
    target.parent.mkdir()
    shutil.move(folder, target)
    return target.absolute()


def test_a_folder_of_timm_says_how_its_images_look():
    save_image("vit_reg4", Path("My Net"))
    registry, (name,) = with_given(load(), ["./My Net"])
    entry = registry.backbones[name]
    assert name == "my-net"
    assert (entry.family, entry.modality, entry.scale) == ("vit", "image", "full")
    assert (entry.image_size, entry.mean, entry.std) == (24, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def test_an_entry_that_was_made_is_found_later_by_its_name():
    save_text("distilbert", Path("mine"))
    with_given(load(), ["./mine"])
    later = load()
    assert later.problems == ()
    assert later.backbones["mine"].family == "distilbert"
    assert with_given(later, ["./mine"])[1] == ("mine",)


@pytest.mark.parametrize("word", ["timm:small.in1k", "timm:timm/small.in1k", "hf:timm/small.in1k"])
def test_a_hub_id_records_the_revision_of_the_cache(word):
    save_image("regnet", Path("saved"))
    folder = in_hub_cache(Path("saved"), "timm/small.in1k")
    registry, (name,) = with_given(load(), [word])
    entry = registry.backbones[name]
    assert (entry.family, entry.source.id) == ("regnet", "timm/small.in1k")
    assert entry.source.revision == COMMIT
    assert entry.source.library == "timm"
    from suite.planning.locate import model_folder

    assert model_folder(entry) == folder


def test_a_language_model_is_pooled_at_its_last_token():
    save_text("qwen2", Path("saved"))
    in_hub_cache(Path("saved"), "owner/Little-Qwen")
    registry, (name,) = with_given(load(), ["hf:owner/Little-Qwen"])
    assert name == "hf-owner-little-qwen"
    entry = registry.backbones[name]
    assert (entry.family, entry.pooling) == ("decoder", "last")


def test_the_id_of_a_catalogue_entry_is_that_entry():
    assert with_given(load(), ["hf:google-bert/bert-base-uncased"])[1] == ("bert_base",)
    assert with_given(load(), ["timm:resnet50.tv_in1k"])[1] == ("resnet50",)


def test_folders_of_one_name_are_two_backbones():
    save_text("gpt2", Path("a/net"))
    save_text("llama", Path("b/net"))
    registry, names = with_given(load(), ["./a/net", "./b/net"])
    assert len(set(names)) == 2
    assert [registry.backbones[name].family for name in names] == ["gpt2", "decoder"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "mobilenetv3_small_050"}, "'mobilenetv3_small_050', which no family ser"),
        ({"pretrained_cfg": {}}, "does not say input_size, mean, std under pretrained_cfg"),
        ({"pretrained_cfg": {"input_size": [3, 8, 9], "mean": [0, 0, 0], "std": [1, 1, 1]}},
         r"input_size must be \[3, N, N\]"),
    ],
)  # fmt: skip
def test_a_folder_that_says_too_little_is_refused(change, message):
    save_image("regnet", Path("saved"))
    config = Path("saved/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(UserError, match=message):
        with_given(load(), ["./saved"])


def test_a_vision_transformer_of_transformers_is_that_of_timm():
    own = save_vision(Path("saved"))
    registry, (name,) = with_given(load(), ["./saved"])
    entry = registry.backbones[name]
    assert (entry.family, entry.modality, entry.source.library) == ("vit", "image", "transformers")
    assert (entry.image_size, entry.mean, entry.std) == (24, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    backbone = load_backbone(entry)
    images = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        expected = own.vit(images).last_hidden_state[:, 0]
        torch.testing.assert_close(backbone({"image": images}), expected)
    save_image("deit_distilled", Path("timm"))
    registry, (name,) = with_given(load(), ["./timm"])
    sites = load_backbone(registry.backbones[name]).sites
    assert {site.name for site in backbone.sites} == {site.name for site in sites}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("preprocessor_config.json", {"image_mean": None}, "image_mean"),
        (
            "preprocessor_config.json",
            {"size": {"height": 8, "width": 9}},
            "size must be that of square",
        ),
        ("config.json", {"hidden_act": "relu"}, "hidden_act must be gelu to be served, not relu"),
        (
            "config.json",
            {"num_hidden_layers": 3},
            "the tensor 'encoder.layer.2.attention.*more of the",
        ),
        ("config.json", {"model_type": "levit"}, "'levit', which no family serves.*transformers"),
    ],
)
def test_a_vision_transformer_that_is_another_is_refused(file, change, message):
    save_vision(Path("saved"))
    path = Path("saved", file)
    told = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    with pytest.raises(UserError, match=message):
        registry, (name,) = with_given(load(), ["./saved"])
        load_backbone(registry.backbones[name])


@pytest.mark.parametrize("size", [32, {"shortest_edge": 32}, {"height": 32, "width": 32}])
def test_images_of_another_size_than_in_pretraining_are_served_and_it_is_said(size, capsys):
    save_vision(Path("saved"))
    path = Path("saved", "preprocessor_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": size}))
    registry, (name,) = with_given(load(), ["./saved"])
    backbone = load_backbone(registry.backbones[name])
    assert backbone({"image": torch.zeros(1, 3, 32, 32)}).shape == (1, 32)
    assert "[1, 10, 32] in" in backbone.note and "interpolated to [1, 17, 32]" in backbone.note
    assert backbone.note in capsys.readouterr().err


def test_a_vision_transformer_without_its_preprocessing_is_refused():
    save_vision(Path("saved"))
    Path("saved/preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"preprocessor_config\.json cannot be read"):
        with_given(load(), ["./saved"])


@pytest.mark.parametrize("word", ["./absent", "hf:owner/absent", "timm:absent"])
def test_what_is_absent_is_named_with_every_place(word):
    with pytest.raises(UserError, match=f"weights of {word} not found\n  looked in "):
        with_given(load(), [word], fetch=True)


def test_what_the_hub_has_is_brought(monkeypatch):
    save_text("mpnet", Path("saved"))

    def download(repository, **options):
        assert repository == "owner/mpnet"
        return in_hub_cache(Path("saved"), repository)

    nothing = SimpleNamespace(siblings=None)
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", lambda *_, **__: nothing)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    own = __import__("huggingface_hub").snapshot_download

    def snapshot(repository, **options):
        return own(repository, **options) if "local_files_only" in options else download(repository)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(UserError, match="fetch --backbones hf:owner/mpnet"):
        with_given(load(), ["hf:owner/mpnet"])
    registry, (name,) = with_given(load(), ["hf:owner/mpnet"], fetch=True)
    assert registry.backbones[name].family == "mpnet"


def test_new_backbone_writes_an_entry_that_is_valid(capsys):
    save_image("swin", Path("nets/swin"))
    assert main(["new", "backbone", "./nets/swin"]) == 0
    assert "swin.yaml" in capsys.readouterr().out
    entry = load(Path.cwd()).backbones["swin"]
    assert entry.path == Path.cwd() / "backbones" / "swin.yaml"
    assert (entry.family, entry.image_size) == ("swin", 24)
    assert main(["new", "backbone", "swin"]) == 2


@pytest.mark.parametrize("word", ["./nets/swin", "nets/swin", "nets/swin/"])
def test_a_folder_with_an_entry_is_that_entry(word, capsys):
    save_image("swin", Path("nets/swin"))
    assert main(["new", "backbone", "./nets/swin"]) == 0
    entry = load(Path.cwd()).backbones["swin"]
    assert with_given(load(Path.cwd()), [word])[1] == ("swin",)
    assert main(["new", "backbone", word]) == 2
    assert (
        f"{word} is the backbone 'swin' already, in backbones/swin.yaml" in capsys.readouterr().err
    )
    assert load(Path.cwd()).backbones["swin"] == entry


def test_one_word_in_two_places_is_two_backbones(monkeypatch):
    save_text("gpt2", Path("a/net"))
    save_text("llama", Path("b/net"))
    found = []
    for place in ("a", "../b", "../a"):
        monkeypatch.chdir(place)
        found += with_given(load(), ["./net"])[1]
    assert found[0] == found[2] != found[1]
    assert [load().backbones[name].family for name in found[:2]] == ["gpt2", "decoder"]


@pytest.mark.parametrize("folder", ["all", "bert-mini", "BERT_mini"])
def test_a_name_never_stands_for_another_backbone(folder):
    save_text("llama", Path(folder))
    registry, names = with_given(load(), [f"./{folder}"])
    assert [entry.family for entry in registry.select_backbones(names)] == ["decoder"]


def test_a_folder_without_its_path_is_no_name():
    save_text("llama", Path("mine"))
    with pytest.raises(UserError, match=r"'mine' is no backbone of .* a folder: write \./mine"):
        with_given(load(), ["mine"])
    with pytest.raises(UserError, match=r"unknown backbone 'owner/mine'.*\n.*\n.*hf:OWNER/NAME"):
        load().select_backbones(with_given(load(), ["owner/mine"])[1])


def test_a_folder_may_have_any_name():
    save_image("regnet", Path("my net, the 2nd"))
    toy.write_tasks(Path.cwd())
    plan = suite.plan("lora", "domainnet/clipart", "./my net, the 2nd", scale="full")
    assert {item.cell.key.backbone for item in plan.planned} == {"my-net-the-2nd"}


def test_check_takes_a_folder(capsys, monkeypatch):
    monkeypatch.setattr("suite.contract.networks.check_backbone", lambda *_: iter(()))
    save_text("llama", Path("mine"))
    assert main(["check", "./mine"]) == 0
    assert "loads whole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "key"),
    [("electra", "is_decoder"), ("mpnet", "is_decoder"), ("gpt2", "add_cross_attention")],
)
def test_a_network_that_reads_otherwise_than_its_family_is_refused(name, key):
    save_text(name, Path("mine"))
    config = Path("mine/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: True}))
    registry, (own,) = with_given(load(), ["./mine"])
    with pytest.raises(
        UserError, match=f"'{name}', which the family {name} does not .*{key}: true"
    ):
        load_backbone(registry.backbones[own])


def test_plan_takes_a_folder_like_a_name():
    save_image("regnet", Path("mine"))
    toy.write_tasks(Path.cwd())
    plan = suite.plan("lora,prefix_tuning", "domainnet/clipart", "./mine", scale="full")
    assert {item.cell.key.backbone for item in plan.planned} == {"mine"}


def test_a_damaged_configuration_is_missing_and_says_nothing_of_earlier_results():
    save_image("regnet", Path("mine"))
    toy.write_tasks(Path.cwd())
    suite.plan("lora", "domainnet/clipart", "./mine", scale="full")
    Path("mine/config.json").write_text('{"architecture": "reg')
    plan = suite.plan("lora", "domainnet/clipart", "mine", scale="full")
    assert {item.action for item in plan.planned} == {"missing"}
    assert any("mine/config.json cannot be read" in str(each) for each in plan.missing)
