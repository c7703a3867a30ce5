"""Tasks of several labels, and tasks scored by the order of examples: from file to board."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score, roc_auc_score
from tiny import tiny_backbone

from suite.backbones.per_task import TaskContext
from suite.contract.tasks import check_task
from suite.data.batching import Batch
from suite.engine.cell import run_cell
from suite.engine.predictor import load_predictor
from suite.engine.rescore import Rescorer
from suite.engine.workspace import Workspace
from suite.leaderboards.aggregate import boards
from suite.method.model import HeadedModel, log_odds
from suite.planning.plan import plan
from suite.planning.request import request
from suite.registry import load
from suite.registry.schema import TaskEntry
from suite.results.packs import lines_of, read_pack
from suite.results.records import Result
from suite.results.verify import problems

GENERATOR = """\
import numpy as np

from suite.mini import Splits

COLOURS = ("red", "green", "blue")


def _labels(rng, count):
    return rng.integers(0, 2, (count, 3))


def _seen(rng, count):
    label = _labels(rng, count)
    image = rng.integers(0, 120, (count, 24, 24, 3)) + 120 * label[:, None, None]
    return {"image": image.astype(np.uint8), "label": label}


def _read(rng, count):
    label = _labels(rng, count)
    more = rng.permuted(np.tile(np.arange(200), (count, 1)), axis=1)[:, :2]
    words = [
        " ".join([c for c, own in zip(COLOURS, row) if own] + [f"w{i}" for i in extra])
        for row, extra in zip(label, more)
    ]
    return {"sentence": words, "label": label}


