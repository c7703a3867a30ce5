"""`run` and `plan`."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from suite.cli.selection import Invocation, load_with_warnings
from suite.console import coloured, out, out_json, say, shown
from suite.engine.execution import execute, prepare
from suite.errors import UserError
from suite.planning.cells import Plan, Planned
from suite.planning.output import planned, results_of
from suite.registry import Registry
from suite.results.records import Result


def plan(options: argparse.Namespace) -> int:
    """Print the plan and write nothing."""
    asked = Invocation.of(options)
    asked, registry = asked.with_given(load_with_warnings(asked.registry), fetch=False)
    made = planned(asked.request, registry, asked.settings.out)
    _say_shard(asked)
    for reason in made.left_out:
        say(f"left out: {reason}")
    if asked.json:
        out_json([_as_json(item) for item in made.planned])
        return 0
    if made.planned:
        out(made.table())
    say(f"{made.counts}. Nothing written.")
    for missing in made.missing:
        say(str(missing))
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the plan, print the results and write the leaderboards."""
    if options.dry_run:
        return plan(options)
    asked = Invocation.of(options)
    online = not asked.settings.offline
    return run_asked(*asked.with_given(load_with_warnings(asked.registry), fetch=online))


def run_asked(asked: Invocation, registry: Registry) -> int:
    """Run what was asked for, print the results and write the leaderboards; the exit code."""
    made = prepare(asked.request, registry, asked.settings)
    _announce(made, asked)
    try:
        execute(made, registry, asked.settings)
    except KeyboardInterrupt:
        return interrupted(asked, "what has finished is kept")
    if not asked.settings.wait:
        return 0
    results = results_of(made, asked.settings.out)
    _show(results, registry, asked)
    written = _write_leaderboards(registry, asked)
    good = _conclude(made, results, asked)
    return 0 if written and good else 1


def interrupted(asked: Invocation, kept: str) -> int:
    """Say how to go on after Ctrl-C; the exit code."""
    say(f"interrupted; {kept}, and the same command continues:\n  {asked.again()}")
    return 130


def _announce(made: Plan, asked: Invocation) -> None:
    """Print what will not run, and how many cells will."""
    _say_shard(asked)
    for reason in made.left_out:
        say(f"left out: {reason}")
    for missing in made.missing:
        say(f"missing: {missing}")
    if asked.settings.quiet:
        return
    if introduction := asked.request.scale.introduction:
        say(introduction)
    say(f"{made.counts}.")


def _say_shard(asked: Invocation) -> None:
    """Name the part that was taken without being asked for."""
    if (shard := asked.request.shard) and shard.origin:
        say(f"shard {shard}, from {shard.origin}; --shard 1/1 takes all cells")


def _show(results: Sequence[Result], registry: Registry, asked: Invocation) -> None:
    """Print the results on stdout, as a table or for machines."""
    from suite.leaderboards.terminal import render, summaries

    if asked.json:
        out_json([summary.model_dump(mode="json") for summary in summaries(results, registry)])
    elif results:
        out(render(results, registry))


def _write_leaderboards(registry: Registry, asked: Invocation) -> bool:
    """Write the pages; whether that worked. An older result that blocks them is named."""
    from suite.leaderboards import build

    folder = asked.settings.out
    try:
        pages = [path for path in build(folder, registry) if path.suffix == ".md"]
    except UserError as error:
        say(f"leaderboards not written: {error}")
        return False
    if not asked.settings.quiet:
        say(f"leaderboards: {shown(folder / 'README.md')} and {len(pages) - 1} pages beside it")
    return True


def _conclude(made: Plan, results: Sequence[Result], asked: Invocation) -> bool:
    """Print what failed, where its log is and how to try again; returns whether all is well."""
    status = Counter(result.status for result in results)
    failed = [result for result in results if result.failed]
    absent = made.with_action("missing")
    unfinished = len(made.planned) - len(results) - len(absent)
    parts = [f"{count} {word}" for word, count in status.items()]
    parts += [f"{len(absent)} missing"] if absent else []
    parts += [f"{unfinished} not run"] if unfinished else []
    good = not (failed or absent or unfinished)
    if not (good and asked.settings.quiet):
        say(", ".join(parts) + ".")
    for result in failed:
        label = coloured(result.cell.label, "red", sys.stderr)
        log = shown(asked.settings.out / result.log)
        say(f"{label}: {result.status}: {result.reason} (log: {log})")
    if failed:
        say(f"try these again with:\n  {asked.again('--only-failed')}")
    return good


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
