"""An output folder: what a request still needs of it, and what it holds of a plan."""

import tempfile
from functools import partial
from pathlib import Path

from suite.console import shown
from suite.errors import UserError
from suite.planning.cells import Plan
from suite.planning.code_cache import remember
from suite.planning.plan import plan
from suite.planning.request import Request
from suite.registry.entries import Registry
from suite.results.files import NoResult
from suite.results.folder import SINGLES, Lookup, delta_path
from suite.results.history import Past
from suite.results.records import CellKey, Result


def results_folder(out: Path) -> Path:
    """Where single results of an output folder lie."""
    return out / SINGLES


def planned(request: Request, registry: Registry, out: Path) -> Plan:
    """The plan of a request, in the light of the results below `out`."""
    made = plan(request, registry, Lookup(out, Past), partial(_kept, out))
    remember()
    return made


def _kept(out: Path, cell: CellKey) -> Path | None:
    path = delta_path(out, cell).absolute()
    return path if path.is_file() else None


def results_of(made: Plan, out: Path) -> list[Result]:
    """The results of the planned cells, as they are now on disk."""
    lookup = Lookup(out, Result)
    found = []
    for item in made.planned:
        try:
            result = lookup.get(item.cell.key)
        except NoResult:
            continue  # the plan says so
        if result and result.identity.digest == item.cell.identity.digest:
            found.append(result)
    return found


def require_writable(out: Path) -> None:
    """Find out before hours of training, not after, that results cannot be kept."""
    try:
        results_folder(out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results_folder(out)):
            pass
    except OSError as error:
        raise UserError(
            f"--out {shown(out)}: cannot write results there ({error.strerror}); "
            "name another folder"
        ) from None
