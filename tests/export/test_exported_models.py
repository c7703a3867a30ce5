"""An exported model answers in a process without the suite as it did in one with it."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from few import few_examples, few_tests
from notebook import Notebook
from pages import BLOCK, ROOT, workplace

from suite.cli.main import main
from suite.data.encode import encode_questions
from suite.data.questions import columns_of
from suite.engine.cell import run_cell
from suite.engine.predictor import load_predictor
from suite.engine.workspace import Workspace
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load
from suite.results.folder import work_folder

PEFT = {
    "lora of every layer, rounded": ("lora", "glue/cola", "bert_mini", "LORA"),
    "dora": ("dora", "glue/rte", "bert_mini", "LORA"),
    "oft": ("oft", "glue/rte", "bert_mini", "OFT"),
    "vera": ("vera", "glue/rte", "bert_mini", "VERA"),
    "fourierft, a regression": ("fourierft", "glue/stsb", "bert_mini", "FOURIERFT"),
    "pissa": ("pissa", "glue/rte", "bert_mini", "LORA"),
    "vit": ("dora", "digits", "vit_mini", "LORA"),
    "t5": ("ia3", "glue/sst2", "t5_mini", "IA3"),
    "t5 regression": ("lora", "glue/stsb", "t5_mini", "LORA"),
    "t5 prompt": ("prompt_tuning", "glue/sst2", "t5_mini", "PROMPT_TUNING"),
}
TORCH = {
    "merged": ("taps", "glue/rte", "bert_mini", "model.safetensors"),
    "merged t5": ("full_finetuning", "glue/sst2", "t5_mini", "model.safetensors"),
    "merged vit, joint": ("shared_finetuning", "digits,glyphs", "vit_mini", "model.safetensors"),
    "program": ("adapters", "glue/stsb", "bert_mini", "model.pt2"),
    "program, one by one": ("prompt_tuning", "glue/cola", "bert_mini", "model.pt2"),
    "program of t5, joint": ("hyperformer_pp", "glue/rte,glue/sst2", "t5_mini", "model.pt2"),
    "program of a network of the suite": ("norm_tuning", "digits", "resnet_mini", "model.pt2"),
}
OPTIONS = {
    "lora of every layer, rounded": {"options": {"lora.targets": "all"}, "store": "int8"},
}
# The others are exported by the same code, and take as long again.
EVERY_TIME = {"lora of every layer, rounded", "merged", "program"}
ROWS = 12
EXPORT_PAGE = ROOT / "docs" / "export.md"


@dataclass(frozen=True)
class Exported:
    folder: Path
    page: str
    predicted: list
    logits: np.ndarray | None
    answers: dict


def of_each(cases):
    """Parametrizes a test by cases, some of them nightly."""
    nightly = pytest.mark.nightly
    values = [pytest.param(case, marks=() if case in EVERY_TIME else nightly) for case in cases]
    return pytest.mark.parametrize("case", values)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, request):
    """The cases asked for, and those of every time: each trained for a few steps, exported, and
    asked in one process without the suite."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = {call.params["case"] for call in calls if call and "case" in call.params}
    cases = {
        name: case for name, case in (PEFT | TORCH).items() if name in EVERY_TIME or name in asked
    }
    with pytest.MonkeyPatch.context() as patch:
        few_examples(patch, tmp_path_factory.mktemp("cache"))
        yield _exported(cases, tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def refused(exported, tmp_path_factory):
    """Runs `export` on the cells of `exported`: what it says on stderr."""
    root = exported["merged"].folder.parent

    def run(case, capsys, *words):
        (label,) = {path.name for path in (root / f"out-{case}" / "work").iterdir()}
        cell = label.removeprefix("mini.")
        assert main(["export", cell, "--out", str(root / f"out-{case}"), *words]) == 2
        return capsys.readouterr().err

    return run


def _exported(cases, root):
    workspace = Workspace(load(), torch.device("cpu"), 1)
    asked, expected = {}, {}
    for case, (method, tasks, backbone, _) in cases.items():
        out, folder = root / f"out-{case}", root / case
        cell = cell_of(method, tasks, backbone, out, workspace, **OPTIONS.get(case, {}))
        task = cell.tasks[-1]
        words = ["export", cell.label, "--out", str(out), "-o", str(folder)]
        words += ["--task", task] if len(cell.tasks) > 1 else []
        assert main([*words, "--to", "peft" if case in PEFT else "torch"]) == 0
        predictor = load_predictor(work_folder(out, cell), workspace.registry, "cpu")
        entry = predictor.tasks[task]
        own = workspace.registry.tasks[f"{cell.track}/{task}"]
        columns = few_tests(own)
        if entry.text is None:
            questions = [*columns["image"][:ROWS]]
            np.save(root / f"{case}.npy", columns["image"][:ROWS])
            asked[str(folder)] = [str(root / f"{case}.npy")]
        else:
            given = [list(columns[name][:ROWS]) for name in entry.text.columns]
            asked[str(folder)] = given
            questions = given[0] if len(given) == 1 else [*zip(*given, strict=True)]
        expected[case] = (predictor.predict(questions, task), logits(predictor, entry, questions))
    (root / "questions.json").write_text(json.dumps(asked))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = Path(__file__).with_name("alone.py")
    subprocess.run(
        [sys.executable, script, root / "questions.json", root / "answers.json"],
        check=True,
        env=environment | {"HF_HUB_OFFLINE": "1"},
        cwd=root,
    )
    answers = json.loads((root / "answers.json").read_text())
    return {
        case: Exported(
            root / case, (root / case / "README.md").read_text(), *values, answers[str(root / case)]
        )
        for case, values in expected.items()
    }


def cell_of(method, tasks, backbone, out, workspace, **more):
    asked = request(method, tasks, backbone, steps=3, batch_size=8, **more)
    (item,) = plan(asked, workspace.registry).planned
    key = item.cell.key
    result = run_cell(item.cell, workspace, work_folder(out, key), lambda *_: None)
    result.write(out / "results")
    return key


@torch.no_grad()
def logits(predictor, entry, questions):
    """The outputs of the suite's model; None if it writes its answers."""
    if predictor.backbone.family == "t5":
        return None
    columns = columns_of(entry, questions, predictor.backbone.entry.image_size)
    length = predictor.origin.max_length
    inputs = dict(encode_questions(entry, columns, predictor.backbone, length).inputs)
    if "image" in inputs:
        mean, std = (torch.tensor(each)[:, None, None] for each in ((0.5,) * 3, (0.25,) * 3))
        inputs["image"] = (inputs["image"] / 255 - mean) / std
    else:
        inputs = {name: tensor.long() for name, tensor in inputs.items()}
    predictor.model.context.activate(entry.name)
    return predictor.model(inputs).numpy()


@of_each([*PEFT, *TORCH])
def test_it_answers_as_the_suite_does(exported, case):
    own = exported[case]
    found = own.answers["predict"]
    if isinstance(own.predicted[0], float):
        assert found == pytest.approx(own.predicted, abs=1e-5)
    else:
        assert found == own.predicted


@of_each(case for case, (_, _, backbone, _) in (PEFT | TORCH).items() if backbone != "t5_mini")
def test_its_outputs_are_equal_to_a_millionth(exported, case):
    own = exported[case]
    size = np.abs(own.logits).max()
    assert own.answers["logits"] == pytest.approx(own.logits, abs=1e-6 * max(1.0, float(size)))


@of_each(PEFT)
def test_an_adapter_is_of_its_own_kind(exported, case):
    config = json.loads((exported[case].folder / "adapter_config.json").read_text())
    assert config["peft_type"] == PEFT[case][3]
    assert config["base_model_name_or_path"] == "backbone"


@of_each(TORCH)
def test_weights_are_merged_where_they_can_be(exported, case):
    kinds = {"model.safetensors", "model.pt2"}
    assert kinds & {path.name for path in exported[case].folder.iterdir()} == {TORCH[case][3]}


def test_the_page_says_what_it_is(exported):
    page = exported["lora of every layer, rounded"].page
    for words in (
        "# LoRA on bert_mini for glue/cola",
        "bits in int8",
        "targets=all",
        "| data licence",
        "| Apache-2.0",
        "95 %, over test examples",
        "https://arxiv.org/abs/2106.09685",
        "learning_rate=",
        "library_name: peft",
    ):
        assert words in page, words


REFUSED = {
    "program": "adapters[steps=3,batch_size=8] on bert_mini: peft has no form for",
    "program, one by one": "in front of the embeddings",
    "program of a network of the suite": "resnet_mini is no network that another library builds",
}


@of_each(REFUSED)
def test_what_peft_cannot_hold_is_refused_with_the_reason(refused, tmp_path, capsys, case):
    said = refused(case, capsys, "--to", "peft", "-o", str(tmp_path / "new"))
    assert REFUSED[case] in said
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_written_over(refused, tmp_path, capsys):
    said = refused("merged", capsys, "--to", "torch", "-o", str(tmp_path))
    assert "exists already" in said


@of_each(["program of t5, joint"])
def test_which_task_is_meant_must_be_clear(refused, capsys, case):
    said = refused(case, capsys, "--to", "torch")
    assert "say --task" in said and "serves sst2, rte" in said
    said = refused(case, capsys, "--to", "torch", "--task", "rt")
    assert "did you mean 'rte'" in said


@pytest.mark.nightly
def test_the_page_on_export_does_what_it_says(tmp_path):
    bash = re.compile(r"```bash\n(.*?)```", re.S)
    text = EXPORT_PAGE.read_text()
    with workplace(tmp_path, tmp_path / "cache"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for command in bash.search(text)[1].splitlines():
            words = [sys.executable, *shlex.split(command)[1:]]
            subprocess.run(words, check=True, env=environment, capture_output=True)
        notebook = Notebook()
        for block in BLOCK.finditer(text):
            assert notebook.run(block["code"]) == block["printed"]
    assert (tmp_path / "merged-rte" / "model.safetensors").is_file()
