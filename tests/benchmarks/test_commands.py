"""What commands cost from start to end, in processor seconds of a process of their own.

    python -m pytest tests/benchmarks/test_commands.py -n 0 -m benchmark -s

The plan has 10,000 cells, the output folders 10,000 and 100,000 results made from the committed
ones. The fastest of three runs is printed.
"""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suite.planning.plan import Request, plan
from suite.registry import load
from suite.results.folder import read_results
from suite.results.packing import pack

pytestmark = pytest.mark.benchmark

COMMITTED = Path(__file__).parents[2] / "leaderboards"
MANY = 10_000
VERY_MANY = 100_000
ONE_CELL = ("plan", "-m", "taps", "-t", "rte", "-b", "bert_mini")
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


def write_results(out, many, board=None):
    """The committed results of one seed, again under others, each in a file of its own."""
    (out / "results").mkdir()
    first = [
        (result.cell, result.model_dump_json())
        for result in read_results(COMMITTED).values()
        if result.cell.seed == 0 and board in (None, result.cell.backbone)
    ]
    for number in range(many):
        seed, index = divmod(number, len(first))
        cell, text = first[index]
        again = cell.model_copy(update={"seed": seed})
        # The seed stands in the cell and in the identity.
        text = text.replace('"seed":0', f'"seed":{seed}', 2)
        (out / "results" / again.file_name).write_text(text)


@pytest.fixture(scope="module")
def many_results(tmp_path_factory):
    out = tmp_path_factory.mktemp("many")
    write_results(out, MANY)
    yield out
    shutil.rmtree(out)


@pytest.fixture(scope="module")
def many_packed(many_results, tmp_path_factory):
    """The same, packed."""
    out = tmp_path_factory.mktemp("packed")
    shutil.copytree(many_results / "results", out / "results")
    pack(out)
    yield out
    shutil.rmtree(out)


def test_ten_thousand_results_are_ranked_in_seconds(many_results, benchmark):
    assert measured(benchmark, "leaderboard", "--out", str(many_results)) < 15
    assert (many_results / "glue-bert_mini-mini.md").is_file()
    assert (many_results / "plots" / "glue-bert_mini-mini.svg").is_file()


def test_ten_thousand_results_are_listed_in_seconds(many_results, benchmark):
    assert measured(benchmark, "list", "results", "--out", str(many_results)) < 3


def test_ten_thousand_packed_results_are_ranked_in_seconds(many_packed, benchmark):
    assert measured(benchmark, "leaderboard", "--out", str(many_packed)) < 15


def test_ten_thousand_packed_results_are_listed_in_seconds(many_packed, benchmark):
    assert measured(benchmark, "list", "results", "--out", str(many_packed)) < 3


def test_one_cell_among_a_hundred_thousand_results_is_planned_at_once(tmp_path, benchmark):
    write_results(tmp_path, VERY_MANY)
    assert measured(benchmark, *ONE_CELL, "--out", str(tmp_path)) < 1
    shutil.rmtree(tmp_path)


def test_one_new_result_among_a_hundred_thousand_is_ranked_in_seconds(tmp_path, benchmark):
    write_results(tmp_path, VERY_MANY)
    run("leaderboard", "--out", str(tmp_path))
    one = next((tmp_path / "results").iterdir())
    one.write_text(one.read_text().replace('"reason":""', '"reason":"" '))
    times = []
    command = ("leaderboard", "--out", str(tmp_path))
    benchmark.pedantic(lambda: times.append(run(*command)), rounds=1)
    print(f"\nleaderboard after one new result: {times[0]:.2f} s")
    assert times[0] < 10
    shutil.rmtree(tmp_path)


def test_one_cell_of_a_pack_of_ten_thousand_is_planned_at_once(tmp_path, benchmark):
    write_results(tmp_path, MANY, board="bert_mini")
    pack(tmp_path)
    assert measured(benchmark, *ONE_CELL, "--out", str(tmp_path)) < 1
