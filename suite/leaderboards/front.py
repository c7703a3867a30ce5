"""Score against cost: the methods of a board as points, and those that no other beats."""

from collections.abc import Sequence
from dataclasses import dataclass

from suite.leaderboards.board import Board


@dataclass(frozen=True)
class Point:
    """One method: what it costs and what it scores."""

    label: str
    total_x: float
    score: float
    interval: tuple[float, float] | None
    joint: bool
    published: bool


def points(board: Board) -> list[Point]:
    """The ranked rows of a board, and its published rows whose cost is known."""
    measured = [
        Point(row.label, row.cost.total_x, row.score, row.estimate.interval(), row.joint, False)
        for row in board.ranked
        if row.cost and row.estimate
    ]
    published = [
        Point(row.label, row.total_x, row.score, None, False, True)
        for row in board.published
        if row.total_x is not None
    ]
    return measured + published


def pareto_front(candidates: Sequence[Point]) -> list[Point]:
    """The points that no other point beats in score at the same or a lower cost, by cost."""
    front: list[Point] = []
    for point in sorted(candidates, key=lambda p: (p.total_x, -p.score)):
        if not front or point.score > front[-1].score:
            front.append(point)
    return front
