"""The command that most tests of the command line run, and what it leaves behind."""

from pathlib import Path

from suite.planning.plan import Request, plan
from suite.registry import load
from suite.results.records import Result

PLAN = ("plan", "-m", "one,together", "-t", "toy")
RUN = ("run", *PLAN[1:])


def write_results(folder: Path, status: str = "ok", **asked) -> list[Result]:
    """Leave the results of `PLAN` behind, as a run does."""
    made = plan(Request(methods=("one", "together"), tasks=("toy",), **asked), load(folder))
    results = [
        Result(
            cell=item.cell.key,
            identity=item.cell.identity,
            recipe=item.cell.recipe,
            options=dict(item.cell.options),
            status=status,
            log="work/log.txt",
        )
        for item in made.planned
    ]
    for result in results:
        result.write(Path("runs") / "results")
    return results
