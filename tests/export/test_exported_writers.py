"""A language model that writes, exported: to peft as a causal one, and with other weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from small_networks import save_writer
from small_registry import write_entry, write_words

from suite.engine.cell import run_cell
from suite.engine.predictor import load_predictor
from suite.engine.workspace import Workspace
from suite.export.folder import export
from suite.export.subject import NotHeld, subject_of
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load
from suite.results.folder import work_folder

TEXTS = ["red green blue", "small large", "round square red small"]
METHODS = {"lora": "peft", "full_finetuning": "torch"}
REFUSED = {"prompt_tuning": "peft", "adapters": "torch"}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The subject of every method's cell, the answers of its model, and the registry."""
    root = tmp_path_factory.mktemp("writers")
    write_words(root)
    save_writer("llama", root / "backbones" / "mini" / "writes")
    write_entry(root / "backbones", "writes", "decoder", "form: text_to_text\n")
    registry = load(root)
    workspace = Workspace(registry, torch.device("cpu"), 1)
    made = {}
    for method in (*METHODS, *REFUSED):
        asked = request(method, "words/reads", "writes", steps=8, batch_size=8)
        (item,) = plan(asked, registry).planned
        folder = work_folder(root, item.cell.key)
        result = run_cell(item.cell, workspace, folder, lambda *_: None)
        assert result.status == "ok", result.reason
        predictor = load_predictor(folder, registry, "cpu")
        made[method] = subject_of(result, root, None, registry), predictor.predict(TEXTS, "reads")
    return root, registry, made


@pytest.fixture(scope="module")
def folders(cells, tmp_path_factory):
    root, registry, made = cells
    out = tmp_path_factory.mktemp("exported")
    for method, target in METHODS.items():
        export(made[method][0], target, out / method, root, registry)
    return out


def test_an_adapter_is_that_of_a_causal_language_model(folders):
    config = json.loads((folders / "lora" / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM"


def test_changed_weights_are_those_of_the_library(folders):
    assert (folders / "full_finetuning" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("method", "said"),
    [("prompt_tuning", "this one enters the blocks"), ("adapters", "not written as a program")],
)
def test_what_no_form_holds_is_refused(cells, tmp_path, method, said):
    root, registry, made = cells
    with pytest.raises(NotHeld, match=said):
        export(made[method][0], REFUSED[method], tmp_path / "new", root, registry)
    assert not (tmp_path / "new").exists()


@pytest.mark.nightly
def test_it_answers_without_the_suite_as_with_it(cells, folders, tmp_path):
    asked = {str(folders / method): [TEXTS] for method in METHODS}
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    alone = Path(__file__).with_name("alone.py")
    command = [sys.executable, alone, tmp_path / "asked.json", tmp_path / "answers.json"]
    subprocess.run(command, check=True, cwd=tmp_path)
    answers = json.loads((tmp_path / "answers.json").read_text())
    for method in METHODS:
        assert answers[str(folders / method)]["predict"] == cells[2][method][1]