def _splits(make, seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    return Splits(*(make(rng, count) for count in (96, 60, 60)))


def seen():
    return _splits(_seen, 0)


def read():
    return _splits(_read, 1)


def _counted(make, seed, classes):
    def counted(rng, count):
        columns = make(rng, count)
        return {**columns, "label": np.minimum(columns["label"].sum(1), classes - 1)}

    return _splits(counted, seed)


def two():
    return _counted(_seen, 2, 2)


def four():
    return _counted(_seen, 3, 4)
"""
TASK = """\
schema: 1
name: {name}
description: Which colours are there, or how many?
modality: {modality}
output: {{type: {type}, labels: {labels}}}
metrics: {metrics}
{text}
sources:
  mini: {{python: colours.py, function: {name}, version: 1, digest: {digest}}}
licence: Apache-2.0
"""
TRACK = """\
schema: 1
name: {track}
description: Colours.
modality: {modality}
tasks: {tasks}
backbones: {{mini: {backbones}}}
recipe:
  mini:
    default: {{steps: 12, batch_size: 16, evaluations: 2, learning_rate: 1.0e-2}}
"""
TASKS = {
    "seen": ("image", "multilabel", "[red, green, blue]", "[micro_f1, macro_f1]"),
    "two": ("image", "classification", "2", "[auroc, accuracy]"),
    "four": ("image", "classification", "4", "[auroc, macro_f1]"),
    "read": ("text", "multilabel", "[red, green, blue]", "[micro_f1, auroc]"),
}
TRACKS = {
    "images": ("image", "[seen, two, four]", "[resnet_mini]"),
    "texts": ("text", "[read]", "[bert_mini]"),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    made: dict = {}
    exec(compile(GENERATOR, "colours.py", "exec"), made)
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for track, (modality, tasks, backbones) in TRACKS.items():
            folder = root / "tasks" / track
            folder.mkdir(parents=True)
            (folder / "colours.py").write_text(GENERATOR)
            (folder / "track.yaml").write_text(
                TRACK.format(track=track, modality=modality, tasks=tasks, backbones=backbones)
            )
        for name, (modality, type_, labels, metrics) in TASKS.items():
            text = 'text: {columns: [sentence], template: "s: {sentence}"}'
            (root / "tasks" / f"{modality}s" / f"{name}.yaml").write_text(
                TASK.format(
                    name=name, modality=modality, type=type_, labels=labels, metrics=metrics,
                    text=text if modality == "text" else "", digest=made[name]().digest(),
                )
            )  # fmt: skip
        yield load(root)


@pytest.fixture(scope="module")
def ran(registry, tmp_path_factory):
    """Task -> a result and the folder of its delta."""
    workspace = Workspace(registry, torch.device("cpu"), 1)
    found = {}
    for name, (modality, *_) in TASKS.items():
        asked = request("full_finetuning", f"{modality}s/{name}", steps=24)
        (item,) = plan(asked, registry).planned
        folder = tmp_path_factory.mktemp(name)
        found[name] = run_cell(item.cell, workspace, folder, lambda step, steps: None), folder
    return found


def score_of(ran, name):
    (own,) = ran[name][0].scores
    return own, np.array(own.predictions), np.array(own.targets)


def test_sets_of_labels_are_scored_from_zero_or_one_for_each(ran):
    own, predictions, targets = score_of(ran, "seen")
    assert predictions.shape == targets.shape == (60, 3)
    assert set(np.unique(predictions)) == {0, 1}
    for average in ("micro", "macro"):
        expected = 100 * f1_score(targets, predictions, average=average)
        assert own.metrics[f"{average}_f1"] == pytest.approx(expected, abs=1e-3)
    assert own.score > 80


@pytest.mark.parametrize(("name", "scores"), [("two", 1), ("four", 4), ("read", 3)])
def test_the_order_of_examples_is_scored_from_the_log_odds_that_are_kept(ran, name, scores):
    own, odds, targets = score_of(ran, name)
    assert odds.shape == (60, scores)
    truth = targets if name != "four" else targets[:, None] == range(4)
    expected = 100 * roc_auc_score(truth, odds[:, 0] if name == "two" else odds)
    assert own.metrics["auroc"] == pytest.approx(expected, abs=1e-3)
    assert own.metrics["auroc"] > 60


@pytest.mark.parametrize("name", TASKS)
def test_a_result_proves_itself_and_its_delta_gives_it_again(ran, registry, name):
    result, folder = ran[name]
    track = result.cell.track
    entries = {name: registry.tasks[f"{track}/{name}"]}
    assert problems(result, entries) == []
    rescored = Rescorer(registry, "cpu").rescore(result, folder / "delta.safetensors")
    assert (rescored.problems, rescored.answers, rescored.otherwise) == ((), 60, 0)


def edited(result, change):
    content = result.model_dump(mode="json")
    (own,) = content["scores"]
    change(own)
    return Result.model_validate(content)


def test_another_order_than_the_kept_one_is_found(ran, registry):
    result, folder = ran["two"]
    entries = {"two": registry.tasks["images/two"]}

    def claim(own):
        own["metrics"]["auroc"] -= 3
        own["score"] -= 1.5

    assert any(
        "auroc is" in said and "its predictions give" in said
        for said in problems(edited(result, claim), entries)
    )

    def forge(own):
        # The same decisions, in another order: only the delta can contradict it.
        own["predictions"] = [
            [(1 if row[0] > 0 else -1) * (2 if (row[0] > 0) == bool(target) else 1)]
            for row, target in zip(own["predictions"], own["targets"], strict=True)
        ]

    forged = Rescorer(registry, "cpu").rescore(edited(result, forge), folder / "delta.safetensors")
    assert any("answers" in said and "otherwise" in said for said in forged.problems)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("seen", lambda own: own["predictions"].__setitem__(0, [2, 0, 0]), "outside the task's 3"),
        ("seen", lambda own: own.update(predictions=[0] * 60), "have the shape"),
        ("two", lambda own: own.update(predictions=[1] * 60), "have the shape"),
    ],
)
def test_answers_of_another_form_are_found(ran, registry, name, change, said):
    found = problems(edited(ran[name][0], change), {name: registry.tasks[f"images/{name}"]})
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("name", TASKS)
def test_packing_gives_back_the_same_answers(ran, tmp_path, name):
    result = ran[name][0]
    path = tmp_path / f"{result.cell.track}.{result.cell.backbone}.mini.jsonl"
    path.write_text("\n".join(lines_of(result)))
    pack = read_pack(path)
    assert pack.read(pack.find(result.cell), Result) == result


def test_boards_compare_with_the_best_constant_answer(ran, registry):
    images = boards([result for result, _ in ran.values()], registry)
    board = next(board for board in images if board.track.name == "images")
    _, _, targets = score_of(ran, "seen")

    def f1(mask, average):
        chosen = np.ones_like(targets) * np.array(mask)
        return 100 * f1_score(targets, chosen, average=average, zero_division=0)

    best = max((f1(mask, "micro") + f1(mask, "macro")) / 2 for mask in np.ndindex(2, 2, 2))
    assert board.constants["seen"] == pytest.approx(best)
    assert board.constants["two"] == pytest.approx(
        (50 + 100 * max(np.bincount(score_of(ran, "two")[2])) / 60) / 2
    )
    (row,) = board.ranked or board.unranked
    assert row.tasks["two"].estimate.interval() is None, "one seed"
    assert row.tasks["two"].estimate.score == pytest.approx(score_of(ran, "two")[0].score)


def test_answers_to_new_inputs_are_sets_of_names(ran, registry):
    _, folder = ran["read"]
    model = load_predictor(folder, registry, "cpu")
    answers = model.predict(["red green", "blue"])
    odds = model.predict_raw(["red green", "blue"])
    names = ("red", "green", "blue")
    assert answers == [[n for n, yes in zip(names, row, strict=True) if yes] for row in odds]


def test_a_generated_task_of_several_labels_is_checked(registry):
    assert [
        finding.fault for finding in check_task(registry.tasks["texts/read"]) if finding.fault
    ] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [("multilabel", "asks for several labels"), ("classification", "is scored by probabilities")],
)
def test_a_network_that_writes_its_answer_is_told_to_be_unsupported(registry, change, said):
    task = registry.tasks["texts/read"]
    output = task.output.model_copy(update={"type": change})
    if change == "classification":
        output = registry.tasks["images/two"].output
    registry.tasks["texts/read"] = task.model_copy(update={"output": output})
    try:
        (item,) = plan(request("linear_probe", "texts/read", "t5_mini"), registry).planned
    finally:
        registry.tasks["texts/read"] = task
    assert item.action == "unsupported"
    assert said in item.reason


def several(metrics, labels=3):
    return TaskEntry(
        schema=1, name="a", description="", modality="image",
        output={"type": "multilabel", "labels": labels}, metrics=metrics, sources={}, licence="",
    )  # fmt: skip


def test_the_loss_of_several_labels_is_the_mean_of_their_binary_cross_entropies():
    task = several(("micro_f1",))
    model = HeadedModel(tiny_backbone("resnet"), [task], TaskContext(["a"]))
    targets = torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.uint8)
    batch = Batch("a", {"features": torch.randn(2, model.backbone.width)}, targets, None)
    logits = model(batch.inputs)
    p = logits.sigmoid()
    expected = -torch.where(targets == 1, p.log(), (1 - p).log()).mean()
    assert model.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    # Smoothed as two classes are.
    two = torch.stack([torch.zeros_like(logits), logits], -1).flatten(0, 1)
    smoothed = F.cross_entropy(two, targets.flatten().long(), label_smoothing=0.1)
    assert model.loss(batch, 0.1).item() == pytest.approx(smoothed.item(), rel=1e-5)
    assert torch.equal(model.predict(batch), (p > 0.5).long())


def test_log_odds_are_those_of_the_probabilities():
    logits = torch.randn(5, 4, dtype=torch.float64) * 3
    p = logits.softmax(-1)
    assert torch.allclose(log_odds(logits), (p / (1 - p)).log())
    pair = logits[:, :2]
    assert torch.allclose(log_odds(pair)[:, 0], pair.softmax(-1)[:, 1].logit())
    # Where the probability is 1 as far as the type can tell, the order still counts.
    certain = torch.tensor([[200.0, 0, 0], [300.0, 0, 0]])
    assert log_odds(certain)[0, 0] < log_odds(certain)[1, 0] < torch.inf
