"""A saved delta answers the test inputs, given as a user would give them, as its result says."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from few import few_examples, few_tests
from PIL import Image

from suite.data.splits import Columns
from suite.engine.cell import run_cell
from suite.engine.delta import FORMAT, read_header
from suite.engine.predictor import load_predictor
from suite.engine.workspace import Workspace
from suite.errors import UserError
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load

CELLS = {
    "bert": ("adapters", "glue/rte", "bert_mini"),
    "bert regression": ("linear_probe", "glue/stsb", "bert_mini"),
    "t5": ("ia3", "glue/sst2", "t5_mini"),
    "t5 joint": ("hyperformer_pp", "glue/rte,glue/stsb", "t5_mini"),
    "t5 joint, prefixed": ("shared_finetuning", "glue/sst2,glue/cola", "t5_mini"),
    "resnet": ("norm_tuning", "digits", "resnet_mini"),
    "vit joint": ("hyperformer", "digits,glyphs", "vit_mini"),
}


@dataclass(frozen=True)
class Ran:
    registry: object
    result: object
    folder: object


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        few_examples(patch, tmp_path_factory.mktemp("cache"))
        yield Workspace(load(), torch.device("cpu"), 1)


EVERY_TIME = ("bert", "t5 joint", "vit joint")
"""An encoder, answers that are written, and images; both regimes."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.nightly)
        for name in CELLS
    ],
)
def ran(request, workspace, tmp_path_factory):
    return cell_of(request.param, workspace, tmp_path_factory.mktemp("cell"))


def cell_of(name, workspace, folder):
    method, tasks, backbone = CELLS[name]
    asked = request(method, tasks, backbone, steps=4, batch_size=8)
    (item,) = plan(asked, workspace.registry).planned
    return Ran(workspace.registry, run_cell(item.cell, workspace, folder, lambda *_: None), folder)


def questions(task, columns: Columns):
    if task.text is None:
        return [*columns["image"]]
    texts = [columns[name] for name in task.text.columns]
    return texts[0] if len(texts) == 1 else [*zip(*texts, strict=True)]


def test_answers_to_the_test_inputs_are_those_of_the_result(ran):
    model = load_predictor(ran.folder, ran.registry, "cpu")
    cell = ran.result.cell
    assert tuple(model.tasks) == cell.tasks
    for score in ran.result.scores:
        entry = ran.registry.tasks[f"{cell.track}/{score.task}"]
        asked = questions(entry, few_tests(entry))
        answers = model.predict_raw(asked, task=score.task)
        assert [round(answer, 4) for answer in answers] == [*score.predictions]
        if entry.output.type == "classification":
            names = [None if p == -1 else entry.output.labels[p] for p in score.predictions]
            assert model.predict(asked, task=score.task) == names
        # In other company and in another order, the answers stay.
        assert model.predict_raw(asked[9:2:-1], score.task) == pytest.approx(answers[9:2:-1])


def test_the_label_of_an_answer_is_the_most_probable_one(ran):
    model = load_predictor(ran.folder, ran.registry, "cpu")
    for score in ran.result.scores:
        entry = ran.registry.tasks[f"{ran.result.cell.track}/{score.task}"]
        asked = questions(entry, few_tests(entry))
        if ran.result.cell.backbone == "t5_mini" or entry.output.type == "regression":
            with pytest.raises(UserError, match=f"answers for {score.task} are .* without probab"):
                model.predict_proba(asked, task=score.task)
            continue
        found = model.predict_proba(asked, task=score.task)
        assert found.shape == (len(asked), len(entry.output.labels))
        assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert found.argmax(axis=1).tolist() == model.predict_raw(asked, task=score.task)


@pytest.mark.nightly
def test_the_precision_of_training_is_that_of_every_answer(workspace, tmp_path):
    made = {}
    for precision in ("float32", "bfloat16"):
        asked = request("lora", "glue/stsb", "bert_mini", steps=4, precision=precision)
        (item,) = plan(asked, workspace.registry).planned
        folder = tmp_path / precision
        folder.mkdir()
        made[precision] = run_cell(item.cell, workspace, folder, lambda *_: None)
        entry = workspace.registry.tasks["glue/stsb"]
        model = load_predictor(folder, workspace.registry, "cpu")
        texts = questions(entry, few_tests(entry))
        answers = [round(answer, 4) for answer in model.predict_raw(texts)]
        assert answers == [*made[precision].scores[0].predictions]
    exact, rounded = (np.array(result.scores[0].predictions) for result in made.values())
    assert 0 < np.abs(exact - rounded).max() < 0.5


