"""From a request to results: the steps that the command line and `suite.run` have in common."""

from suite.console import shown
from suite.engine import environment
from suite.engine.attempt import failure
from suite.engine.drain import drain
from suite.engine.executor import chosen
from suite.engine.progress import make_progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.planning.hub import bring
from suite.planning.output import planned, require_writable, results_folder
from suite.planning.request import Request
from suite.registry import Registry
from suite.results.claims import Claims


def prepare(request: Request, registry: Registry, settings: Settings) -> Plan:
    """The plan, after fetching missing data and weights where that is possible and allowed.

    Raises `UserError` if no cell can run, or if no result could be kept or published.
    """
    made = planned(request, registry, settings.out)
    if made.missing and not settings.offline and bring(made.missing):
        made = planned(request, registry, settings.out)
    if made.planned and len(made.with_action("missing")) == len(made.planned):
        lines = [f"missing: {missing}" for missing in made.missing]
        lines += [f"left out: {reason}" for reason in made.left_out]
        what = "\n".join(lines)
        raise UserError(f"nothing can run: everything asked for needs what is missing\n{what}")
    require_writable(settings.out)
    require_committed(settings)
    return made


def require_committed(settings: Settings) -> None:
    """Raise `UserError` for results that would be published without the code that made them."""
    if settings.allow_dirty or not environment.is_published(settings.out):
        return
    if environment.revision()[1]:
        raise UserError(
            f"--out {shown(settings.out)} is kept in git, but the code has changes that are not "
            "committed: nobody could run it again. Commit suite/, methods/ and tasks/ first, name "
            "another folder, or add --allow-dirty: pages then mark these results"
        )


def execute(
    made: Plan, registry: Registry, settings: Settings, *, since: float | None = None
) -> None:
    """Run every cell of the plan that has no result yet, with progress on stderr; results are
    written as cells finish.

    Cells that other processes run on the same folder are waited for. `since`: the time of the
    folder from which on their results count although they failed or are to be computed again
    (default: now). Raises `UserError` if results
    cannot be written. KeyboardInterrupt is passed on when the workers have stopped.
    """
    with make_progress(len(made.with_action("run")), settings.quiet) as progress:
        for planned in made.with_action("unsupported"):
            result = failure(planned.cell, "unsupported", planned.reason)
            result.write(results_folder(settings.out))
        if not (jobs := made.jobs()):
            return
        require_writable(settings.out)
        make, delegate = chosen(settings)
        if make is None:
            assert delegate
            delegate(made, registry, settings, progress)
            return
        with Claims(results_folder(settings.out)) as claims:
            executor = make(made, registry, settings, progress)
            try:
                force = made.request.force
                drain(jobs, executor, claims, settings, progress, force=force, since=since)
            finally:
                executor.stop()
            claims.tidy()
