"""A track whose cells start from another names what is there."""

import shutil

import pytest
from registries import TASK_YAML, TRACK_YAML, problems

FEW = TRACK_YAML.replace("name: toy", "name: few")
GOOD = "{track: toy, tasks: {first: second, second: second}}"
MISTAKES = {
    "an unknown track": (
        GOOD.replace("toy", "toi"), "start.track: there is no track 'toi'; did you mean 'toy'?"
    ),
    "itself": (GOOD.replace("toy", "few"), "the cells of few start from others themselves"),
    "an unknown task there": (
        GOOD.replace("first: second", "first: secnd"),
        "start.tasks.first: track toy has no task 'secnd'; did you mean 'second'?",
    ),
    "an unknown task here": (
        GOOD.replace("{first", "{third: first, first"),
        "start.tasks.third: the track has no task 'third'",
    ),
    "a task without a start": (
        "{track: toy, tasks: {first: second}}", "does not say from what 'second' starts"
    ),
    "a negative seed": (GOOD.replace("toy,", "toy, seed: -1,"), "start.seed: must be"),
}  # fmt: skip


@pytest.fixture
def few(folder):
    place = folder / "tasks" / "few"
    place.mkdir()
    for name in ("first", "second"):
        (place / f"{name}.yaml").write_text(TASK_YAML.replace("NAME", name))
    shutil.copy(folder / "tasks/toy/mini.py", place)

    def write(start):
        (place / "track.yaml").write_text(f"{FEW}start: {start}\n")
        return problems(folder)

    return write


def test_a_start_that_is_there_is_no_mistake(few):
    assert few(GOOD) == []


@pytest.mark.parametrize("case", MISTAKES)
def test_a_start_that_is_not_there_is_named(few, case):
    start, said = MISTAKES[case]
    (line,) = few(start)
    assert line.startswith("track.yaml:") and said in line
