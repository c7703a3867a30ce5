"""The first page of the leaderboards: the story, then methods by backbones for every track."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean

from suite.leaderboards import (
    explorer,
    export,
    findings,
    formats,
    methods_page,
    searches_page,
    story,
)
from suite.leaderboards.board import Board
from suite.leaderboards.ranking import COLLAPSED, collapsed
from suite.registry.schema import Scale
from suite.results.searches import Search

SCALES = (Scale.FULL, Scale.MINI)
"""In the order in which they are shown: real data come first."""
_SCALE = {
    Scale.FULL: "*Full scale*: real data and public pretrained weights.",
    Scale.MINI: "*Mini scale*: the embedded miniature of a track, on networks that come with the "
    "package. Its scores cannot be compared with published ones.",
}


def render(
    boards: Sequence[Board],
    methods: Sequence[str] = (),
    searches: Sequence[Search] = (),
    *,
    answered: bool = False,
) -> str:
    """`README.md` of the leaderboards; `methods` are all there are, measured or not; `answered`:
    there is a page of findings."""
    sections = [f"{formats.MARK}\n\n# Leaderboards", *_links(boards, searches, answered)]
    measured = [board for board in boards if board.rows]
    if measured:
        sections += ["## Which method at which budget", _BUDGETS]
    for scale in SCALES:
        if own := [board for board in measured if board.scale == scale]:
            sections += _story(scale, own)
    if measured:
        sections += ["## What is not known", _unknown(measured, methods, searches)]
        sections += ["## Every method", _EVERY]
    for scale in SCALES:
        sections += _methods([board for board in measured if board.scale == scale])
    others = [board for board in boards if not board.rows]
    for title, own in (
        ("Published results only", [board for board in others if board.published]),
        ("No method is defined", [board for board in others if not board.published]),
    ):
        lines = [f"- [{b.track.name} on {b.backbone}, {b.scale} scale]({b.name}.md)" for b in own]
        sections += [f"## {title}", "\n".join(lines)] if lines else []
    return "\n\n".join(sections) + "\n"


def _links(boards: Sequence[Board], searches: Sequence[Search], answered: bool) -> list[str]:
    links = []
    if any(board.rows for board in boards):
        links.append(f"[Explore the results interactively]({explorer.NAME})")
        links.append(f"[What each method is and stores]({methods_page.NAME})")
    if answered:
        links.append(f"[What the boards teach]({findings.NAME})")
    if searches:
        links.append(f"[How the learning rates were chosen]({searches_page.NAME})")
    if any(board.rows or board.published for board in boards):
        links.append(f"[All rows as CSV]({export.FOLDER}/)")
    return [" · ".join(links)] if links else []


_BUDGETS = (
    "The highest score on each board among the methods that store at most so much beside the "
    "frozen backbone, for all tasks together (score @ stored ×). *= 3 more*: three others within "
    "the budget are not told apart from it (paired tests, Holm's correction; without methods whose "
    "runs differ too much to tell). **Bold**: not told apart from the best of the whole board. "
    "*Not tested*: one seed, and nothing is known of how runs vary. *detects*: the true difference "
    "that a typical pair of methods shows with 80 % power in a single test."
)
_EVERY = (
    "Score @ stored ×, sorted by score; over several boards, by the mean share of methods with a "
    "higher one. **Bold**: not told apart from the best score of its column. *Italic*: not "
    "comparable; its page says why. `6/8`: how many tasks have a score. "
    "Methods as they are: their settings and precisions stand on the boards' pages. "
    f"{COLLAPSED}: on some task no better than one constant answer. "
    f"{formats.NONE}: not measured, or not defined; its page says which."
)


def _story(scale: Scale, boards: Sequence[Board]) -> list[str]:
    sections = [f"### {scale.capitalize()} scale", _SCALE[scale], story.by_board(boards)]
    if any(board.outdated for board in boards):
        sections.append(story.EARLIER)
    if sum(bool(board.ranked) and story.is_tested(board) for board in boards) > 1:
        sections += [
            "Over these boards. `3 of 5`: on three of the five where the method is within the "
            "budget, it is not told apart from the best within it. *outscores*: the share of the "
            "other methods with a lower score, mean over the boards that have the method; it was "
            "not tested, and orders methods that are on as many boards.",
            story.over_boards(boards),
        ]
    return sections


def _unknown(boards: Sequence[Board], methods: Sequence[str], searches: Sequence[Search]) -> str:
    shown = {row.method for board in boards for row in board.rows}
    return story.unknown(boards, [name for name in methods if name not in shown], searches)


def _methods(boards: Sequence[Board]) -> list[str]:
    """Every method on the boards of one scale, a table for each track."""
    by_track: dict[str, list[Board]] = defaultdict(list)
    for board in boards:
        by_track[board.track.name].append(board)
    sections = []
    for track, members in sorted(by_track.items()):
        sections += [
            f"### {track}, {members[0].scale} scale",
            _table(members),
        ]
    return sections


def _table(boards: Sequence[Board]) -> str:
    plain = {row.label for board in boards for row in board.rows if not row.setting}
    methods = sorted(plain, key=_order(boards))
    headers = [
        "method",
        *(
            f"[{board.backbone}]({board.name}.md){f' {story.SIGN}' if board.outdated else ''}"
            for board in boards
        ),
    ]
    rows = []
    for method in methods:
        rows.append([formats.plain(method), *(_cell(method, board) for board in boards)])
    return formats.table(rows, headers)


def _cell(label: str, board: Board) -> str:
    row = next((row for row in board.rows if row.label == label), None)
    if row is None:
        return formats.NONE
    if row.estimate is None or row.cost is None:
        return f"*{row.solved}/{len(row.tasks)}*"
    said = f"{row.score:.1f} @ {formats.stored(row.cost.stored_x)}"
    said += f" {COLLAPSED}" if collapsed(row, board) else ""
    return f"*{said}*" if row.objections else f"**{said}**" if row.perhaps_best else said


def _order(boards: Sequence[Board]) -> Callable[[str], tuple[float, str]]:
    """By the mean, over the boards that rank a method, of the share of methods above it; methods
    that no board ranks come last."""
    shares: dict[str, list[float]] = defaultdict(list)
    for board in boards:
        for place, row in enumerate(board.ranked):
            shares[row.label].append(place / len(board.ranked))
    return lambda method: (fmean(shares[method]) if shares[method] else 1.0, method)
