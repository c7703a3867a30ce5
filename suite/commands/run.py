"""`run` and `plan`."""

import argparse
import os
import shlex
import sys
from collections import Counter
from pathlib import Path

from suite.commands.selection import load_with_warnings, planned, results_folder
from suite.console import coloured, out, out_json, say, table
from suite.errors import UserError
from suite.plan import Plan, Planned
from suite.progress import make_progress
from suite.registry import Registry
from suite.registry.problems import shown
from suite.results import Result, read_results
from suite.run import Settings
from suite.run import run as execute

_COLOURS = {"run": "bold", "cached": "green", "unsupported": "dim", "missing": "yellow"}
_WORDS = {"run": "to run"}


def plan(options: argparse.Namespace) -> int:
    """Print the plan and write nothing."""
    made = planned(options, load_with_warnings(options.registry))
    if options.json:
        out_json([_as_json(item) for item in made.planned])
        return 0
    rows = [
        (
            item.cell.key.method,
            f"{item.cell.key.track}/{'+'.join(item.cell.key.tasks)}",
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
    if options.scale == "mini" and not options.quiet:
        say(
            "mini scale: embedded backbones and tasks, minutes on a CPU. "
            "For real data and weights add: --scale full"
        )
    registry = load_with_warnings(options.registry)
    made = planned(options, registry)
    if made.missing and not options.offline:
        from suite.commands.fetch import bring

        if bring(made.missing):
            made = planned(options, registry)
    for missing in made.missing:
        say(f"missing: {missing}")
    if made.planned and len(made.with_action("missing")) == len(made.planned):
        raise UserError("nothing can run: everything asked for needs what is missing")
    if not options.quiet:
        say(f"{_counts(made)}.")

    if options.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    settings = Settings(
        options.out, options.device, options.jobs, options.timeout, options.fail_fast
    )
    try:
        with make_progress(len(made.with_action("run")), options.quiet) as progress:
            execute(made, registry, settings, progress)
    except KeyboardInterrupt:
        say("interrupted; what has finished is kept, and the same command continues:")
        say(f"  {_command(options)}")
        return 130
    results = _results_of(made, options.out)
    if options.json:
        long = {"scores": {"__all__": {"predictions", "targets"}}}
        out_json([result.model_dump(mode="json", exclude=long) for result in results])
    else:
        _print_results(results)
    _write_leaderboards(options.out, registry, options.quiet)
    return _conclude(made, results, options)


def _results_of(made: Plan, out_folder: Path) -> list[Result]:
    wanted = {item.cell.identity.digest: index for index, item in enumerate(made.planned)}
    found = [
        result
        for result in read_results(results_folder(out_folder))
        if result.identity.digest in wanted
    ]
    return sorted(found, key=lambda result: wanted[result.identity.digest])


def _print_results(results: list[Result]) -> None:
    rows = [
        (
            result.cell.method,
            f"{result.cell.track}/{score.task}",
            result.cell.backbone,
            str(result.cell.seed),
            f"{score.score:.2f}",
            f"{result.train_seconds:.1f}",
            result.status,
        )
        for result in results
        for score in result.scores
    ] + [
        (
            result.cell.method,
            f"{result.cell.track}/{'+'.join(result.cell.tasks)}",
            result.cell.backbone,
            str(result.cell.seed),
            "-",
            "-",
            coloured(result.status, "dim" if result.status == "unsupported" else "red"),
        )
        for result in results
        if result.status != "ok"
    ]
    if rows:
        out(table(("method", "task", "backbone", "seed", "score", "seconds", "status"), rows))


def _write_leaderboards(folder: Path, registry: Registry, quiet: bool) -> None:
    from suite.leaderboards import build

    for path in build(folder, registry):
        if not quiet:
            say(f"wrote {shown(path)}")


def _conclude(made: Plan, results: list[Result], options: argparse.Namespace) -> int:
    """The last lines: what failed, where its log is, and how to try again."""
    status = Counter(result.status for result in results)
    failed = [result for result in results if result.status not in ("ok", "unsupported")]
    absent = made.with_action("missing")
    unfinished = len(made.planned) - len(results) - len(absent)
    parts = [f"{count} {word}" for word, count in status.items()]
    parts += [f"{len(absent)} missing"] if absent else []
    parts += [f"{unfinished} not run"] if unfinished else []
    say(", ".join(parts) + ".")
    for result in failed:
        label = coloured(result.cell.label, "red", sys.stderr)
        say(f"{label}: {result.status}: {result.reason} (log: {result.log})")
    if failed:
        say(f"try these again with:\n  {_command(options, '--only-failed')}")
    return 1 if failed or absent or unfinished else 0


def _command(options: argparse.Namespace, *more: str) -> str:
    words = [*options.arguments, *(word for word in more if word not in options.arguments)]
    return shlex.join(["python", "-m", "suite", *words])


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
