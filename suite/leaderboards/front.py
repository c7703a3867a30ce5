"""Score against what is stored: methods as points, and those that no other beats."""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.leaderboards.board import Board


@dataclass(frozen=True)
class Point:
    """One method: what it stores and what it scores."""

    label: str
    stored_x: float
    score: float
    interval: tuple[float, float] | None
    joint: bool
    published: bool
    perhaps_best: bool = False
    """Whether the best score is not told apart from this one; its name is then bold."""
    method: str = ""
    """Whose settings make a curve; empty for published rows."""


def points(board: Board) -> list[Point]:
    """The ranked rows of a board, and its published rows whose cost is known.

    A published probe, of which papers count nothing, has no place on a logarithmic axis.
    """
    measured = [
        Point(
            row.label,
            row.cost.stored_x,
            row.score,
            row.estimate.interval(),
            row.joint,
            False,
            row.perhaps_best,
            row.method,
        )
        for row in board.ranked
        if row.cost and row.cost.stored_x > 0 and row.estimate
    ]
    published = [
        Point(row.label, row.stored_x, row.score, None, False, True)
        for row in board.published
        if row.stored_x is not None and row.stored_x > 1e-9
    ]
    return measured + published


def curves(shown: Sequence[Point]) -> list[list[Point]]:
    """The settings of each method that has several, by cost."""
    by_method: dict[str, list[Point]] = {}
    for point in shown:
        if point.method:
            by_method.setdefault(point.method, []).append(point)
    several = (own for own in by_method.values() if len(own) > 1)
    return [sorted(own, key=lambda p: (p.stored_x, p.score)) for own in several]


def pareto_front(candidates: Sequence[Point]) -> list[Point]:
    """The points that no other point beats in score at the same or a lower cost, by cost."""
    front: list[Point] = []
    for point in sorted(candidates, key=lambda p: (p.stored_x, -p.score)):
        if not front or point.score > front[-1].score:
            front.append(point)
    return front
