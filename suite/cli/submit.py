"""`submit` and `accept`: results travel with their deltas, and are scored again on arrival."""

import argparse
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from suite.cli.checking import Checked, check, rescorer, submitted, unfit
from suite.cli.selection import load_with_warnings, matching
from suite.cli.verify import report
from suite.console import out, say, shown
from suite.engine import environment
from suite.engine.execution import require_committed
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.outdated import request_for, stale
from suite.planning.output import results_folder
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results import submission
from suite.results.folder import Lookup, delta_path, read_results
from suite.results.records import CellKey, Result, Verified

_SHOWN = 10


def submit(options: argparse.Namespace) -> int:
    """Write the chosen results and their deltas to one file."""
    if options.file.suffix != submission.SUFFIX:
        raise UserError(f"-o {options.file}: a submission ends in {submission.SUFFIX}")
    registry = load_with_warnings(options.registry)
    found = read_results(options.out)
    if found.warning:
        say(found.warning)
    chosen = matching(found.values(), options.methods, options.tasks, options.backbones)
    undefined = [result for result in chosen if result.status == "unsupported"]
    if undefined:
        say(f"left out: {len(undefined)} cells of methods that are not defined on their backbone")
    results = [result for result in chosen if result.status != "unsupported"]
    if not results:
        raise UserError(f"--out {options.out}: there is nothing to submit")
    if refused := _refused(results, options.out, registry):
        lines = [f"  {cell.label}: {reason}" for cell, reason in refused.items()][:_SHOWN]
        more = len(refused) - len(lines)
        again = [result for result in results if result.cell in refused]
        raise UserError(
            "\n".join(
                [
                    f"{len(refused)} of {len(results)} results cannot be submitted:",
                    *lines,
                    *([f"  and {more} more"] if more else []),
                    "with suite/, methods/ and tasks/ committed, measure them again:",
                    *(f"  {command}" for command in _commands(again, options.out)),
                ]
            )
        )
    path = submission.write(options.file, results, options.out, registry)
    out(shown(path))
    size = path.stat().st_size / 1e6
    say(f"{len(results)} results, {size:.1f} MB; to verify: python -m suite verify {shown(path)}")
    return 0


def _refused(results: Sequence[Result], folder: Path, registry: Registry) -> dict[CellKey, str]:
    """What cannot be submitted, and why."""
    outdated = stale(results, registry)
    found = {}
    for each in check(results, folder, registry, None):
        result = each.result
        delta = delta_path(folder, result.cell)
        reasons = [*unfit(result)]
        if result.status == "ok":
            reasons += [outdated[result.cell]] if result.cell in outdated else []
            reasons += each.problems
            if not delta.is_file():
                reasons.append(f"its delta is gone: there is no {shown(delta)}")
            elif result.delta and submission.digest(delta) != result.delta:
                reasons.append(f"{shown(delta)} is not the file that was scored")
        if reasons:
            found[result.cell] = "; ".join(reasons)
    return found


def _commands(results: Iterable[Result], folder: Path) -> list[str]:
    """What measures these results again: a command for each setting."""
    alike: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        cell = result.cell
        joint = cell.tasks if len(cell.tasks) > 1 else ()
        key = (cell.method, cell.setting, cell.store, cell.track, cell.backbone, cell.scale, *joint)
        alike.setdefault(key, []).append(result)
    found = []
    for every in alike.values():
        asked, names = request_for(every), _option_names(every[0].cell)
        words = ["python -m suite run -m", *asked.methods, "-t", ",".join(asked.tasks)]
        words += ["-b", *asked.backbones, "--scale", asked.scale]
        words += ["--seeds", ",".join(map(str, asked.seeds))]
        words += asked.flags
        if every[0].cell.store is not Store.FLOAT32:
            words += ["--store", every[0].cell.store]
        words += [
            f"--set {option}"
            for option in asked.options
            if option.partition("=")[0].partition(".")[2] in names
        ]
        found.append(" ".join([*words, "--force", "--out", shown(folder)]))
    return found


def _option_names(cell: CellKey) -> set[str]:
    return {part.partition("=")[0] for part in cell.setting.split(",")}


def accept(options: argparse.Namespace) -> int:
    """Score every delta of a submission again, and add its results if all are borne out."""
    from suite import leaderboards

    require_committed(Settings(options.out, allow_dirty=options.allow_dirty))
    by = " ".join((options.by or _own_name()).split())
    registry = load_with_warnings(options.registry)
    scorer = rescorer(options, registry)
    opened = submitted(options.file, registry, scorer)
    if opened.wrong:
        return report(options.file, opened.wrong, len(opened.results))
    lookup = Lookup(options.out, Result)
    added = 0
    for each in opened.results:
        if reason := _in_the_way(each.result, lookup.get(each.result.cell)):
            say(f"left out: {each.result.cell.label}: {reason}")
            continue
        verified = _verified(each, by, scorer.device)
        each.result.model_copy(update={"verified": verified}).write(results_folder(options.out))
        added += 1
    if added:
        leaderboards.build(options.out, registry)
    say(f"{added} results were added to {shown(options.out)}, marked as verified by {by}.")
    return 0


def _in_the_way(result: Result, there: Result | None) -> str:
    """Why a result may not take the place of one that is there; nothing if it may."""
    if there is None or there.delta == result.delta:
        return ""
    if there.status == "ok" and there.identity.digest == result.identity.digest:
        return "the same cell has been measured there"
    if _finished(there) > _finished(result):
        return "a later result of the same cell is there"
    return ""


def _finished(result: Result) -> str:
    return result.environment.finished if result.environment else ""


def _verified(each: Checked, by: str, device: str) -> Verified:
    assert each.rescored is not None, "a submission without contradictions has every delta"
    here = environment.describe(device, threads=0)
    return Verified(
        by=by,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=here.commit,
        dirty=here.dirty,
        hardware=here.hardware,
        answers=each.rescored.answers,
        otherwise=each.rescored.otherwise,
        difference=each.rescored.difference,
    )


def _own_name() -> str:
    try:
        return environment.git(environment.CHECKOUT, "config", "user.name")
    except (OSError, subprocess.CalledProcessError):
        raise UserError("say who verifies: --by NAME") from None
