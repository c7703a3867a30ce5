"""Real images on a real pretrained network, from the folder that SUITE_DATA names."""

import json
import os
import subprocess
import sys

import pytest
import torch.nn.functional as F
from safetensors.torch import load_file

from suite.backbones.load import load_backbone
from suite.planning.locate import model_folder
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry import load
from suite.registry.schema import Scale

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        "SUITE_DATA" not in os.environ, reason="SUITE_DATA names no folder with real data"
    ),
]


def suite(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "suite", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, **environment},
    )


@pytest.mark.nightly
def test_photographs_on_the_published_resnet20(tmp_path):
    done = suite(
        *("run", "--scale", "full", "-m", "linear_probe,taps", "-t", "pacs/photo"),
        *("-b", "resnet20", "--steps", 30, "--out", tmp_path, "--json"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    scores = {each["cell"]["method"]: each["scores"][0]["score"] for each in results}
    # Seven classes; a third of the photographs already show what CIFAR-10 taught.
    assert scores["linear_probe"] > 40
    assert scores["taps"] > 40
    assert all(each["scores"][0]["data"] == "" for each in results)


def test_what_is_missing_is_named_with_where_it_was_looked_for(tmp_path):
    done = suite(
        *("run", "--scale", "full", "-m", "taps", "-t", "pacs/photo", "-b", "resnet20"),
        *("--out", tmp_path / "out"),
        SUITE_DATA=str(tmp_path),
        HF_HUB_OFFLINE="1",
    )
    assert done.returncode == 2
    assert "pacs (photo)" in done.stderr
    assert str(tmp_path / "datasets" / "pacs" / "photo") in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/results/*"))


def test_a_vit_on_smaller_images_has_the_checkpoints_positions_interpolated():
    entry = load().backbones["vit_tiny_96"]
    positions = load_backbone(entry).network.pos_embed
    published = load_file(model_folder(entry) / "model.safetensors")["pos_embed"].float()
    grid = published[:, 1:].view(1, 14, 14, -1).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, size=(6, 6), mode="bicubic", antialias=True)
    assert positions.shape == (1, 1 + 36, 192)
    assert (positions[:, :1] == published[:, :1]).all()
    # The checkpoint is in half precision, and so are positions made from it.
    assert (positions[:, 1:] - expected.flatten(2).mT).abs().max() < 2e-3


@pytest.mark.parametrize(
    ("track", "backbone"),
    [
        ("small-images", "resnet20"),
        ("small-images", "densenet_bc"),
        ("pacs-flowers", "vit_tiny_96"),
        ("glue", "minilm"),
    ],
)
def test_every_board_of_real_data_has_all_that_its_cells_need(track, backbone):
    asked = Request(("full_finetuning", "taps_joint"), (track,), (backbone,), scale=Scale.FULL)
    made = plan(asked, load())
    assert made.missing == ()
    assert len(made.with_action("run")) == len(load().tracks[track].tasks) + 1
