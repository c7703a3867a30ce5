"""A leaderboard as one Markdown page."""

from collections.abc import Sequence

from suite.leaderboards import export, facts, formats, papers, ranking
from suite.leaderboards.board import Board
from suite.leaderboards.commands import commands
from suite.leaderboards.definitions import definitions
from suite.results.records import Carried


def render(board: Board, *, plot: str | None) -> str:
    """The page of a board; `plot` is the path of its plot as seen from the page."""
    sections = [
        f"{formats.MARK}\n\n# {board.track.name} on {board.backbone} ({board.scale} scale)",
        _introduction(board),
        f"![Score against what is stored]({plot})" if plot else "",
        ranking.ranking(board),
        ranking.below_the_line(board),
        _exceptions(board),
        _per_task(board),
        ranking.stored(board),
        facts.section(board),
        _failures(board),
        _unsupported(board),
        papers.section(board),
        _published(board),
        definitions(board) if board.rows else "",
        _how_made(board),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(board: Board) -> str:
    tasks = len(board.track.tasks)
    lines = [_sentence(board.track.description)]
    if board.backbone_entry:
        lines.append(f"Backbone: {_sentence(board.backbone_entry.description)}")
    if not board.rows:
        lines.append("Nothing has been measured by this suite on this backbone yet.")
        if board.published:
            lines.append("The published numbers below are quoted with their sources.")
        return "\n\n".join(lines)
    size = f" of {board.backbone_parameters:,} parameters" if board.backbone_parameters else ""
    lines.append(
        f"One frozen backbone{size} serves {tasks} tasks: {', '.join(board.track.tasks)}. "
        "Every score is computed on test examples from the saved delta, loaded into a fresh "
        "backbone."
    )
    if board.outdated:
        lines.append(
            f"**Measured on earlier versions of {', '.join(board.outdated)}**: other examples, or "
            "another question. Scores of the commands below cannot be compared with these."
        )
    return "\n\n".join(lines)


def _sentence(description: str) -> str:
    return formats.plain(description.strip().rstrip(".")) + "."


def _exceptions(board: Board) -> str:
    """What methods change of their recipe for this track alone, and who says so."""
    if board.backbone_entry is None:
        return ""
    entries = {row.entry.name: row.entry for row in board.rows if row.entry}
    lines = []
    for name, entry in sorted(entries.items()):
        found = entry.exception(board.scale, board.track.name, board.backbone_entry.family)
        if found is not None:
            changes = ", ".join(f"{key} {value}" for key, value in found.written.items())
            lines.append(f"- {name}: {changes} ({formats.plain(found.source)})")
    if not lines:
        return ""
    head = "For this track these methods have recipe keys that replace their own:"
    return "\n\n".join(["## Exceptions from the recipe", head, "\n".join(lines)])


def _per_task(board: Board) -> str:
    if not board.rows:
        return ""
    headers = ["method"]
    for task in board.track.tasks:
        mark = " †" if task in board.data_notes else ""
        metrics = " / ".join(map(formats.plain, board.metrics.get(task, ())))
        headers.append(f"{task}{mark}<br>{metrics}" if metrics else f"{task}{mark}")
    rows = [
        [
            formats.plain(row.label),
            *(formats.task_score(row.tasks[task]) for task in board.track.tasks),
        ]
        for row in board.rows
    ]
    answers = [board.constants.get(task) for task in board.track.tasks]
    rows.append(
        ["*constant answer*", *(formats.NONE if a is None else f"{a:.1f}" for a in answers)]
    )
    lines = ["## Scores per task", formats.table(rows, headers)]
    if failed := [
        f"{formats.plain(row.label)} ({', '.join(map(formats.plain, tasks))})"
        for row in board.rows
        if (tasks := ranking.collapsed(row, board))
    ]:
        lines.append(f"Score no higher than the best constant answer: {'; '.join(failed)}.")
    if board.data_notes:
        notes = [
            f"- {formats.plain(task)}: {formats.plain(note)}"
            for task, note in sorted(board.data_notes.items())
        ]
        lines += ["† Not the official data:", "\n".join(notes)]
    if board.several_metrics:
        lines.append("If a task has two metrics, the score is their mean.")
    return "\n\n".join(lines)


def _failures(board: Board) -> str:
    rows = [
        [
            formats.plain(f.cell.label),
            f.status,
            formats.plain(f.reason) or formats.NONE,
            formats.code(f.log) if f.log else formats.NONE,
        ]
        for f in board.failures
    ]
    if not rows:
        return ""
    return "## Cells without a score\n\n" + formats.table(
        rows, ["cell", "status", "reason", "log"], left=4
    )


def _unsupported(board: Board) -> str:
    if not board.unsupported:
        return ""
    lines = [
        f"- {formats.plain(method)}: {formats.plain(reason)}"
        for method, reason in board.unsupported.items()
    ]
    return "## Not defined on this backbone\n\n" + "\n".join(lines)


def _published(board: Board) -> str:
    if not board.published:
        return ""
    measured = {row.method: row.score for row in board.ranked if not row.setting}
    gaps = any(row.method in measured for row in board.published)
    tasks = [t for t in board.track.tasks if any(t in row.scores for row in board.published)]
    sources = list(dict.fromkeys(row.source for row in board.published))
    settings = list(dict.fromkeys(row.setting for row in board.published if row.setting))
    digits = 0 if board.track.score == "decathlon" else 1
    rows = []
    for row in board.published:
        gap = (
            f"{measured[row.method] - row.score:+.{digits}f}"
            if row.method in measured
            else formats.NONE
        )
        rows.append(
            [
                formats.plain(row.label),
                "published" if row.verified else "published (unverified)",
                f"{row.score:.{digits}f}",
                *([gap] if gaps else []),
                formats.stored(row.stored_x) if row.stored_x is not None else formats.NONE,
                formats.multiple(row.total_x) if row.total_x is not None else formats.NONE,
                formats.percent(row.per_task_percent / 100)
                if row.per_task_percent is not None
                else formats.NONE,
                *(f"{row.scores[t]:.1f}" if t in row.scores else formats.NONE for t in tasks),
                str(sources.index(row.source) + 1),
                str(settings.index(row.setting) + 1) if row.setting else formats.NONE,
            ]
        )
    headers = ["method", "status", "score", *(["ours minus published"] if gaps else [])]
    headers += ["stored ×", "total ×", "per task %", *tasks, "source", "setting"]
    lines = [
        "## Published results",
        "Not measured by this suite, and never ranked with rows that were. *Unverified*: the "
        "number was not read in the source itself. *Stored ×*: what is stored beside the frozen "
        "backbone for all tasks, in backbones; *total ×*: with the backbone, where it is needed; "
        "*per task %*: of the backbone. Papers do not count heads as stored, and these do not "
        "either.",
        formats.table(rows, headers, left=2),
    ]
    for head, said in (("Sources:", sources), ("Settings:", settings)):
        if said:
            lines += [head, "\n".join(f"{i}. {formats.plain(s)}" for i, s in enumerate(said, 1))]
    return "\n\n".join(lines)


def _how_made(board: Board) -> str:
    lines = ["## How this page was made"]
    if board.machines:
        letters = ranking.hardware(board).items()
        named = "; ".join(f"{letter}: {formats.plain(name)}" for name, letter in letters)
        lines.append(f"Hardware: {named}")
        lines.append("Versions: " + formats.plain("; ".join(_versions(board))) + ".")
    lines += _carried(board.carried)
    if board.rows:
        lines.append(
            "Measure again:\n\n" + "\n".join(f"    {formats.one_line(c)}" for c in commands(board))
        )
    table = f"These rows as [CSV]({export.FOLDER}/{board.name}.csv). "
    lines.append(
        (table if board.rows or board.published else "")
        + "Write the pages again from the results: `python -m suite leaderboard`."
    )
    return "\n\n".join(lines)


def _carried(every: Sequence[Carried]) -> list[str]:
    """Which results were measured with other code, and how that was compared with the present."""
    by_commit: dict[tuple[str, bool], list[Carried]] = {}
    for each in every:
        by_commit.setdefault((each.commit, each.dirty), []).append(each)
    lines = []
    for (commit, dirty), own in sorted(by_commit.items()):
        compared = {(each.cells, each.steps): each.predictions for each in own}
        cells = {cell for each in own for cell in each.cells}
        tree = " (the recorded tree was dirty, the commit was run)" if dirty else ""
        lines.append(
            f"- {len(own)} carried from commit {formats.plain(commit[:8])}{tree}: compared on "
            f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}, "
            f"{sum(compared.values()):,} predictions, all equal bit for bit"
        )
    if lines:
        head = (
            "Results that were measured with other code count as ones of the present code where "
            "cells of the same method and family were run under both on one machine:"
        )
        lines = [head, "\n".join(lines)]
    return lines


def _versions(board: Board) -> list[str]:
    found: dict[str, set[str]] = {}
    for machine in board.machines:
        for package, version in machine.versions:
            found.setdefault(package, set()).add(version)
    return [f"{package} {', '.join(sorted(found[package]))}" for package in sorted(found)]
