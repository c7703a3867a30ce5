"""Every mistake in a registry is named with its file, line, column and key."""

from pathlib import Path

import pytest
from registries import problems, replace

from suite.errors import UserError
from suite.registry import load


def only(folder: Path) -> str:
    (problem,) = problems(folder)
    return problem


MISTAKES = [
    pytest.param(
        "tasks/toy/first.yaml", "licence:",
        "  full:\n    hub: a/b\n    split_rule: named\n"
        "    splits: {train: train, validation: dev, test: test}\n"
        "official: {train: 9, validation: 3}\nlicence:",
        ["first.yaml:22:34: official.validation: no such split is read, only dev, test, train"],
        id="official rows of a split that is not read",
    ),
    pytest.param(
        "methods/one.yaml", "summary: Adapts", "sumary: Adapts",
        ["one.yaml:1:1: summary: required key is missing",
         "one.yaml:4:1: sumary: unknown key; did you mean 'summary'?; allowed keys: schema, name"],
        id="misspelt key",
    ),
    pytest.param(
        "methods/one.yaml", "    default: 8\n", "    defualt: 8\n",
        ["one.yaml:15:5: options.rank.default: required key is missing",
         "one.yaml:15:5: options.rank.defualt: unknown key; did you mean 'default'?"],
        id="misspelt key inside",
    ),
    pytest.param(
        "methods/one.yaml", "regime: per_task", "regime: per-task",
        ["one.yaml:5:9: regime: 'per-task' is not one of 'per_task' or 'joint'; "
         "did you mean 'per_task'?"],
        id="unknown choice",
    ),
    pytest.param(
        "methods/one.yaml", "families: [vit, bert]", "families: [vit, brt]",
        ["one.yaml:6:17: families[1]: 'brt' is not one of"],
        id="unknown family in a list",
    ),
    pytest.param(
        "methods/one.yaml", "families: [vit, bert]", "families: vit",
        ["one.yaml:6:11: families: must be a list, not 'vit'"],
        id="text for a list",
    ),
    pytest.param(
        "methods/one.yaml", "families: [vit, bert]", "needs: [atention or block]",
        ["one.yaml:6:8: needs: 'atention' is not one of attention, feed_forward, block, conv, "
         "linear, norm, patch_embedding, head, tokens, keys; did you mean 'attention'?"],
        id="unknown kind of sites",
    ),
    pytest.param(
        "methods/one.yaml", "families: [vit, bert]", "families: []",
        ["one.yaml:1:1: needs: name the kinds of sites that the method needs, or list 'families'"],
        id="neither needs nor families",
    ),
    pytest.param(
        "methods/one.yaml", "    default: both", "    default: [1]",
        ["one.yaml:18:14: options.placement.default: must be true or false or a whole number or "
         "a number or text, not a list"],
        id="wrong type of several",
    ),
    pytest.param(
        "methods/one.yaml", "    default: both", "    default: nowhere",
        ["one.yaml:18:14: options.placement.default: 'nowhere' is not one of its choices: both, "
         "feed_forward"],
        id="default that is no choice",
    ),
    pytest.param(
        "methods/one.yaml", "learning_rate: 2e-3", "learning_rate: '2e-3'",
        ["one.yaml:24:22: recipe.mini.default.learning_rate: must be a number, not '2e-3'"],
        id="quoted number",
    ),
    pytest.param(
        "methods/one.yaml", "learning_rate: 2e-3", "learning_rate: -1.0",
        ["one.yaml:24:22: recipe.mini.default.learning_rate: must be greater than 0"],
        id="number out of range",
    ),
    pytest.param(
        "methods/one.yaml", "learning_rate: 2e-3", "schedule: cosine",
        ["one.yaml:24:17: recipe.mini.default.schedule: 'schedule' belongs to the track: set it for"
         " all methods in track.yaml, or for one track and family under "
         "exceptions.mini.TRACK.FAMILY, with its source"],
        id="a method that sets what is the track's",
    ),
    pytest.param(
        "methods/one.yaml", "cost:",
        "exceptions: {mini: {toys: {bert: {steps: 9, source: S}}}}\ncost:",
        ["one.yaml:27:27: exceptions.mini.toys: there is no track 'toys'; did you mean 'toy'?"],
        id="exception for an unknown track",
    ),
    pytest.param(
        "methods/one.yaml", "cost:",
        "exceptions: {full: {toy: {bert: {steps: 9, source: S}}}}\ncost:",
        ["one.yaml:27:26: exceptions.full.toy: track toy has no full scale"],
        id="exception at a scale that the track lacks",
    ),
    pytest.param(
        "methods/one.yaml", "cost:",
        "exceptions: {mini: {toy: {brt: {steps: 9, source: S}}}}\ncost:",
        ["one.yaml:27:27: exceptions.mini.toy.brt: 'brt' is not one of"],
        id="exception for an unknown family",
    ),
    pytest.param(
        "methods/one.yaml", "cost:",
        "exceptions: {mini: {toy: {t5: {steps: 9, source: S}}}}\ncost:",
        ["one.yaml:27:31: exceptions.mini.toy.t5: one is not defined on t5"],
        id="exception where the method is not defined",
    ),
    pytest.param(
        "methods/one.yaml", "cost:",
        "exceptions: {mini: {toy: {bert: {steps: 9}}}}\ncost:",
        ["one.yaml:27:33: exceptions.mini.toy.bert.source: required key is missing"],
        id="exception without a source",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "recipe:", "search: {mini: [firts]}\nrecipe:",
        ["track.yaml:8:17: search.mini[0]: 'firts' is not a task here; did you mean 'first'?"],
        id="search on an unknown task",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "licence:", "recipe: {mini: {steps: 9}}\nlicence:",
        ["first.yaml:18:16: recipe.mini.source: required key is missing"],
        id="a task's own recipe without a source",
    ),
    pytest.param(
        "methods/one.yaml", "learning_rate: 2e-3", "momentum: null",
        ["one.yaml:24:17: recipe.mini.default.momentum: must be a number, not nothing"],
        id="no value",
    ),
    pytest.param(
        "methods/one.yaml", "  mini:\n    default", "  tiny:\n    default",
        ["one.yaml:22:3: recipe.tiny: 'tiny' is not one of 'mini' or 'full'"],
        id="unknown scale as a key",
    ),
    pytest.param(
        "methods/one.yaml", "name: one", "name: two",
        ["one.yaml:2:7: name: 'two' differs from the file's name 'one'"],
        id="name differs from the file",
    ),
    pytest.param(
        "methods/one.yaml", "name: one", "name: One Method",
        ["one.yaml:2:7: name: 'One Method' is not a name"],
        id="name that is none",
    ),
    pytest.param(
        "methods/one.yaml", "schema: 1", "schema: 2",
        ["one.yaml:1:9: schema: 2 is not one of 1"],
        id="other schema",
    ),
    pytest.param(
        "methods/one.yaml", "title: A method", "path: /etc/passwd\ntitle: A method",
        ["one.yaml:3:1: path: unknown key; did you mean 'python'?; allowed keys:"],
        id="key that the loader fills in",
    ),
    pytest.param(
        "methods/one.yaml", "count: rank * w", "count: rnk * w",
        ["one.yaml:29:14: cost.per_task[0].count: unknown name 'rnk'; did you mean 'rank'?"],
        id="unknown name in a cost",
    ),
    pytest.param(
        "methods/one.yaml", "      each: [attention]\n", "",
        ["one.yaml:29:14: cost.per_task[0].count: unknown name 'w'"],
        id="site dimension without sites",
    ),
    pytest.param(
        "methods/one.yaml", "count: rank * w", "count: __import__('os').system('true')",
        ["one.yaml:29:14: cost.per_task[0].count: '__import__('os').system"],
        id="code in a cost",
    ),
    pytest.param(
        "methods/one.yaml", "count: rank * w", "count: w if part == 'query' else 9**9**9",
        ["one.yaml:29:14: cost.per_task[0].count: '9**9**9' is not allowed: an exponent"],
        id="endless power in a cost",
    ),
    pytest.param(
        "methods/one.yaml", "count: rank * w", "count: 1" + " + 1" * 5000,
        ["one.yaml:29:14: cost.per_task[0].count: the formula has 20,001 characters, at most 500"],
        id="endless sum in a cost",
    ),
    pytest.param(
        "methods/one.yaml", "regime: per_task", "regime: per_task\npython: ../outside.py",
        ["one.yaml:6:9: python: '../outside.py' must be a file beside the YAML"],
        id="method outside its folder",
    ),
    pytest.param(
        "methods/one.py", "rank: int", "ranks: int",
        ["one.yaml:15:5: options.rank: class Something in one.py has no field 'rank'; "
         "did you mean 'ranks'?",
         "one.yaml:14:3: options: field 'ranks' of class Something in one.py is not declared"],
        id="option without a field",
    ),
    pytest.param(
        "methods/one.py", "(Method)", "(Meth)",
        ["one.yaml:1:1: : one.py must define one public class that derives from Method, not none"],
        id="no method class",
    ),
    pytest.param(
        "methods/one.py", "rank: int", "rank int",
        ["one.yaml:1:1: : one.py:9:10: invalid syntax"],
        id="syntax error in Python",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "metrics: [accuracy]", "metrics: [acuracy]",
        ["first.yaml:8:11: metrics[0]: 'acuracy' is not one of"],
        id="unknown metric",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "metrics: [accuracy]", "metrics: [accuracy, pearson]",
        ["first.yaml:8:21: metrics[1]: 'pearson' does not fit classification"],
        id="metric of another output",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "type: classification", "type: multilabel",
        ["first.yaml:8:11: metrics[0]: 'accuracy' does not fit multilabel; metrics that do: "
         "macro_f1, micro_f1, auroc"],
        id="metric of one label for several",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "labels: [\"no\", \"yes\"]\nmetrics: [accuracy]",
        "labels: 101\nmetrics: [auroc]",
        ["first.yaml:8:11: metrics[0]: 'auroc' is defined for at most 100 labels, not 101"],
        id="scores of too many labels",
    ),
    pytest.param(
        "tasks/toy/first.yaml", 'labels: ["no", "yes"]', "labels: [0, 1]",
        ["first.yaml:7:12: output.labels[0]: must be text, not 0: write it in quotes",
         "first.yaml:7:15: output.labels[1]: must be text, not 1: write it in quotes"],
        id="labels without quotes",
    ),
    pytest.param(
        "tasks/toy/first.yaml", 'labels: ["no", "yes"]', "labels: 1",
        ["first.yaml:7:11: output.labels: needs at least 2 items"],
        id="one class",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "type: classification", "type: clasification",
        ["first.yaml:6:9: output.type: must be one of 'classification', 'multilabel', "
         "'regression'; did you mean 'classification'?"],
        id="unknown output",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "labels:", "lables:",
        ["first.yaml:6:3: output.labels: required key is missing; allowed keys: type, labels",
         "first.yaml:7:3: output.lables: unknown key; did you mean 'labels'?"],
        id="misspelt key of a tagged union",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "python: mini.py", "python: ../../methods/one.py",
        ["first.yaml:14:13: sources.mini.python: '../../methods/one.py' must be a file beside"],
        id="generator outside its folder",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "python: mini.py", "python: mimi.py",
        ["first.yaml:14:13: sources.mini.python: mimi.py does not exist beside the YAML; "
         "did you mean 'mini.py'?"],
        id="generator that is not there",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "function: make", "function: makes",
        ["first.yaml:15:15: sources.mini.function: mini.py defines no function 'makes'; "
         "did you mean 'make'?"],
        id="unknown function",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "licence:",
        "  full:\n    hub: ../secrets\n    split_rule: halve_validation\nlicence:",
        ["first.yaml:19:10: sources.full.hub: '../secrets' is not a plain relative name"],
        id="data set outside its folder",
    ),
    pytest.param(
        "tasks/toy/first.yaml", "licence:",
        "  full:\n    hub: a/b\n    split_rule: carve_from_train\nlicence:",
        ["first.yaml:19:5: sources.full.splits: the rule 'carve_from_train' needs the hub's name "
         "for: test"],
        id="rule without its split",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "tasks: [first, second]", "tasks: [first, secnd, second]",
        ["track.yaml:5:16: tasks[1]: there is no secnd.yaml beside track.yaml; "
         "did you mean 'second'?"],
        id="task that is not there",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "tasks: [first, second]", "tasks: [first]",
        ["track.yaml:5:8: tasks: second.yaml lies in the track's folder but is not listed"],
        id="task that is not listed",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "mini: [bert_toy]", "mini: [bert_toi]",
        ["track.yaml:7:10: backbones.mini[0]: there is no backbone 'bert_toi'; "
         "did you mean 'bert_toy'?"],
        id="unknown backbone",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "mini: [bert_toy]", "mini: [vit_mini]",
        ["track.yaml:7:10: backbones.mini[0]: 'vit_mini' takes image, not text"],
        id="backbone of another modality",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "mini: [bert_toy]", "full: [minilm]",
        ["track.yaml:5:9: tasks[0]: 'first' has no full source, but the track has full backbones",
         "track.yaml:5:16: tasks[1]: 'second' has no full source"],
        id="task without a source",
    ),
    pytest.param(
        "tasks/toy/track.yaml", "backbones:", "score: decathlon\nbackbones:",
        ["track.yaml:1:1: baseline_errors: a decathlon needs one for: first, second"],
        id="decathlon without baselines",
    ),
    pytest.param(
        "backbones/bert_toy.yaml", "id: bert_toy", "id: /etc/passwd",
        ["bert_toy.yaml:9:7: source.id: '/etc/passwd' is not a plain relative name"],
        id="weights outside their folder",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "expected"), MISTAKES)
