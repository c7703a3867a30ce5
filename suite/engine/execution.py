"""From a request to results: the steps that the command line and `suite.run` have in common."""

from suite.engine import pool
from suite.engine.progress import make_progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.planning.hub import bring
from suite.planning.output import planned, require_writable
from suite.planning.request import Request
from suite.registry import Registry


def prepare(request: Request, registry: Registry, settings: Settings) -> Plan:
    """The plan, after fetching missing data and weights where that is possible and allowed.

    Raises `UserError` if no cell can run, or if no result could be kept.
    """
    made = planned(request, registry, settings.out)
    if made.missing and not settings.offline and bring(made.missing):
        made = planned(request, registry, settings.out)
    if made.planned and len(made.with_action("missing")) == len(made.planned):
        what = "\n".join(f"missing: {missing}" for missing in made.missing)
        raise UserError(f"nothing can run: everything asked for needs what is missing\n{what}")
    require_writable(settings.out)
    return made


def execute(made: Plan, registry: Registry, settings: Settings) -> None:
    """Run every cell of the plan that has no result yet, with progress on stderr; results are
    written as cells finish. KeyboardInterrupt is passed on when the workers have stopped."""
    with make_progress(len(made.with_action("run")), settings.quiet) as progress:
        pool.run(made, registry, settings, progress)
