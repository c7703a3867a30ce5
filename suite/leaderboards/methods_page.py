"""The page of methods: what each stores, where it is defined, and notes on its scores."""

import re
from collections.abc import Sequence

from suite.leaderboards import formats
from suite.registry.cost_names import BACKBONE_NAMES, SITE_NAMES
from suite.registry.schema import CostTerm, MethodEntry

NAME = "methods.md"
_ANCHOR = "names-in-the-expressions"


def render(methods: Sequence[MethodEntry]) -> str:
    """The page `methods.md`."""
    sections = [
        f"{formats.MARK}\n\n# Methods",
        "What a method stores is counted from its file, and must equal the expression given here "
        f"in the dimensions of the backbone, [whose names stand below](#{_ANCHOR}). "
        "A departure says where a method is not its paper's form. Systems that have no row are "
        "[out of scope, with the reason](../docs/scope.md).",
    ]
    for entry in sorted(methods, key=lambda each: each.name):
        sections += [f"## {entry.name}", *_paragraphs(entry)]
    names = (
        f"- {formats.code(name)}: {meaning}"
        for name, meaning in (BACKBONE_NAMES | SITE_NAMES).items()
    )
    sections += ["## Names in the expressions", "\n".join(names)]
    return "\n\n".join(sections) + "\n"


def _paragraphs(entry: MethodEntry) -> list[str]:
    source = entry.reference
    cited = formats.link(source.title, source.url)
    found = [
        f"**{formats.plain(entry.title)}.** {formats.plain(entry.summary)} "
        f"{cited}{f', {source.year}' if source.year else ''}.",
        "\n".join(
            f"- Stored {whose}: {_sum(terms)}"
            for whose, terms in (
                ("once", entry.cost.shared),
                ("for each task", entry.cost.per_task),
            )
            if terms
        )
        or "- Stored: the head alone.",
    ]
    differences = [
        f"- Adaptation, {family}: {formats.plain(text)}"
        for family, text in entry.adaptation.items()
    ]
    differences += [
        f"- Not on {family}: {formats.plain(text)}" for family, text in entry.unsupported.items()
    ]
    differences += [
        f"- Departure: {formats.plain(departure.differs)} *Cost*: {formats.plain(departure.costs)}"
        for departure in entry.departures
    ]
    if differences:
        found.append("\n".join(differences))
    found += [formats.plain(part) for part in re.split(r"\n\s*\n", entry.notes)]
    return [part for part in found if part]


def _sum(terms: Sequence[CostTerm]) -> str:
    return " + ".join(
        formats.code(term.count) + (f" for each {' or '.join(term.each)} site" if term.each else "")
        for term in terms
    )
