"""The README: its examples work on a fresh clone, and it says what the leaderboards say.

`leaderboard --check` is run by tests/leaderboards/test_committed.py, and the run and test commands
by .ci/run. What trains for long is planned here, not run.
"""

import functools
import re
import shlex
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from committed import FOLDER
from few import few_examples
from pages import PUBLISHED, workplace

import suite
from suite.cli.main import build_parser, main
from suite.cli.selection import Invocation
from suite.planning.plan import plan
from suite.registry import load

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)[3:]
    for line in README.splitlines()
    if line.startswith("python -m suite")
]
QUICK = ("list", "plan", "show", "why")
LONG = ("rehearse", "run", "tune")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def clone(tmp_path, cache):
    with workplace(tmp_path, cache):
        yield tmp_path


def test_there_is_an_example_of_every_kind():
    assert {*QUICK, *LONG, "fetch", "carry", "leaderboard"} <= {words[0] for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_of_commands_work_on_a_fresh_clone(tmp_path, cache, words, capsys):
    # All boards would take ten times as long to export as one.
    with workplace(tmp_path, cache, PUBLISHED if "--export" in words else ()):
        check_example(tmp_path, words, capsys)


def check_example(clone, words, capsys):
    options = build_parser().parse_args(words)
    if words[0] in QUICK:
        assert main(words) == 0
        assert capsys.readouterr().out
    if words[0] in LONG:
        options.words = words
        request = Invocation.of(options).request
        made = plan(replace(request, trial=0) if words[0] == "tune" else request, load())
        assert made.planned
        assert not made.left_out
    if "--export" in words:
        assert main(words) == 0
        assert (clone / words[words.index("--export") + 1]).is_file()


@pytest.mark.usefixtures("forked")
def test_the_python_example_works_with_fewer_steps(clone, monkeypatch, tmp_path):
    few_examples(monkeypatch, tmp_path / "cache")
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    monkeypatch.setattr(suite, "run", functools.partial(suite.run, steps=2, jobs=1, quiet=True))
    names = {}
    exec(textwrap.dedent(code), names)
    assert len(names["results"]) == 6
    assert {*names["results"].frame()["status"]} == {"ok"}
    assert len(names["results"].pareto())


def index() -> str:
    return (FOLDER / "README.md").read_text()


def test_the_first_screen_shows_what_the_leaderboards_say():
    (table,) = re.findall(r"<!-- best at each budget -->\n\n((?:\|.*\n)+)", README)
    first = re.search(r"(?:^\|.*\n)+", index(), flags=re.M)[0]
    expected = first.replace("](", "](leaderboards/")
    assert table == expected, f"README.md has another table than the leaderboards:\n{expected}"
