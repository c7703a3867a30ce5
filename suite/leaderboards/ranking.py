"""The tables of a page that say what every row scores, stores and trains."""

from collections.abc import Sequence

from suite.leaderboards import formats, provenance
from suite.leaderboards.board import Board, Row
from suite.results.ranks import detectable_difference

UNCOMMITTED = "‡"


def ranking(board: Board) -> str:
    """The section of the rows that are compared, the best first."""
    if not board.rows:
        return ""
    if not board.ranked:
        return "## Ranking\n\nNo method has a score for every task and seed, so none is ranked."
    rows = [
        [formats.rank(row), _mark(row), _method(row), *_cells(row, board)] for row in board.ranked
    ]
    headers = ["rank", "= best", "method", *_headers(board)]
    if board.constant_score is not None:
        blank = [formats.NONE] * (len(headers) - 4)
        rows.append([formats.NONE, "", "*constant answer*", f"{board.constant_score:.1f}", *blank])
    lines = ["## Ranking", formats.table(rows, headers, left=3)]
    if any(row.needs_no_backbone for row in board.ranked):
        lines.append(
            "\\* Does not need the frozen backbone to serve this track; other tracks would need it."
        )
    lines += _uncommitted(board.ranked)
    lines += provenance.verified(board.ranked)
    lines += _certainty(board)
    return "\n\n".join(lines)


def below_the_line(board: Board) -> str:
    """The section of the rows that are not compared, each with its reason."""
    if not board.unranked:
        return ""
    rows = [
        [_method(row), formats.plain(row.why_unranked), *_cells(row, board)]
        for row in board.unranked
    ]
    lines = [
        "## Below the line",
        "Not comparable with the ranking above, for the reason given.",
        formats.table(rows, ["method", "reason", *_headers(board)], left=2),
        *([] if any(row.uncommitted for row in board.ranked) else _uncommitted(board.unranked)),
        *provenance.verified(board.unranked),
    ]
    return "\n\n".join(lines)


def _mark(row: Row) -> str:
    return "=" if row.perhaps_best else ""


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
            "are no ranks, and no method is called the best. Give several `--seeds`."
        ]
    lines = []
    if any(estimate.seeds < 2 for estimate in estimates):
        lines.append(
            "These are single runs. How much runs vary is taken from the published board of the "
            "same track, backbone and number of steps."
        )
    found = detectable_difference(estimates)
    if found is not None:
        lines.append(
            f"A true difference of {found:.1f} between two methods is detected with 80 % power "
            "(median over all pairs, at 5 %, before any correction for many comparisons)."
        )
    return lines


def _method(row: Row) -> str:
    note = "\\*" if row.needs_no_backbone else ""
    note += UNCOMMITTED if row.uncommitted else ""
    note += f" {provenance.VERIFIED}" if row.verified else ""
    url = row.entry.reference.url if row.entry else None
    name = formats.link(row.label, url)
    return f"**{name}**{note}" if row.perhaps_best else f"{name}{note}"


def _headers(board: Board) -> list[str]:
    return [
        "score",
        *(["mean of all metrics"] if board.several_metrics else []),
        "stored ×",
        "total ×",
        "per task %",
        "head %",
        *(["buffers %"] if _has_buffers(board) else []),
        "trained %",
        "tensors MB",
        "files MB",
        "steps",
        "seeds",
        "hardware",
        "settings",
    ]


def _has_buffers(board: Board) -> bool:
    return any(row.cost and row.cost.buffers for row in board.rows)


def _cells(row: Row, board: Board) -> list[str]:
    """The cells under `_headers`."""
    mean = [f"{row.all_metrics:.1f}" if row.estimate else formats.NONE]
    known = [formats.score(row), *(mean if board.several_metrics else [])]
    machines = ", ".join(hardware(board)[name] for name in row.hardware) or formats.NONE
    made = [str(len(row.seeds)), machines, formats.settings(row) or formats.NONE]
    if row.cost is None:
        unknown = len(_headers(board)) - len(known) - len(made)
        return [*known, *[formats.NONE] * unknown, *made]
    cost = row.cost
    return [
        *known,
        formats.stored(cost.stored_x),
        formats.multiple(cost.total_x),
        formats.percent(cost.per_task),
        formats.percent(cost.head),
        *([formats.percent(cost.buffers)] if _has_buffers(board) else []),
        formats.percent(cost.trained),
        formats.size(cost.tensor_bytes),
        formats.size(cost.file_bytes),
        f"{cost.steps:.0f}",
        *made,
    ]


def hardware(board: Board) -> dict[str, str]:
    """Every machine's name -> the letter it has on this page."""
    names = sorted({machine.hardware for machine in board.machines})
    return {name: _letter(i) for i, name in enumerate(names)}


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"{_letter(i // 26 - 1)}{_letter(i % 26)}"


def _uncommitted(rows: Sequence[Row]) -> list[str]:
    """What the mark means, if one of the rows has it."""
    if not any(row.uncommitted for row in rows):
        return []
    return [
        f"{UNCOMMITTED} Measured from a source tree with changes that were not committed: the "
        "commit in the result is not all of the code."
    ]
