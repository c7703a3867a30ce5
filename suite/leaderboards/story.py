"""Which method at which budget: the best of every board, and how often each is among them."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.leaderboards import formats
from suite.leaderboards.board import Board, Row
from suite.results.ranks import detectable_difference, standings
from suite.results.searches import Search
from suite.results.statistics import Estimate

SIGN = "°"
EARLIER = (
    f"{SIGN} Measured on an earlier version of its tasks: not comparable with the boards that have "
    "no such sign, nor with what a run gives today."
)
"""What the sign of a board means; it stands where boards stand side by side."""
BUDGETS = (0.01, 0.1, 1.0, math.inf)
"""What may be stored beside the frozen backbone, in backbones."""


@dataclass(frozen=True)
class Choice:
    """The highest score within a budget, and the rows within it that are not told apart from it."""

    best: Row
    equals: tuple[Row, ...]
    """With the best itself; empty if it is not known how runs vary, so that nothing was tested."""
    unsure: tuple[Row, ...] = ()
    """Rows that are not told apart from it either, but only because their runs differ so much."""


def choose(board: Board, budget: float) -> Choice | None:
    """The choice among the ranked rows that store at most `budget`; None if there are none."""
    rows = [row for row in board.ranked if row.cost and row.cost.stored_x <= budget]
    if not rows:
        return None
    best, *others = rows
    if not is_tested(board):
        return Choice(best, ())
    found = list(zip(others, standings(_estimates(rows))[1:], strict=True))
    equals = (row for row, standing in found if standing.best and not standing.unsure)
    return Choice(best, (best, *equals), tuple(row for row, s in found if s.unsure))


def is_tested(board: Board) -> bool:
    """Whether the ranked rows were compared with each other."""
    return all(row.rank for row in board.ranked)


def by_board(boards: Sequence[Board]) -> str:
    """A table with a row for every board and a column for every budget."""
    headers = ["board", "family", *map(_budget, BUDGETS), "detects"]
    rows = [
        [
            link(board),
            board.backbone_entry.family if board.backbone_entry else formats.NONE,
            *(_choice(choose(board, budget)) for budget in BUDGETS),
            _detectable(board),
        ]
        for board in boards
    ]
    return formats.table(rows, headers, left=2)


def over_boards(boards: Sequence[Board]) -> str:
    """A table of the methods that are among the best anywhere, and the names of the others."""
    boards = [board for board in boards if board.ranked and is_tested(board)]
    outscored: dict[str, list[float]] = defaultdict(list)
    fits: dict[tuple[str, float], int] = defaultdict(int)
    best: dict[tuple[str, float], int] = defaultdict(int)
    for board in boards:
        others = len(board.ranked) - 1
        for row in board.ranked:
            below = sum(other.score < row.score for other in board.ranked)
            outscored[row.label].append(below / others if others else 0.0)
        for budget in BUDGETS:
            choice = choose(board, budget)
            for row in board.ranked:
                fits[row.label, budget] += bool(row.cost and row.cost.stored_x <= budget)
            for row in choice.equals if choice else ():
                best[row.label, budget] += 1
    labels = sorted(
        outscored, key=lambda label: (-len(outscored[label]), -fmean(outscored[label]), label)
    )
    among = [label for label in labels if any(best[label, budget] for budget in BUDGETS)]
    rows = [
        [
            formats.plain(label),
            str(len(outscored[label])),
            f"{100 * fmean(outscored[label]):.0f}",
            *(_share(best[label, budget], fits[label, budget]) for budget in BUDGETS),
        ]
        for label in among
    ]
    headers = ["method", "boards", "outscores %", *map(_budget, BUDGETS)]
    lines = [formats.table(rows, headers)]
    settings = {row.label for board in boards for row in board.ranked if row.setting}
    if never := [label for label in labels if label not in among and label not in settings]:
        lines.append(
            "At none of these budgets, on none of these boards, among the best: "
            f"{', '.join(map(formats.plain, never))}."
        )
    return "\n\n".join(lines)


def unknown(boards: Sequence[Board], unmeasured: Sequence[str], searches: Sequence[Search]) -> str:
    """A list of what these boards do not say."""
    rows = [(board, row) for board in boards for row in board.rows]
    lines = [
        "Methods that are not told apart are not shown to be equal: a true difference below what a "
        "board *detects* is often missed, and so is a larger one of methods whose runs differ more "
        "than is typical."
    ]
    if not any(board.ranked and not board.scale.embedded for board in boards):
        lines.append(
            "Nothing has been measured at the full scale, so that it is unknown how far the order "
            "holds on real data."
        )
    single = [board for board in boards if any(len(row.seeds) < 2 for row in board.ranked)]
    if single:
        lines.append(f"One seed alone: {', '.join(map(_of_one_seed, single))}.")
    chosen = {
        (each.method, each.track, each.backbone, each.scale.value): each.best.learning_rate
        for each in searches
        if each.best and not each.setting
    }
    present = [(board, row) for board, row in rows if not board.outdated]
    tuned = sum(_is_tuned(row, chosen.get((row.method, *_where(board)))) for board, row in present)
    if present:
        lines.append(
            f"On present tasks {tuned} of {len(present)} rows were measured at the learning rate "
            "that a recorded search on the board's own validation data chose; other options "
            "(ranks, reductions, thresholds) were searched for none."
        )
    if old := [board for board in boards if board.outdated]:
        lines.append(
            f"Measured on earlier versions of their tasks, with which scores of today cannot be "
            f"compared ({SIGN}): {_names(old)}."
        )
    if dirty := sum(row.uncommitted for _, row in rows):
        lines.append(f"{dirty} of {len(rows)} rows were measured with code that no commit holds.")
    if unmeasured:
        lines.append(f"Not measured: {', '.join(unmeasured)}.")
    measured_on: dict[str, set[str]] = defaultdict(set)
    for board, row in rows:
        measured_on[row.method].add(board.name)
    if once := sorted(name for name, own in measured_on.items() if len(own) == 1 < len(boards)):
        lines.append(f"Measured on one board alone: {', '.join(once)}.")
    return "\n".join(f"- {line}" for line in lines)


def _is_tuned(row: Row, chosen: float | None) -> bool:
    """Whether a row was measured at the rate that was chosen for its method."""
    return row.training[0] == row.method and row.learning_rates == (chosen,)


def _of_one_seed(board: Board) -> str:
    """`glue on bert_mini (3 of 22 rows)`."""
    single = sum(len(row.seeds) < 2 for row in board.ranked)
    part = f" ({single} of {len(board.ranked)} rows)" if single < len(board.ranked) else ""
    return _names([board]) + part


def _where(board: Board) -> tuple[str, str, str]:
    return board.track.name, board.backbone, board.scale


def link(board: Board) -> str:
    """The board's name as a link to its page, with the sign of earlier tasks."""
    sign = f" {SIGN}" if board.outdated else ""
    return f"[{board.track.name} on {board.backbone}]({board.name}.md){sign}"


def _names(boards: Sequence[Board]) -> str:
    return ", ".join(f"{board.track.name} on {board.backbone}" for board in boards)


def _estimates(rows: Sequence[Row]) -> list[Estimate]:
    return [row.estimate for row in rows if row.estimate]


def _budget(budget: float) -> str:
    return "any size" if math.isinf(budget) else f"≤ {budget:g}×"


def _choice(choice: Choice | None) -> str:
    """`lora 72.5 @ 0.122×, = 3 more`; bold if it is `= best` on the whole board."""
    if choice is None or choice.best.cost is None:
        return formats.NONE
    best, stored = choice.best, formats.stored(choice.best.cost.stored_x)
    label = formats.plain(best.label)
    name = f"**{label}**" if best.perhaps_best else label
    said = f"{name} {best.score:.1f} @ {stored}"
    if not choice.equals:
        return f"{said}, not tested"
    return f"{said}, = {len(choice.equals) - 1} more" if len(choice.equals) > 1 else said


def _detectable(board: Board) -> str:
    found = detectable_difference(_estimates(board.ranked)) if is_tested(board) else None
    return formats.NONE if found is None else f"{found:.1f}"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else formats.NONE
