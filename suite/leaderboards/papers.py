"""How the order of methods on a page relates to that of published tables."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from suite.leaderboards.board import Board, PaperOrder, Row
from suite.registry.schema import PublishedRow, TrackEntry
from suite.results.agreement import agreement

if TYPE_CHECKING:
    from suite.registry import Registry

FEWEST = 5
"""Methods that a table and a page must have in common: fewer hardly have an order."""


def paper_orders(
    track: TrackEntry, ranked: Sequence[Row], backbone: str, registry: "Registry"
) -> Iterator[PaperOrder]:
    """The comparison with every table, on a backbone of the same family, that has enough methods
    of the page. A method's row is that with its defaults; there is none where it is unknown how
    runs vary."""
    ours = {row.method: row.estimate for row in ranked if not row.setting and row.estimate}
    if any(estimate.run_noise is None for estimate in ours.values()):
        return
    entries = registry.backbones
    alike = {backbone}
    if backbone in entries:
        family = entries[backbone].family
        alike |= {name for name, entry in entries.items() if entry.family == family}
    tables: dict[tuple[str, str], dict[str, PublishedRow]] = defaultdict(dict)
    for row in track.published:
        if row.method in ours and row.backbone in alike:
            # One setting is one table, whoever reprints some of its rows. Of a method that stands
            # there twice the first row counts.
            tables[row.backbone, row.setting].setdefault(row.method, row)
    for (of, _), rows in sorted(tables.items()):
        if len(rows) < FEWEST:
            continue
        found = agreement([ours[method] for method in rows], [row.score for row in rows.values()])
        if found:
            best_first = sorted(rows, key=lambda method: -rows[method].score)
            source = min((row.source for row in rows.values()), key=len)
            yield PaperOrder(source, of, tuple(best_first), found)


def section(board: Board) -> str:
    """The page's part on published orders; empty if there is none to compare with."""
    if not board.orders:
        return ""
    lines = [f"- {_line(order)}" for order in board.orders]
    return "\n\n".join(
        [
            "## Against the papers' order",
            "Kendall's rank correlation τ between the scores above and published ones, with its "
            "95 % interval over methods, test examples and runs of this page; 1: the same order, "
            "−1: the reverse. Published scores count as exact, though most are of one run.",
            "\n".join(lines),
            _verdict(board.orders),
        ]
    )


def _line(order: PaperOrder) -> str:
    found = order.agreement
    return (
        f"{order.source}, on {order.backbone}: τ = {_signed(found.tau)} "
        f"({_signed(found.low)} to {_signed(found.high)}) over {found.methods} methods, there "
        f"{' > '.join(order.methods)}"
    )


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _verdict(orders: Sequence[PaperOrder]) -> str:
    """What follows for the reader, in one sentence."""
    if all(order.agreement.low > 0 for order in orders):
        return (
            "The order of these methods agrees with the published one beyond chance, so that a "
            "method that is ahead here can be expected to be ahead there."
        )
    if any(order.agreement.high < 0 for order in orders):
        return (
            "The order of these methods contradicts a published one: what is best here must not be "
            "taken for what is best at the paper's scale."
        )
    return (
        "The order of these methods is not shown to agree with the published one: what is best "
        "here says little about what is best at the paper's scale."
    )