def test_a_mistake_is_named_with_its_place(folder, file, old, new, expected):
    replace(folder / file, old, new)
    found = problems(folder)
    assert len(found) == len(expected), found
    for start in expected:
        assert any(line.startswith(start) for line in found), found


def test_a_missing_python_file_is_named(folder):
    (folder / "methods" / "one.py").rename(folder / "methods" / "ome.py")
    assert only(folder) == (
        "one.yaml:1:1: : the method's Python file one.py does not exist; did you mean 'ome.py'?"
    )


def test_all_mistakes_of_all_entries_come_as_one_error(folder):
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    replace(folder / "tasks" / "toy" / "first.yaml", "metrics: [accuracy]", "metric: [accuracy]")
    (folder / "methods" / "third.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(UserError) as error:
        load(folder).require_valid()
    lines = str(error.value).splitlines()
    assert lines[0] == "4 mistakes in the registry:"
    files = ("one.yaml", "first.yaml", "third.yaml")
    assert [sum(f"{name}:" in line for line in lines) for name in files] == [1, 2, 1]


def test_a_folder_of_tasks_without_a_track_is_named(folder):
    (folder / "tasks" / "toy" / "track.yaml").unlink()
    assert only(folder).startswith("track.yaml:1:1: : missing: a folder with tasks is a track")


def test_a_file_with_the_other_ending_is_not_overlooked(folder):
    (folder / "methods" / "third.yml").write_text("schema: 1\n")
    assert only(folder) == ("third.yml:1:1: : registry files end in .yaml: rename it to third.yaml")


def test_two_files_of_one_entry_are_named(folder):
    text = (folder / "methods" / "one.yaml").read_text()
    (folder / "methods" / "one.yml").write_text(text)
    assert only(folder) == "one.yaml:1:1: : one.yml lies beside it: keep one of the two"


def test_published_rows_are_read_and_their_mistakes_named(folder):
    path = folder / "tasks" / "toy" / "published.yaml"
    row = "- {method: one, label: One, backbone: bert_toy, score: 1.5, source: p, verified: true}\n"
    path.write_text(row)
    assert [item.score for item in load(folder).tracks["toy"].published] == [1.5]
    path.write_text(row.replace("score", "scor"))
    found = problems(folder)
    assert [line.split(":")[1] for line in found] == ["1", "1"]
    assert any("unknown key; did you mean 'score'" in line for line in found)


METHOD, TRACK, TASK, BACKBONE = (
    "methods/one.yaml", "tasks/toy/track.yaml", "tasks/toy/first.yaml", "backbones/bert_toy.yaml"
)  # fmt: skip
RATE, STEPS = "learning_rate: 2e-3", "steps: 50"
TUNING = "cost:\n"
RATES = "tuning:\n  mini:\n    default: {}\ncost:\n"
OUTPUT = 'type: classification\n  labels: ["no", "yes"]\nmetrics: [accuracy]'
NUMBER = "type: regression\n  {}\nmetrics: [pearson]"
NUMBERS = {
    "not a number": (METHOD, RATE, "learning_rate: .nan", "must be a number, not '.nan'"),
    "infinite": (METHOD, RATE, "learning_rate: .inf", "must be a number, not '.inf'"),
    "more than floats hold": (METHOD, RATE, "learning_rate: 1e999", "the number is too large"),
    "a huge rate": (METHOD, RATE, "learning_rate: 1e99", "must be less than or equal to 1e+30"),
    "a rate of nothing": (METHOD, RATE, "learning_rate: 1e-999", "must be greater than 0"),
    "steps as a float": (TRACK, STEPS, "steps: 1e20", "must be a whole number, not 1e+20"),
    "steps without end": (TRACK, STEPS, f"steps: {10**20}", "equal to 1,000,000,000"),
    "a huge batch": (TRACK, "batch_size: 16", "batch_size: 1000000000", "less than or equal to"),
    "endless evaluations": (TRACK, STEPS, "evaluations: 1000000000", "or equal to 10,000"),
    "texts without end": (TRACK, STEPS, f"max_length: {2**40}", "less than or equal to 1,048,576"),
    "equal rates": (
        METHOD, TUNING, RATES.format("[1e-3, 3e-3, 3e-3, 9e-3]"),
        "rates must ascend, and 0.003 stands after 0.003",
    ),
    "rates equal in the digits that are tried": (
        METHOD, TUNING, RATES.format("[1e-3, 1.0004e-3, 3e-3, 9e-3]"),
        "rates must ascend, and 0.0010004 stands after 0.001",
    ),
    "unordered rates": (
        METHOD, TUNING, RATES.format("[1e-3, 3e-3, 9e-4, 9e-3]"),
        "rates must ascend, and 0.0009 stands after 0.003",
    ),
    "a narrow range": (
        TASK, OUTPUT, NUMBER.format("minimum: 0\n  maximum: 1e-5"),
        "a range of 1e-05 is lost in results, which keep four decimals",
    ),
    "a range far from zero": (
        TASK, OUTPUT, NUMBER.format("minimum: 1000000\n  maximum: 1000001"),
        "a range of 1 is lost beside 1e+06",
    ),
    "a huge range": (
        TASK, OUTPUT, NUMBER.format("minimum: 0\n  maximum: 1e30"), "must lie within ±1e+09"
    ),
    "answers without end": (
        TASK, OUTPUT, NUMBER.format("minimum: 0\n  maximum: 5\n  step: 1e-9"),
        "step: gives 5,000,000,000 answers, at most 10,000",
    ),
    "images without pixels": (BACKBONE, "licence:", "image_size: 0\nlicence:", "greater than or"),
    "images as large as walls": (
        BACKBONE, "licence:", "image_size: 100000\nlicence:", "less than or equal to 4,096"
    ),
    "no spread": (BACKBONE, "licence:", "std: [0.5, 0, 0.5]\nlicence:", "must be greater than 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_a_number_that_cannot_be_run_is_refused_with_its_place(folder, case):
    file, old, new, said = NUMBERS[case]
    replace(folder / file, old, new)
    line = only(folder)
    assert line.startswith(f"{Path(file).name}:") and said in line
    assert len(line) < 300


def test_a_published_total_counts_the_frozen_backbone(folder):
    row = "- {{method: m, label: M, backbone: bert_toy, score: 1, source: p, verified: true, {}}}\n"
    path = folder / "tasks" / "toy" / "published.yaml"
    path.write_text(row.format("total_x: 0.1"))
    assert "less than the frozen backbone" in only(folder)
    path.write_text(row.format("total_x: 0.1, replaces_backbone: true"))
    assert problems(folder) == []
