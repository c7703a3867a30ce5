"""All boards in one HTML page to explore by hand; it needs no network and no other file."""

import json
from collections.abc import Sequence
from pathlib import Path

from suite.leaderboards.board import Board, Row
from suite.leaderboards.formats import MARK
from suite.registry.schema import PublishedRow

NAME = "explorer.html"
_HERE = Path(__file__).parent
_NOTES = (
    "Stored ×: all bits that must be kept beside the frozen backbone, as a multiple of its own; "
    "shared bits count once, the others once for each task to serve; the scores are always those "
    "of the tasks that were measured. PPT: V-PETL Bench's score × exp(−log10(trained parameters / "
    "10⁷ + 1)). PSCP: PEFT-Bench's penalty with a single cost, the size stored per task, and the "
    "backbone as its reference: score / (1 + stored × / tasks)."
)


def render(boards: Sequence[Board]) -> bytes:
    """The page; the same bytes for the same boards. It opens with the first of them: measured ones
    come first, and of these those on real data."""
    ordered = sorted(boards, key=lambda b: (not b.rows, b.scale.embedded, b.name))
    data = {
        "boards": [_board(board) for board in ordered if board.rows or board.published],
        "notes": _NOTES,
    }
    # "</" and "<!--" mean something in the element that holds the data; the escape is the same sign
    # to JSON.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (_HERE / "page.html").read_text()
    page = page.replace("<!doctype html>", f"<!doctype html>\n{MARK}", 1)
    page = page.replace("/* STYLE */", (_HERE / "style.css").read_text().strip())
    page = page.replace("// SCRIPT", (_HERE / "explorer.js").read_text().strip())
    return page.replace("DATA", text, 1).encode()


def _board(board: Board) -> dict[str, object]:
    family = board.backbone_entry.family if board.backbone_entry else "unknown"
    measured = [_row(row, board) for row in board.ranked if row.estimate and row.cost]
    return {
        "name": board.name,
        "track": board.track.name,
        "scale": board.scale,
        "backbone": board.backbone,
        "family": family,
        "parameters": board.backbone_parameters,
        "tasks": list(board.track.tasks),
        "rows": [*measured, *(_published(row, board) for row in board.published)],
    }


def _row(row: Row, board: Board) -> dict[str, object]:
    estimate, cost, rank = row.estimate, row.cost, row.rank
    assert estimate is not None
    assert cost is not None
    low, high = estimate.interval() or (None, None)
    tasks = len(board.track.tasks)
    scores = {task: column.estimate for task, column in row.tasks.items()}
    return {
        "method": row.label,
        "regime": "joint" if row.joint else "per_task",
        "published": False,
        "score": _short(estimate.score),
        "low": _short(low),
        "high": _short(high),
        "rank": [rank.place, rank.low, rank.high] if rank else None,
        "best": row.perhaps_best,
        "shared": _short(cost.shared),
        "own": _short((cost.stored_x - cost.shared) / tasks),
        "trained": _short(100 * cost.trained),
        "scores": {task: _short(one.score) for task, one in scores.items() if one},
        "note": f"{cost.steps:.0f} steps, {len(row.seeds)} seeds.",
    }


def _published(row: PublishedRow, board: Board) -> dict[str, object]:
    """A quoted row; papers do not say which part is shared, so that it only fits their tasks."""
    tasks = len(board.track.tasks)
    return {
        "method": row.label,
        "regime": "published",
        "published": True,
        "score": _short(row.score),
        "low": None,
        "high": None,
        "rank": None,
        "best": False,
        "shared": None if row.stored_x is None else 0.0,
        "own": None if row.stored_x is None else _short(row.stored_x / tasks),
        "trained": None,
        "scores": dict(row.scores),
        "note": f"Published{'' if row.verified else ' (unverified)'}: {row.source}.",
    }


def _short(value: float | None) -> float | None:
    """Six significant digits, which keeps the page small."""
    return None if value is None else float(f"{value:.6g}")
