"""What methods report of their own learning, such as how many layers TAPS changes."""

from suite.leaderboards import formats
from suite.leaderboards.board import Board, Row
from suite.registry.schema import Store

_ALL = ""
"""In the place of a task: of all tasks together."""


def section(board: Board) -> str:
    """A table of all facts on the page of a board; empty if no method reports any."""
    # In another precision the same training would be told once more.
    once: dict[tuple[str, ...], Row] = {}
    for row in sorted(board.rows, key=lambda row: row.store is not Store.FLOAT32):
        once.setdefault(row.training, row)
    rows = [row for row in board.rows if row.facts and once[row.training] is row]
    if not rows:
        return ""
    together = any(_ALL in values for row in rows for values in row.facts.values())
    places = [*board.track.tasks, *([_ALL] if together else [])]
    table = [
        [formats.plain(row.label), formats.plain(fact), *(_value(values.get(p)) for p in places)]
        for row in rows
        for fact, values in row.facts.items()
    ]
    headers = ["method", "fact", *board.track.tasks, *(["all tasks"] if together else [])]
    meanings = {
        fact: meaning
        for row in rows
        if row.entry
        for fact, meaning in row.entry.facts.items()
        if fact in row.facts
    }
    return "\n\n".join(
        [
            "## What methods report",
            "Mean over seeds.",
            formats.table(table, headers, left=2),
            "\n".join(
                f"- **{formats.plain(fact)}**: {formats.plain(meaning)}."
                for fact, meaning in sorted(meanings.items())
            ),
        ]
    )


def _value(value: float | None) -> str:
    if value is None:
        return formats.NONE
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
