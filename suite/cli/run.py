"""`run` and `plan`."""

import argparse
import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from suite.cli.selection import load_with_warnings, planned, results_folder
from suite.console import coloured, out, out_json, say, shown, table
from suite.engine.pool import Settings
from suite.engine.pool import run as execute
from suite.engine.progress import make_progress
from suite.errors import UserError
from suite.planning.plan import Plan, Planned
from suite.registry import Registry
from suite.results.folder import Lookup
from suite.results.records import CellKey, Result

_COLOURS = {"run": "bold", "cached": "green", "unsupported": "dim", "missing": "yellow"}
_WORDS = {"run": "to run"}


def plan(options: argparse.Namespace) -> int:
    """Print the plan and write nothing."""
    made = planned(options, load_with_warnings(options.registry))
    for reason in made.left_out:
        say(f"left out: {reason}")
    if options.json:
        out_json([_as_json(item) for item in made.planned])
        return 0
    rows = [
        (
            item.cell.key.method,
            _task(item.cell.key),
            item.cell.key.backbone,
            str(item.cell.key.seed),
            coloured(item.action, _COLOURS[item.action]),
            item.reason,
        )
        for item in made.planned
    ]
    if rows:
        out(table(("method", "task", "backbone", "seed", "action", "why"), rows))
    say(f"{_counts(made)}. Nothing written.")
    for missing in made.missing:
        say(str(missing))
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the plan, print the results and write the leaderboards."""
    if options.dry_run:
        return plan(options)
    registry = load_with_warnings(options.registry)
    made = planned(options, registry)
    if made.missing and not options.offline:
        from suite.cli.fetch import bring

        if bring(made.missing):
            made = planned(options, registry)
    for reason in made.left_out:
        say(f"left out: {reason}")
    for missing in made.missing:
        say(f"missing: {missing}")
    if made.planned and len(made.with_action("missing")) == len(made.planned):
        raise UserError("nothing can run: everything asked for needs what is missing")
    require_writable(options.out)
    if not options.quiet:
        if introduction := made.request.scale.introduction:
            say(introduction)
        say(f"{_counts(made)}.")
    try:
        run_plan(made, registry, options, options.out)
    except KeyboardInterrupt:
        say("interrupted; what has finished is kept, and the same command continues:")
        say(f"  {command_again(options)}")
        return 130
    from suite.leaderboards.terminal import render, summaries

    results = results_of(made, options.out)
    if options.json:
        out_json([summary.model_dump(mode="json") for summary in summaries(results, registry)])
    elif results:
        out(render(results, registry))
    written = _write_leaderboards(options.out, registry, options.quiet)
    return _conclude(made, results, options) or (0 if written else 1)


def run_plan(made: Plan, registry: Registry, options: argparse.Namespace, out: Path) -> None:
    """Execute a plan as the options say, with progress on stderr; results go below `out`."""
    if options.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    settings = Settings(out, options.device, options.jobs, options.timeout, options.fail_fast)
    with make_progress(len(made.with_action("run")), options.quiet) as progress:
        execute(made, registry, settings, progress)


def require_writable(folder: Path) -> None:
    """Find out before hours of training, not after, that results cannot be kept."""
    try:
        results_folder(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results_folder(folder)):
            pass
    except OSError as error:
        raise UserError(
            f"--out {folder}: cannot write results there ({error.strerror}); name another folder"
        ) from None


def results_of(made: Plan, folder: Path) -> list[Result]:
    """The results of the planned cells, as they are now on disk."""
    lookup = Lookup(folder, Result)
    found = []
    for item in made.planned:
        result = lookup.get(item.cell.key)
        if result and result.identity.digest == item.cell.identity.digest:
            found.append(result)
    return found


def _write_leaderboards(folder: Path, registry: Registry, quiet: bool) -> bool:
    """Whether they could be written; an older result that is in the way is named."""
    from suite.leaderboards import build

    try:
        pages = [path for path in build(folder, registry) if path.suffix == ".md"]
    except UserError as error:
        say(f"leaderboards not written: {error}")
        return False
    if not quiet:
        say(f"leaderboards: {shown(folder / 'README.md')} and {len(pages) - 1} pages beside it")
    return True


def _conclude(made: Plan, results: list[Result], options: argparse.Namespace) -> int:
    """The last lines: what failed, where its log is, and how to try again."""
    status = Counter(result.status for result in results)
    failed = [result for result in results if result.status not in ("ok", "unsupported")]
    absent = made.with_action("missing")
    unfinished = len(made.planned) - len(results) - len(absent)
    parts = [f"{count} {word}" for word, count in status.items()]
    parts += [f"{len(absent)} missing"] if absent else []
    parts += [f"{unfinished} not run"] if unfinished else []
    good = not (failed or absent or unfinished)
    if not (good and options.quiet):
        say(", ".join(parts) + ".")
    for result in failed:
        label = coloured(result.cell.label, "red", sys.stderr)
        say(f"{label}: {result.status}: {result.reason} (log: {shown(options.out / result.log)})")
    if failed:
        say(f"try these again with:\n  {command_again(options, '--only-failed')}")
    return 0 if good else 1


def command_again(options: argparse.Namespace, *more: str) -> str:
    """The command line that continues this one."""
    words = [*options.arguments, *(word for word in more if word not in options.arguments)]
    return shlex.join(["python", "-m", "suite", *words])


def _task(key: CellKey) -> str:
    if len(key.tasks) == 1:
        return f"{key.track}/{key.tasks[0]}"
    return f"{key.track} ({len(key.tasks)} tasks)"


def _counts(made: Plan) -> str:
    counts = Counter(item.action for item in made.planned)
    return ", ".join(f"{counts[action]} {_WORDS.get(action, action)}" for action in counts) or (
        "no cell has failed" if made.request.only_failed else "nothing to do"
    )


def _as_json(item: Planned) -> dict[str, object]:
    return {
        "cell": item.cell.key.model_dump(mode="json"),
        "label": item.cell.key.label,
        "action": item.action,
        "reason": item.reason,
        "recipe": item.cell.recipe.model_dump(mode="json"),
        "options": dict(item.cell.options),
        "identity": item.cell.identity.digest,
    }
