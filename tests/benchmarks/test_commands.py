"""What commands cost from start to end, in processor seconds of a process of their own.

    python -m pytest tests/benchmarks/test_commands.py -n 0 -m benchmark -s

The plan has 10,000 cells, the output folder 10,000 results made from the committed ones. The
fastest of three runs is printed.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from suite.planning.plan import Request, plan
from suite.registry import load
from suite.results.records import read_results

pytestmark = pytest.mark.benchmark

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "results"
MANY = 10_000
RUNS = 3


def run(*arguments):
    """Processor seconds of one command; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "suite", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(benchmark, *arguments):
    times = []
    benchmark.pedantic(lambda: times.append(run(*arguments)), rounds=RUNS)
    print(f"\n{' '.join(arguments[:2])}: {min(times):.2f} s")
    benchmark.extra_info["seconds"] = min(times)
    return min(times)


@pytest.mark.parametrize("command", [["--help"], ["list", "methods"], ["list", "tasks"]])
def test_a_question_is_answered_at_once(command, benchmark):
    assert measured(benchmark, *command) < 0.5


def test_ten_thousand_cells_are_planned_in_seconds(tmp_path, benchmark):
    once = len(plan(Request(methods=("all",), tasks=("all",)), load()).planned)
    seeds = ",".join(str(seed) for seed in range(-(-MANY // once)))
    command = ("plan", "-m", "all", "-t", "all", "--seeds", seeds, "--out", str(tmp_path))
    assert measured(benchmark, *command) < 3


@pytest.fixture(scope="module")
def many_results(tmp_path_factory):
    """The committed results of one seed, again under others, all in one folder."""
    out = tmp_path_factory.mktemp("many")
    (out / "results").mkdir()
    first = [result for result in read_results(COMMITTED) if result.cell.seed == 0]
    for number in range(MANY):
        seed, index = divmod(number, len(first))
        result = first[index]
        cell = result.cell.model_copy(update={"seed": seed})
        identity = result.identity.model_copy(update={"seed": seed})
        again = result.model_copy(update={"cell": cell, "identity": identity})
        (out / "results" / cell.file_name).write_text(again.model_dump_json())
    return out


def test_ten_thousand_results_are_ranked_in_seconds(many_results, benchmark):
    assert measured(benchmark, "leaderboard", "--out", str(many_results)) < 15
    assert (many_results / "glue-bert_mini-mini.md").is_file()
    assert (many_results / "plots" / "glue-bert_mini-mini.svg").is_file()


def test_ten_thousand_results_are_listed_in_seconds(many_results, benchmark):
    assert measured(benchmark, "list", "results", "--out", str(many_results)) < 3
