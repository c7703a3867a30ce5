import pytest
from committed_boards import FOLDER

from suite.registry import load
from suite.results.folder import read_results
from suite.results.records import Result
from suite.results.verify import problems

REGISTRY = load()


def entries(result):
    return {name: REGISTRY.tasks[f"{result.cell.track}/{name}"] for name in result.cell.tasks}


@pytest.fixture(scope="module")
def sound():
    """A result of a joint cell over all eight tasks."""
    results = read_results(FOLDER).values()
    return next(
        r for r in results if r.cell.method == "hyperformer" and r.cell.backbone == "t5_mini"
    )


def test_every_published_result_is_sound():
    found = {r.cell.label: problems(r, entries(r)) for r in read_results(FOLDER).values()}
    assert {label: said for label, said in found.items() if said} == {}


def edited(result, **changes):
    """The result after an edit of its file: `path__to__key=value`; a callable changes the value."""
    content = result.model_dump(mode="json")
    for path, value in changes.items():
        *folders, last = (int(p) if p.isdigit() else p for p in path.split("__"))
        place = content
        for folder in folders:
            place = place[folder]
        place[last] = value(place[last]) if callable(value) else value
    return Result.model_validate(content)


def first_task(result):
    return result.scores[0].task


VERIFIED = {
    "by": "A Reader", "date": "2026-01-01T00:00:00Z", "commit": None, "dirty": None,
    "hardware": "A CPU", "answers": 1, "otherwise": 0, "difference": 0.0,
}  # fmt: skip
EDITS = {
    "a mark of no delta": ({"verified": VERIFIED, "delta": ""}, "delta is empty"),
    "a mark of other answers": ({"verified": VERIFIED}, "verified counts 0 of 1 answers"),
    "a better score": ({"scores__0__score": 99.9}, "score is 99.9"),
    "a better metric": (
        {"scores__3__metrics": lambda m: dict.fromkeys(m, 99.9), "scores__3__score": 99.9},
        "its predictions give",
    ),
    "an unknown label": (
        {"scores__1__predictions": lambda p: [7, *p[1:]]},
        "outside the task's 2 labels",
    ),
    "half a label": (
        {"scores__1__predictions": lambda p: [0.5, *p[1:]]},
        "outside the task's 2 labels",
    ),
    "a target below 0": ({"scores__1__targets": lambda t: [-1, *t[1:]]}, "targets lie outside"),
    "a task less": ({"scores": lambda s: s[:-1]}, "scores are of"),
    "a task twice": ({"scores": lambda s: [*s, s[0]]}, "scores are of"),
    "another metric": ({"scores__1__metrics": lambda m: {"f1": m["accuracy"]}}, "the task's"),
    "no ledger": ({"ledger": None}, "ledger is missing"),
    "a negative ledger": ({"ledger__shared_bits": -32}, "ledger.shared_bits is -32"),
    "a cheaper ledger": ({"ledger__shared_bits": 32}, "its parts make"),
    "smaller tensors": ({"ledger__tensor_bytes": 4}, "its parts make"),
    "a file smaller than its tensors": ({"ledger__file_bytes": 4}, "ledger.file_bytes is 4"),
    "a cost of another task": ({"ledger__task_bits": {"elsewhere": 0}}, "which the cell is not of"),
    "another seed": ({"identity__seed": 7}, "identity.seed is 7"),
    "other tasks": ({"identity__tasks": {"cola": "x"}}, "identity.tasks names"),
    "no backbone": ({"backbone_parameters": 0}, "backbone_parameters is 0"),
    "no steps": ({"steps": 0}, "steps is 0"),
    "trained less than nothing": ({"trained_parameters": -5}, "trained_parameters is -5"),
    "time that ran backwards": ({"train_seconds": -1.0}, "train_seconds is -1.0"),
    "no recipe": ({"recipe": None}, "recipe is missing"),
    "a failure with scores": ({"status": "failed", "reason": "x"}, "yet there are scores"),
    "a failure without a reason": (
        {"status": "failed", "scores": [], "ledger": None},
        "reason is empty",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_result_is_found(sound, edit):
    changes, said = EDITS[edit]
    found = problems(edited(sound, **changes), entries(sound))
    assert any(said in problem for problem in found), found
