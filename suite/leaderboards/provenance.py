"""Who else has seen a row's numbers come out of its files."""

from collections.abc import Sequence

from suite.leaderboards import formats
from suite.leaderboards.board import Row
from suite.results.records import Verified

VERIFIED = "✓"


def verified(rows: Sequence[Row]) -> list[str]:
    """Who scored the deltas of these rows again, and what came out."""
    by_place: dict[tuple[str, str], list[Verified]] = {}
    for each in (each for row in rows for each in row.verified):
        commit = (
            f"commit {formats.plain(each.commit[:8])}" if each.commit else "an installed package"
        )
        tree = " with changes that were not committed" if each.dirty else ""
        by_place.setdefault((each.by, commit + tree), []).append(each)
    if not by_place:
        return []
    lines = []
    for (by, code), own in sorted(by_place.items()):
        answers, otherwise = sum(v.answers for v in own), sum(v.otherwise for v in own)
        lines.append(
            f"- by {formats.plain(by)}, with {code}: "
            f"{len(own)} {'delta' if len(own) == 1 else 'deltas'}; "
            f"{otherwise:,} of {answers:,} answers were not the submitted ones, and no score "
            f"differs by more than {max(v.difference for v in own):.2f} points"
        )
    head = (
        f"{VERIFIED} Verified: every delta of the row was submitted with its result, loaded into a "
        "fresh backbone and scored again without training:"
    )
    return [head, "\n".join(lines)]
