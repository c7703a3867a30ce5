"""Files that nobody would write on purpose: each is one message, and everything else is read."""

import os
import random
import re

import pytest
from registries import problems, replace

from suite.registry import load

METHOD, TASK = "methods/one.yaml", "tasks/toy/first.yaml"
DEEP = "nested more than 40 levels deep"
DEFAULT, COUNT, SENTENCE = "    default: 8\n", "count: rank * w", "{sentence}"
LABELS = 'labels: ["no", "yes"]'

VALUES = [
    (METHOD, DEFAULT, f"    default: {'9' * 400}\n", "15:14: options.rank.default: the number is"),
    (METHOD, DEFAULT, f"    default: {'9' * 5000}\n", "15:14: options.rank.default: the number is"),
    (METHOD, DEFAULT, f"    default: {'[' * 500}{']' * 500}\n", f"15:51: {DEEP}"),
    (METHOD, "schema: 1", f"schema: {'[' * 100_000}", f"1:48: {DEEP}"),
    (METHOD, "schema: 1", f"schema: {'{a: ' * 100_000}", f"1:165: {DEEP}"),
    (METHOD, "schema: 1", "- " * 50_000 + "1", f"1:81: {DEEP}"),
    (
        METHOD,
        COUNT,
        f"count: {'1+' * 240}1",
        "29:14: cost.per_task[0].count: the formula is nested",
    ),
    (
        METHOD,
        COUNT,
        f"count: {'-' * 5000}1",
        "29:14: cost.per_task[0].count: the formula has 5,001",
    ),
    (METHOD, COUNT, "count: w // (T - 2)", "29:14: cost.per_task[0].count: 'w // (T - 2)' has no"),
    (METHOD, COUNT, "count: part", "29:14: cost.per_task[0].count: 'part' has no value"),
    (METHOD, COUNT, "count: w < part", "29:14: cost.per_task[0].count: 'w < part' has no value"),
    (METHOD, "regime: per_task", f"regime: {'x' * 100_000}", "5:9: regime: 'xxx"),
    (METHOD, "name: one", f"name: {'X' * 100_000}", "2:7: name: string should have at most 64"),
    (
        METHOD,
        "regime: per_task",
        '"a\\nb\\e[31m": 1\nregime: per_task',
        "5:1: a\\nb\\x1b[31m: unknown key",
    ),
    (TASK, LABELS, "labels: 1000000000", "7:11: output.labels: 1,000,000,000 classes, at most"),
    (TASK, LABELS, "labels: [a, b, a]", "7:18: output.labels[2]: 'a' is listed twice"),
    (TASK, SENTENCE, "{sentence} {nope}", "11:13: text.template: '{nope}' is not one of"),
    (
        TASK,
        SENTENCE,
        "{sentence} {sentence:>99999999}",
        "11:13: text.template: '{sentence:>99999999}' is not",
    ),
    (
        TASK,
        SENTENCE,
        "{sentence} {sentence.__class__}",
        "11:13: text.template: '{sentence.__class__}' is not",
    ),
    (TASK, SENTENCE, "{sentence} {", "11:13: text.template: "),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), VALUES)
def test_a_hostile_value_is_one_short_message(folder, file, old, new, message):
    replace(folder / file, old, new)
    known = load(folder)
    (problem,) = known.problems
    assert str(problem).partition(f"{file}:")[2].startswith(message)
    assert str(problem).isprintable()
    assert len(str(problem)) < 1000
    assert "together" in known.methods


@pytest.mark.parametrize(
    "source",
    [
        f"x = {'1+' * 5000}1\n",
        f"x = {'-' * 100_000}1\n",
        f"x = a{'.b' * 100_000}\n",
        f"x = {'(' * 5000}1{')' * 5000}\n",
        "".join(f"class A{number}(A{number + 1}): pass\n" for number in range(3000)),
        f"class A(Method):\n    x: a{'[0]' * 3000}\n",
        "".join(f"class A{number + 1}(A{number}): pass\n" for number in range(3000))
        + "class A0(Method): pass\n",
        "class A(B): pass\nclass B(A): pass\n",
        "\0",
    ],
)
def test_a_hostile_python_file_is_one_message(folder, source):
    (folder / "methods" / "one.py").write_text(source)
    (found,) = problems(folder)
    assert found.startswith("one.yaml:1:1: : one.py")
    assert "together" in load(folder).methods


def test_pipes_and_devices_are_not_waited_for(folder):
    methods = folder / "methods"
    os.mkfifo(methods / "pipe.yaml")
    (methods / "endless.yaml").symlink_to("/dev/zero")
    (methods / "nothing.yaml").symlink_to("/nowhere")
    (methods / "one.py").unlink()
    os.mkfifo(methods / "one.py")
    assert {line.partition(":")[0]: line.partition(": : ")[2] for line in problems(folder)} == {
        "pipe.yaml": "cannot be read (not a regular file)",
        "endless.yaml": "cannot be read (not a regular file)",
        "nothing.yaml": "cannot be read (No such file or directory)",
        "one.yaml": "the method's Python file one.py is not a regular file",
    }


def test_a_file_with_thousands_of_mistakes_names_some_of_them(folder):
    path = folder / METHOD
    replace(path, "regime:", "".join(f"reqime{n}: 1\n" for n in range(50_000)) + "regime:")
    found = problems(folder)
    assert len(found) == 51
    assert "mistakes more" in found[-1]


TOKENS = (
    "[", "{", "]", ": ", "- ", "? ", "&a ", "*a", "!!str ", "'", '"', "|\n", "\t", "\n", "#", "%",
    "\0", "\x1b[2J", "\u2028", "\\ud800", "9" * 320, "-1e999", ".nan", "~", "<<: ", "---\n", "{0}",
    "9**9**9", "-" * 60, "[" * 60, "null", "1e400", "\ufeff",
)  # fmt: skip


def mutated(text, rng):
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.choices(range(len(text) + 1), k=2))
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[min(end, at + 20) :]
            case 2:
                text = text[:at] + text[at : at + 200] + text[at:]
            case _:
                text = text[:at] + chr(rng.randrange(1, 0xD800)) + text[at + 1 :]
    return text


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_file_says_the_others_are_read(folder, seed):
    rng = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".py"))
    for _ in range(5):
        path = rng.choice(files)
        before = path.read_text()
        path.write_text(mutated(before, rng))
        known = load(folder)
        assert all(re.search(r":\d+:\d+: ", str(problem)) for problem in known.problems)
        assert all(str(problem).isprintable() for problem in known.problems)
        assert {"one", "together"} - {path.stem} <= known.methods.keys()
        path.write_text(before)
