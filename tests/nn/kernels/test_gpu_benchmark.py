"""The GPU benchmark as far as it runs without one."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
sys.path.insert(0, str(FOLDER))

import graphs  # noqa: E402
import micro  # noqa: E402
import page  # noqa: E402
import trainers  # noqa: E402
import training  # noqa: E402
from measure import Failed, Row, write_csv  # noqa: E402
from problems import NETWORKS  # noqa: E402
from targets import verdicts  # noqa: E402

from suite.engine.capture import SETTING  # noqa: E402
from suite.registry import load  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("script", ["", "graphs.py"])
def test_refuses_to_run_without_a_gpu(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / script), run_name="__main__")
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "there is none here" in said.err
    assert not said.out


def test_every_variant_takes_its_steps(tmp_path):
    rows = list(training.measure("tiny_bert", 2, CPU, compile_networks=False, rounds=1))
    # Its optimizer is a Triton kernel alone.
    assert [one.variant for one in rows if isinstance(one, Failed)] == ["full, bf16 copy"]
    timed = {one.variant for one in rows if isinstance(one, Row) and one.metric == "time"}
    assert timed == set(training.PLAIN) - {"full, bf16 copy"}
    write_csv(tmp_path / "rows.csv", [*rows, Failed("a", "b", "c", "why")], {"gpu": "none"})
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[-1].endswith("not measured: why,none")


@pytest.mark.nightly
def test_a_variant_that_fails_does_not_stop_the_others():
    # There is no linear layer but the head for LoRA to adapt.
    rows = list(training.measure("tiny_resnet", 2, CPU, compile_networks=False, rounds=1))
    failed = {one.variant for one in rows if isinstance(one, Failed)}
    assert failed == {"LoRA r=8", "full, bf16 copy"}
    assert {"TAPS", "TAPS flat PyTorch"} <= {one.variant for one in rows}


def trained(form, steps=2):
    torch.manual_seed(0)
    trainer = form(lambda: NETWORKS["tiny_resnet"](4, CPU))
    for _ in range(steps):
        trainer.step()
    return trainer


def test_the_flat_arena_steps_as_the_arena_does():
    ours, flat = trained(trainers.ArenaTaps).arena, trained(trainers.FlatTaps).arena
    assert ours.change.abs().max() > 0
    torch.testing.assert_close(flat.gate_score, ours.gate_score, rtol=1e-3, atol=1e-4)
    difference = (flat.change - ours.change).norm() / ours.change.norm()
    # Adam's first steps have the size of the rate, whatever the gradient: a sign may differ.
    assert difference < 0.05


@pytest.mark.parametrize("share", [0.62, 0.30, 0.10])
def test_locked_training_keeps_the_share_of_weights_open(share):
    form = {0.62: trainers.Locked62, 0.30: trainers.Locked30, 0.10: trainers.Locked10}[share]
    trainer = trained(form, steps=1)
    opened = sum(leaf.numel() for leaf in trainer.arena.leaves)
    closed = sum(weight.numel() for weight in trainer.closed)
    assert opened / (opened + closed) <= share
    assert all(weight.grad is None for weight in trainer.closed)


def test_one_product_generates_what_the_sites_generate_in_turn():
    torch.manual_seed(0)
    sites = [
        micro.Site(stack, layer, kind)
        for stack in ("encoder", "decoder")
        for layer in range(2)
        for kind in ("attention", "feed_forward")
    ]
    network = micro.SharedHyperNetworks(micro.TaskContext(["a"]), sites, 24, 8, 16, 8)
    one, turns = network(network.tasks()), micro.PerSite(network)(network.tasks())
    for together, alone in zip(one, turns, strict=True):
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a.flatten(), b)


def made(variant, value, case="vit_small 32"):
    return Row("step", case, variant, "time", value, value, value, "ms")


def test_verdicts_compare_with_the_strongest_baseline():
    rows = [
        made("TAPS, graph", 1.02),
        made("full, autocast, graph", 1.1),
        made("full, bf16 copy, graph", 1.0),
    ]
    found = {v.number: v for v in verdicts(rows)}
    assert found["S1"].value == pytest.approx(1.02)
    assert found["S1"].met
    assert found["S2"].value == pytest.approx(1.02 / 1.1)
    slower = {v.number: v for v in verdicts([made("TAPS, graph", 1.04), *rows[1:]])}
    assert slower["S1"].met is False
    assert "MISSED" in str(slower["S1"])
    assert slower["S3"].value is None
    assert "not measured" in str(slower["S3"])


def test_the_page_shows_the_measured_figures():
    docs = Path(__file__).parents[3] / "docs"
    text = (docs / "kernels.md").read_text()
    shown = text.split("<!-- measured -->\n")[1].split("\n<!-- end -->")[0]
    assert shown == page.table(docs / "kernels-h100.csv")


def test_trainings_with_graphs_and_without_are_compared(monkeypatch):
    monkeypatch.setenv(SETTING, "")
    registry = load()
    assert {name for name, _ in graphs.CASES} <= set(registry.methods)
    rows = list(graphs.measure("lora", "vit", CPU, registry, steps=6))
    found = {(one.variant, one.metric): one.median for one in rows}
    gain = found["launched", "step"] / found["graph", "step"]
    assert found["graph", "gain"] == pytest.approx(gain)
    assert gain > 0
