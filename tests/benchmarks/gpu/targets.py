"""The targets, and what the measured rows say about them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from measure import Failed, Row


@dataclass(frozen=True)
class Verdict:
    """One target in one case."""

    number: str
    what: str
    case: str
    value: float | None
    target: str
    met: bool | None

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.3f}"
        met = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.number:3} {self.what:52} {self.case:34} {value:>12} {self.target:>9} {met}"


class Table:
    """Medians by (section, case, variant, metric)."""

    def __init__(self, rows: Sequence[Row | Failed]) -> None:
        self.values = {
            (one.section, one.case, one.variant, one.metric): one.median
            for one in rows
            if isinstance(one, Row)
        }

    def get(self, section: str, case: str, variant: str, metric: str = "time") -> float | None:
        """A median, None if it was not measured."""
        return self.values.get((section, case, variant, metric))

    def cases(self, section: str) -> list[str]:
        """The cases of a section in the order of measurement."""
        return list(dict.fromkeys(key[1] for key in self.values if key[0] == section))

    def least(self, section: str, case: str, variants: Sequence[str]) -> float | None:
        """The smallest time among those variants that were measured."""
        times = [self.get(section, case, variant) for variant in variants]
        return min((time for time in times if time is not None), default=None)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def _at_most(limit: float) -> tuple[str, Callable[[float], bool]]:
    return f"<= {limit:g}", lambda value: value <= limit


def _at_least(limit: float) -> tuple[str, Callable[[float], bool]]:
    return f">= {limit:g}", lambda value: value >= limit


def _verdict(
    number: str, what: str, case: str, value: float | None, rule: tuple[str, Callable]
) -> Verdict:
    return Verdict(number, what, case, value, rule[0], None if value is None else rule[1](value))


def verdicts(rows: Sequence[Row | Failed]) -> Iterator[Verdict]:
    """Every target in every case that was measured."""
    table = Table(rows)
    yield from _arena(table)
    for case in table.cases("step"):
        yield from _steps(table, case)
    yield from _adapters(table)
    yield from _hypernetworks(table)


def _arena(table: Table) -> Iterator[Verdict]:
    copy = table.get("ceiling", "copy of 4 GiB", "", "bandwidth")
    for case in table.cases("arena"):
        # Below 20 million weights caches and launches decide.
        if int(case.split()[0]) < 20:
            continue
        for kernel in ("step", "merge"):
            share = _ratio(table.get("arena", case, kernel, "bandwidth"), copy)
            yield _verdict("K1", f"arena {kernel} / copy bandwidth", case, share, _at_least(0.85))
        count = table.get("arena", case, "step", "kernels")
        yield _verdict("K2", "kernels added by a step of TAPS", case, count, _at_most(4))


def _steps(table: Table, case: str) -> Iterator[Verdict]:
    network, batch = case.rsplit(" ", 1)
    vision, large = network not in ("bert_base", "t5_base"), int(batch) >= 128
    ours = table.get("step", case, "TAPS, graph")
    autocast = table.get("step", case, "full, autocast, graph")
    strongest = table.least("step", case, ["full, autocast, graph", "full, bf16 copy, graph"])
    eager, plain = table.get("step", case, "TAPS eager"), table.get("step", case, "TAPS")
    rule = _at_most(1.01 if large else 1.03)
    yield _verdict(
        "S1", "TAPS / strongest full fine-tuning, graphs", case, _ratio(ours, strongest), rule
    )
    yield _verdict(
        "S2", "TAPS / full fine-tuning autocast, graphs", case, _ratio(ours, autocast), _at_most(1)
    )
    if not large:
        limit = 1.25 if network == "resnet50" else 1.7 if vision else 1.2
        ratio = _ratio(eager, plain)
        yield _verdict("S3", "eager TAPS / TAPS, no graph", case, ratio, _at_least(limit))
        ratio = _ratio(
            table.get("step", case, "TAPS eager, compiled, graph"),
            table.get("step", case, "TAPS, compiled, graph"),
        )
        yield _verdict("S4", "compiled TAPS / TAPS, graphs", case, ratio, _at_least(1.03))
    if int(batch) >= 64:
        for share, limit in (("62", 0.96), ("30", 0.91)):
            ratio = _ratio(table.get("step", case, f"TAPS locked {share} %, graph"), autocast)
            what = f"locked at {share} % open / full fine-tuning, graphs"
            yield _verdict("S5", what, case, ratio, _at_most(limit))
    flat = table.get("step", case, "TAPS flat compiled, graph")
    what = "compiled flat arena / TAPS, graphs (PyTorch wins below 1)"
    yield _verdict("Q", what, case, _ratio(flat, ours), _at_least(1.05))
    full = table.get("step", case, "full, autocast", "training state")
    for variant, limit in (("TAPS", 1.0), ("TAPS locked 62 %", 0.7), ("TAPS locked 30 %", 0.42)):
        share = _ratio(table.get("step", case, variant, "training state"), full)
        what = f"training state, {variant} / full fine-tuning"
        yield _verdict("M1", what, case, share, _at_most(limit))
    share = _ratio(
        table.get("step", case, "TAPS", "training state"),
        table.get("step", case, "TAPS eager", "training state"),
    )
    yield _verdict("M2", "training state, TAPS / eager TAPS", case, share, _at_most(0.85))


def _adapters(table: Table) -> Iterator[Verdict]:
    for case in table.cases("adapter"):
        if int(case.split()[-2]) < 4096:
            continue
        fused = table.get("adapter", case, "fused, graph")
        for other, limit in (("eager", 2.3), ("compiled", 1.6)):
            ratio = _ratio(table.get("adapter", case, f"{other}, graph"), fused)
            number = "A1" if other == "eager" else "A2"
            yield _verdict(number, f"{other} / fused adapter", case, ratio, _at_least(limit))
        count = table.get("adapter", case, "fused", "kernels")
        yield _verdict("A1", "kernels of a fused adapter, both ways", case, count, _at_most(4))


def _hypernetworks(table: Table) -> Iterator[Verdict]:
    for case in table.cases("hypernetwork"):
        for metric, what, limit in (
            ("kernels", "kernels per site / one product", 50),
            ("time", "time per site / one product", 10),
        ):
            ratio = _ratio(
                table.get("hypernetwork", case, "per site", metric),
                table.get("hypernetwork", case, "one product", metric),
            )
            yield _verdict("H1", what, case, ratio, _at_least(limit))
