"""The tables of a page that say what every row scores, stores and trains."""

from collections.abc import Sequence

from suite.leaderboards import definitions, formats, methods_page, provenance
from suite.leaderboards.board import Board, Row
from suite.results.ranks import detectable_difference

UNCOMMITTED, COLLAPSED = "‡", "¶"
LARGE_HEAD = 0.05
"""A head of this part of the backbone surprises who reads the cost of a linear probe."""


def ranking(board: Board) -> str:
    """The section of the rows that are compared, the best first."""
    if not board.rows:
        return ""
    if not board.ranked:
        return "## Ranking\n\nNo method has a score for every task and seed, so none is ranked."
    tested = any(row.rank for row in board.ranked)
    common, columns = _measured(board.ranked, board)
    rows = [
        [
            *([formats.rank(row), row.mark] if tested else []),
            _method(row, board),
            *_cells(row, board),
            *(own[i] for own in columns.values()),
        ]
        for i, row in enumerate(board.ranked)
    ]
    first = [*(["rank", "= best"] if tested else []), "method"]
    headers = [*first, *_headers(board), *columns]
    if board.constant_score is not None:
        said = [*[""] * (len(first) - 1), "*constant answer*", f"{board.constant_score:.1f}"]
        rows.append([*said, *[formats.NONE] * (len(headers) - len(said))])
    lines = [
        "## Ranking",
        formats.table(rows, headers, left=len(first)),
        f"[What the columns mean](#{definitions.ANCHOR}). {common}".rstrip(),
    ]
    if any(row.needs_no_backbone for row in board.ranked):
        lines.append(
            "\\* Does not need the frozen backbone to serve this track; other tracks would need it."
        )
    lines += _collapsed(board.ranked, board)
    lines += _uncommitted(board.ranked)
    lines += provenance.verified(board.ranked)
    lines += _certainty(board)
    lines += _large_heads(board.ranked)
    return "\n\n".join(lines)


def below_the_line(board: Board) -> str:
    """The section of the rows that are not compared, each with its reason."""
    if not board.unranked:
        return ""
    common, columns = _measured(board.unranked, board)
    rows = [
        [
            _method(row, board),
            formats.plain(row.why_unranked),
            *_cells(row, board),
            *(own[i] for own in columns.values()),
        ]
        for i, row in enumerate(board.unranked)
    ]
    lines = [
        "## Below the line",
        "Not comparable with the ranking above, for the reason given.",
        formats.table(rows, ["method", "reason", *_headers(board), *columns], left=2),
        *([common] if common else []),
        *([] if _collapsed(board.ranked, board) else _collapsed(board.unranked, board)),
        *([] if any(row.uncommitted for row in board.ranked) else _uncommitted(board.unranked)),
        *provenance.verified(board.unranked),
    ]
    return "\n\n".join(lines)


def stored(board: Board) -> str:
    """The section of what each row's files hold, and of its settings."""
    rows = [
        [formats.plain(row.label), *_sizes(row, board), formats.settings(row) or formats.NONE]
        for row in board.rows
    ]
    if not rows:
        return ""
    buffers = ["buffers %"] if _has_buffers(board) else []
    headers = ["method", "head %", *buffers, "tensors MB", "files MB", "settings"]
    return "## Files and settings\n\n" + formats.table(rows, headers)


def collapsed(row: Row, board: Board) -> list[str]:
    """The tasks that one constant answer would have done as well as the row."""
    return [
        task
        for task, best in board.constants.items()
        if (estimate := row.tasks[task].estimate) and estimate.score <= best
    ]


def unknown_noise(board: Board) -> str:
    """The kind of runs of which it is not known how they vary; empty if there is none."""
    estimated = [(row.joint, row.estimate) for row in board.ranked if row.estimate]
    unknown = {joint for joint, estimate in estimated if estimate.run_noise is None}
    if not unknown:
        return ""
    if unknown == {joint for joint, _ in estimated}:
        return "runs"
    return "joint runs" if True in unknown else "runs of single tasks"