@pytest.fixture(scope="module")
def images(workspace, tmp_path_factory):
    ran = cell_of("resnet", workspace, tmp_path_factory.mktemp("images"))
    return load_predictor(ran.folder / "delta.safetensors", ran.registry, "cpu")


def test_an_image_is_an_array_a_picture_or_a_file_of_any_size(images, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 72, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    asked = [pixels, picture, tmp_path / "a.png", str(tmp_path / "a.png")]
    assert len({*images.predict(asked)}) == 1
    grey = np.array(picture.convert("L"))
    assert images.predict([grey]) == images.predict([np.stack([grey] * 3, axis=-1)])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "give a list of at least one input"),
        ("a.png", "give a list of at least one input"),
        (["nowhere.png"], "'nowhere.png' is no image"),
        ([np.zeros((4, 4, 3))], r"not an array of float64 \[4, 4, 3\]"),
        ([3], "digits takes images .* not 3"),
        ([np.zeros((0, 4, 3), np.uint8)], r"not an array of uint8 \[0, 4, 3\]"),
        (None, "give a list of at least one input"),
    ],
)
def test_an_input_that_is_no_image_is_named(images, inputs, message):
    with pytest.raises(UserError, match=message):
        images.predict(inputs)


def test_texts_are_asked_for_as_the_task_has_them(workspace, tmp_path):
    ran = cell_of("t5 joint", workspace, tmp_path)
    model = load_predictor(ran.folder, ran.registry, "cpu")
    with pytest.raises(UserError, match="say for which task: the delta serves stsb, rte"):
        model.predict([("a", "b")])
    with pytest.raises(UserError, match="unknown task 'rt'; did you mean 'rte'"):
        model.predict([("a", "b")], task="rt")
    with pytest.raises(UserError, match="unknown task '3'"):
        model.predict([("a", "b")], task=3)
    with pytest.raises(UserError, match=r"rte takes a pair of texts \(.*\), not 'a'"):
        model.predict(["a"], task="rte")
    assert len(model.predict([["a", "b"]], task="rte")) == 1
    assert len(model.predict((pair for pair in [("a", "b")]), task="rte")) == 1


def test_a_file_that_is_no_delta_of_a_cell_is_named(workspace, tmp_path):
    from safetensors.torch import load_file, save_file

    with pytest.raises(UserError, match="there is no such file"):
        load_predictor(tmp_path, workspace.registry, "cpu")
    (tmp_path / "delta.safetensors").write_text("nothing")
    with pytest.raises(UserError, match="is no safetensors file"):
        load_predictor(tmp_path, workspace.registry, "cpu")
    ran = cell_of("resnet", workspace, tmp_path / "cell")
    path = ran.folder / "delta.safetensors"
    header, tensors = read_header(path), load_file(path)
    origin = header.origin.model_copy(update={"weights": "of yesterday"})
    other = header.model_copy(update={"origin": origin})
    save_file(tensors, path, {FORMAT: other.model_dump_json()})
    with pytest.raises(UserError, match="trained on other weights of resnet_mini"):
        load_predictor(path, ran.registry, "cpu")
    tensors.popitem()
    tensors["task/digits/unknown"] = torch.zeros(1)
    save_file(tensors, path, {FORMAT: header.model_dump_json()})
    with pytest.raises(UserError, match="does not fit method 'norm_tuning' as it is now"):
        load_predictor(path, ran.registry, "cpu")
    save_file(tensors, path)
    with pytest.raises(UserError, match="is no delta of this version"):
        load_predictor(path, ran.registry, "cpu")


def test_the_header_says_what_the_delta_was_trained_as(ran):
    header = read_header(ran.folder / "delta.safetensors")
    assert header.origin.cell == ran.result.cell
    assert header.origin.options == ran.result.options
    assert header.tasks == ran.result.cell.tasks