def _certainty(board: Board) -> list[str]:
    """Which differences between scores the page can detect."""
    estimates = [row.estimate for row in board.ranked if row.estimate]
    if kind := unknown_noise(board):
        return [
            f"These are single runs, and nothing is known of how {kind} vary on this board: there "
            "are no ranks, and no method is called the best. With more seeds there will be."
        ]
    lines = []
    if any(estimate.seeds < 2 for estimate in estimates):
        lines.append(
            "These are single runs. How much runs vary is taken from the published board of the "
            "same track, backbone and number of steps."
        )
    if unsure := [row for row in board.ranked if row.mark == "?"]:
        named = ", ".join(f"{formats.plain(row.label)} ({formats.score(row)})" for row in unsure)
        lines.append(f"? Runs differ too much to be compared with the best: {named}.")
    found = detectable_difference(estimates)
    if found is not None:
        lines.append(
            f"A true difference of {found:.1f} between two typical methods is detected with 80 % "
            "power (median over all pairs, at 5 %, before any correction for many comparisons)."
        )
    return lines


def _method(row: Row, board: Board) -> str:
    note = "\\*" if row.needs_no_backbone else ""
    note += COLLAPSED if collapsed(row, board) else ""
    note += UNCOMMITTED if row.uncommitted else ""
    note += f" {provenance.VERIFIED}" if row.verified else ""
    url = row.entry.reference.url if row.entry else None
    name = formats.link(row.label, url)
    return f"**{name}**{note}" if row.perhaps_best else f"{name}{note}"


def _measured(rows: Sequence[Row], board: Board) -> tuple[str, dict[str, list[str]]]:
    """What rows have in common in how they were measured, and a column for each thing that differs
    between them."""
    letters = hardware(board)
    every = {
        "steps": [f"{row.cost.steps:.0f}" if row.cost else formats.NONE for row in rows],
        "seeds": [str(len(row.seeds)) for row in rows],
        "hardware": [
            ", ".join(letters[name] for name in row.hardware) or formats.NONE for row in rows
        ],
    }
    common = {name: own[0] for name, own in every.items() if set(own) == {own[0]}}
    said = ", ".join(f"{name} {own}" for name, own in common.items() if own != formats.NONE)
    rest = {name: own for name, own in every.items() if name not in common}
    return f"Every row has {said}." if said else "", rest


def _headers(board: Board) -> list[str]:
    mean = ["mean of all metrics"] if board.several_metrics else []
    return ["score", *mean, "stored ×", "total ×", "per task %", "trained %"]


def _cells(row: Row, board: Board) -> list[str]:
    """The cells under `_headers`."""
    mean = [f"{row.all_metrics:.1f}" if row.estimate else formats.NONE]
    known = [formats.score(row), *(mean if board.several_metrics else [])]
    if row.cost is None:
        return [*known, *[formats.NONE] * 4]
    return [
        *known,
        formats.stored(row.cost.stored_x),
        formats.multiple(row.cost.total_x),
        formats.percent(row.cost.per_task),
        formats.percent(row.cost.trained),
    ]


def _sizes(row: Row, board: Board) -> list[str]:
    """The size of each part of a row's files."""
    has_buffers, cost = _has_buffers(board), row.cost
    if cost is None:
        return [formats.NONE] * (3 + has_buffers)
    return [
        formats.percent(cost.head),
        *([formats.percent(cost.buffers)] if has_buffers else []),
        formats.size(cost.tensor_bytes),
        formats.size(cost.file_bytes),
    ]


def _has_buffers(board: Board) -> bool:
    return any(row.cost and row.cost.buffers for row in board.rows)


def hardware(board: Board) -> dict[str, str]:
    """Every machine's name -> the letter it has on this page."""
    names = sorted({machine.hardware for machine in board.machines})
    return {name: _letter(i) for i, name in enumerate(names)}


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"{_letter(i // 26 - 1)}{_letter(i % 26)}"


def _collapsed(rows: Sequence[Row], board: Board) -> list[str]:
    """What the sign means, if one of the rows has it."""
    if not any(collapsed(row, board) for row in rows):
        return []
    return [f"{COLLAPSED} On some task no better than one constant answer; the score includes it."]


def _large_heads(rows: Sequence[Row]) -> list[str]:
    """Why a method costs much that stores little but its heads."""
    large = [row for row in rows if row.cost and row.cost.head > LARGE_HEAD]
    if not large:
        return []
    named = ", ".join(
        f"{formats.plain(row.label)} ({formats.percent(row.cost.head)} %)"
        for row in large
        if row.cost
    )
    return [
        f"A head is stored for each task, and here it is a large part of the backbone: {named}. "
        f"Notes on methods are on [their page]({methods_page.NAME})."
    ]


def _uncommitted(rows: Sequence[Row]) -> list[str]:
    """What the mark means, if one of the rows has it."""
    if not any(row.uncommitted for row in rows):
        return []
    return [
        f"{UNCOMMITTED} Measured from a source tree with changes that were not committed: the "
        "commit in the result is not all of the code."
    ]
