"""Questions that were put before the boards on real data were measured, each with the test that
answers it.

A question is a function from boards and searches to a `Finding`; what is compared, the test and
what counts as which answer stand there, and nothing of it depends on the results.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from suite.leaderboards import formats, story
from suite.leaderboards.board import Board, Row
from suite.registry.schema import Store
from suite.results.agreement import Agreement, mutual_agreement
from suite.results.searches import Search
from suite.results.statistics import LEVEL, Array, Comparison, Estimate, contrast, holm, total

FEWEST = 5
"""Methods without which an order, or a spread over methods, is not looked at."""
DRAWS = 2000
"""Bootstrap samples of methods."""
REFERENCE = "full_finetuning"
"""What methods are compared with at other budgets."""
SUBJECT = "taps"
"""The method whose place on the front is asked for."""


@dataclass(frozen=True)
class Finding:
    """A question, how it was tested, the answer, and the table that it rests on."""

    question: str
    test: str
    answer: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def order_at_other_scale(boards: Sequence[Board]) -> Finding:
    """Whether the order of methods on a mini board is that on a real one."""
    pairs = [
        (mini, real)
        for mini in boards
        for real in boards
        if mini.scale.embedded and not real.scale.embedded and _family(mini) == _family(real)
    ]
    return _orders("Does the order of methods carry from the mini scale to real networks?", pairs)


def order_on_other_family(boards: Sequence[Board]) -> Finding:
    """Whether the order of methods on one family is that on another one."""
    pairs = [
        (one, other)
        for one, other in combinations(boards, 2)
        if one.scale == other.scale
        and one.track.modality == other.track.modality
        and _family(one) != _family(other)
    ]
    return _orders("Does the order of methods carry from one family of networks to another?", pairs)


def order_on_other_tasks(boards: Sequence[Board]) -> Finding:
    """Whether the order of methods on three tasks of a track is that on its other tasks."""
    found = []
    for board in boards:
        few = board.track.search.get(board.scale, board.track.tasks[:3])
        rest = [task for task in board.track.tasks if task not in few]
        rows = [row for row in board.ranked if not row.setting and len(row.seeds) > 1]
        if not rest or len(rows) < FEWEST:
            continue
        sides = ([_of_tasks(row, tasks) for row in rows] for tasks in (few, rest))
        if order := mutual_agreement(*sides):
            found.append((f"{story.link(board)}: {', '.join(few)} and the rest", order))
    return _of_agreements(
        "Does the order of methods carry from three tasks to the others?",
        "the scores on three tasks (those that the track names for searches, or else its first "
        "three) and those on its other tasks, of methods with their default options (of joint ones "
        "both are of the same runs, which alone make them somewhat alike)",
        found,
    )


def _orders(question: str, pairs: Sequence[tuple[Board, Board]]) -> Finding:
    found = []
    for one, other in pairs:
        ours, theirs = (
            {row.method: row.estimate for row in board.ranked if not row.setting and row.estimate}
            for board in (one, other)
        )
        common = sorted(ours.keys() & theirs.keys())
        if len(common) < FEWEST:
            continue
        if order := mutual_agreement([ours[m] for m in common], [theirs[m] for m in common]):
            found.append((f"{story.link(one)} and {story.link(other)}", order))
    what = "the scores of the methods that both boards rank, with their default options"
    return _of_agreements(question, what, found)


def _of_agreements(question: str, what: str, found: Sequence[tuple[str, Agreement]]) -> Finding:
    test = (
        f"Kendall's rank correlation τ between {what}, against orders that have nothing to do "
        "with each other; interval from drawing methods, test examples and runs anew."
    )
    marks = holm([order.p for _, order in found])
    verdicts = [
        "not shown" if not mark else "carries" if order.tau > 0 else "reversed"
        for mark, (_, order) in zip(marks, found, strict=True)
    ]
    if found:
        answer = (
            f"It carries in {_of(verdicts, 'carries')} comparisons, is reversed in "
            f"{verdicts.count('reversed')}, and neither is shown in {verdicts.count('not shown')}."
        )
    else:
        answer = (
            f"Not known: on boards with ranks, no two such orders have {FEWEST} methods in common."
        )
    rows = [
        (name, str(order.methods), _signed(order.tau), _range(order.low, order.high), verdict)
        for (name, order), verdict in zip(found, verdicts, strict=True)
    ]
    headers = ("comparison", "methods", "τ", "95 % interval", "the order")
    return Finding(question, test, answer, headers, tuple(rows))


def precision_or_size(boards: Sequence[Board]) -> Finding:
    """Whether storing a method's numbers in fewer bits is better than having fewer of them."""
    found: list[tuple[str, Row, Row, Comparison]] = []
    smallest = 0
    for board in boards:
        for rounded in board.ranked:
            if rounded.store is Store.FLOAT32 or _options(rounded):
                continue
            others = [
                row
                for row in board.ranked
                if row.method == rounded.method and row.store is Store.FLOAT32 and _options(row)
            ]
            within = [row for row in others if _x(row) <= _x(rounded)]
            smallest += bool(others) and not within
            if within:
                # The largest that fits: chosen by its cost, not by its score.
                other = max(within, key=lambda row: (_x(row), row.label))
                compared = contrast(*([e] for e in _estimates(rounded, other)))
                found.append((story.link(board), rounded, other, compared))
    verdicts = _verdicts([compared for *_, compared in found], "precision", "size")
    if found or smallest:
        answer = (
            f"Less precision scores higher in {_of(verdicts, 'precision')} comparisons, fewer "
            f"numbers in {verdicts.count('size')}, and the two are not told apart in "
            f"{verdicts.count('not told apart')}; {smallest} rounded rows are smaller than every "
            "setting of their method."
        )
    else:
        answer = (
            "Not known: no board with ranks has a method at several precisions and several sizes."
        )
    rows = [
        (name, formats.plain(a.label), formats.stored(_x(a)), formats.plain(b.label),
         formats.stored(_x(b)), *_difference(compared), verdict)
        for (name, a, b, compared), verdict in zip(found, verdicts, strict=True)
    ]  # fmt: skip
    return Finding(
        "Does precision or rank buy more accuracy per bit?",
        "a method with its default options, stored in less precision, against the largest of its "
        "other settings in float32 that stores no more; difference of scores, paired by test "
        "example.",
        answer,
        ("board", "rounded", "stored", "float32", "stored", "difference", "95 % interval", "ahead"),
        tuple(rows),
    )


def place_on_the_front(boards: Sequence[Board]) -> Finding:
    """Whether something that stores no more than TAPS scores higher."""
    rows = []
    verdicts: dict[str, set[str]] = defaultdict(set)
    for board in boards:
        for row in (row for row in board.ranked if row.method == SUBJECT):
            choice = story.choose(board, _x(row))
            assert choice is not None, "the row itself is within its own budget"
            rival, difference, verdict = "itself", (formats.NONE, formats.NONE), "highest"
            if choice.best is not row:
                rival = formats.plain(choice.best.label)
                difference = _difference(contrast(*([e] for e in _estimates(row, choice.best))))
                alike = (*choice.equals, *choice.unsure)
                verdict = "not shown" if row in alike else "beaten"
            verdicts[board.name].add(verdict)
            rows.append(
                (story.link(board), formats.plain(row.label), formats.stored(_x(row)), rival,
                 *difference, verdict)
            )  # fmt: skip
    at_best = [
        next(verdict for verdict in ("highest", "not shown", "beaten") if verdict in own)
        for own in verdicts.values()
    ]
    return Finding(
        "Is TAPS beaten by something that stores no more?",
        "every setting of TAPS against the best of all rows that store no more; it is beaten where "
        "that is significantly higher, with Holm's correction for all rows within that budget.",
        f"At the best of its settings nothing that stores no more scores higher on "
        f"{_of(at_best, 'highest')} boards; on {at_best.count('not shown')} something does, but "
        f"not significantly, and on {at_best.count('beaten')} it is beaten."
        if rows
        else "Not known: no board ranks it.",
        ("board", "row", "stored", "best within", "difference", "95 % interval", "TAPS is"),
        tuple(rows),
    )


def learning_rate(searches: Sequence[Search]) -> Finding:
    """Whether a learning rate one step off costs more than another method."""
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[tuple[float, float]]]
    groups = defaultdict(list)
    for search in sorted(searches, key=lambda each: each.file_name):
        best = search.best
        if (
            search.setting
            or best is None
            or best.score is None
            or (step := _one_step_off(search)) is None
        ):
            continue
        key = (search.scale.value, search.track, search.backbone, search.tasks)
        groups[key].append((best.score, best.score - step))
    looked_at = {key: own for key, own in sorted(groups.items()) if len(own) >= FEWEST}
    found = [_ratio(*np.array(own).T) for own in looked_at.values()]
    verdicts = [
        "not told apart" if not mark else "rate" if one.ratio > 1 else "method"
        for mark, one in zip(holm([one.p for one in found]), found, strict=True)
    ]
    rows = [
        (f"{track} on {backbone} ({scale}): {', '.join(tasks)}", str(len(own)), f"{one.loss:.1f}",
         f"{one.between:.1f}", f"{one.ratio:.2f}", _range(one.low, one.high), verdict)
        for ((scale, track, backbone, tasks), own), one, verdict in zip(
            looked_at.items(), found, verdicts, strict=True
        )
    ]  # fmt: skip
    return Finding(
        "Is the learning rate most of the difference between methods?",
        "on validation data of the searches: what the rates next to the best cost (mostly a third "
        "or three times as large), mean over methods, over the mean difference of two methods at "
        "their best rates; interval from drawing methods anew. Because the best of several noisy "
        "trials is taken, the cost of a step is overestimated. Rates that did not finish are left "
        f"out. At least {FEWEST} methods searched on the same tasks.",
        "A rate one step off costs more than another method in "
        f"{_of(verdicts, 'rate')} groups of searches, less in {verdicts.count('method')}, and is "
        f"not told from it in {verdicts.count('not told apart')}."
        if rows
        else "Not known: too few methods have been searched on the same tasks.",
        (
            "searches",
            "methods",
            "one step off",
            "two methods",
            "ratio",
            "95 % interval",
            "larger, by Holm",
        ),
        tuple(rows),
    )


def speed_of_learning(boards: Sequence[Board]) -> Finding:
    """Whether a longer training helps a method more than it helps full fine-tuning."""
    found: list[tuple[str, str, int, int, Comparison]] = []
    for board in boards:
        by_method = _by_budget(board)
        reference = by_method.pop(REFERENCE, {})
        for method, own in sorted(by_method.items()):
            steps = sorted(own.keys() & reference.keys())
            if len(steps) < 2:
                continue
            short, long = steps[0], steps[-1]
            plus, minus = [own[long], reference[short]], [own[short], reference[long]]
            if any(one.run_noise is None for one in (*plus, *minus)):
                continue
            found.append((story.link(board), method, short, long, contrast(plus, minus)))
    verdicts = _verdicts([compared for *_, compared in found], "catches up", "falls behind")
    rows = [
        (name, method, f"{short} → {long}", *_difference(compared), verdict)
        for (name, method, short, long, compared), verdict in zip(found, verdicts, strict=True)
    ]
    return Finding(
        "Is the difference to full fine-tuning one of the speed of learning?",
        "a method's score less that of full fine-tuning, at the longest budget that both have, "
        "less the same at the shortest; paired by test example.",
        f"With more steps a method catches up in {_of(verdicts, 'catches up')} comparisons and "
        f"falls behind in {verdicts.count('falls behind')}; in "
        f"{verdicts.count('not told apart')} neither is shown."
        if rows
        else "Not known: no board has several budgets.",
        ("board", "method", "steps", "change", "95 % interval", "with more steps"),
        tuple(rows),
    )


def _by_budget(board: Board) -> dict[str, dict[int, Estimate]]:
    """Method -> steps per task -> its estimate, for rows that differ from the default and from the
    board's other rows in nothing but steps."""
    found: dict[str, dict[int, Estimate]] = defaultdict(dict)
    for row in board.rows:
        name, _, value = row.setting.partition("=")
        if (
            row.estimate
            and row.cost
            and all(each.of_budget for each in row.objections)
            and (not row.setting or (name == "steps" and value.isdecimal()))
        ):
            steps = int(value) if value else round(row.cost.steps / len(row.tasks))
            found[row.method][steps] = row.estimate
    return found


def _of_tasks(row: Row, tasks: Sequence[str]) -> Estimate:
    """A complete row's score on some of its tasks, as their sum."""
    parts = [e for task in tasks if (e := row.tasks[task].estimate)]
    return total(parts, trained_together=row.together)


def _one_step_off(search: Search) -> float | None:
    """The mean score of the rates next to the best one; None if none of these finished."""
    ordered = sorted(search.trials, key=lambda trial: trial.learning_rate)
    place = next(i for i, trial in enumerate(ordered) if trial is search.best)
    beside = [ordered[i].score for i in (place - 1, place + 1) if 0 <= i < len(ordered)]
    finished = [score for score in beside if score is not None]
    return float(np.mean(finished)) if finished else None


@dataclass(frozen=True)
class _Ratio:
    """What a rate one step off costs, over how much two methods differ."""

    loss: float
    between: float
    ratio: float
    low: float
    high: float
    p: float
    """Of a ratio of 1."""


def _ratio(scores: Array, losses: Array) -> _Ratio:
    """The means over methods, and how sure their ratio is, from drawing methods anew."""
    rng = np.random.Generator(np.random.PCG64(len(scores)))
    drawn = rng.integers(len(scores), size=(DRAWS, len(scores)))
    pairs = [*permutations(range(len(scores)), 2)]
    first, second = drawn[:, [a for a, _ in pairs]], drawn[:, [b for _, b in pairs]]
    # A method drawn twice is not two methods: such pairs say nothing of how methods differ.
    differ = first != second
    gaps = np.abs(scores[first] - scores[second])
    between = (gaps * differ).sum(axis=1) / np.maximum(1, differ.sum(axis=1))
    ratios = losses[drawn].mean(axis=1) / np.maximum(between, 1e-9)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    beyond = min((ratios <= 1).sum(), (ratios >= 1).sum())
    mean = float(np.mean([abs(scores[a] - scores[b]) for a, b in pairs]))
    loss = float(losses.mean())
    return _Ratio(
        loss=loss,
        between=mean,
        ratio=loss / max(mean, 1e-9),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (int(beyond) + 1) / (DRAWS + 1)),
    )


def _verdicts(compared: Sequence[Comparison], above: str, below: str) -> list[str]:
    marks = holm([each.p for each in compared])
    return [
        "not told apart" if not mark else above if each.difference > 0 else below
        for mark, each in zip(marks, compared, strict=True)
    ]


def _estimates(*rows: Row) -> Iterator[Estimate]:
    for row in rows:
        assert row.estimate is not None, "ranked rows have one"
        yield row.estimate


def _options(row: Row) -> list[str]:
    """What a row's setting says beside its precision."""
    return [part for part in row.setting.split(",") if part and not part.startswith("store=")]


def _x(row: Row) -> float:
    assert row.cost is not None, "ranked rows have one"
    return row.cost.stored_x


def _family(board: Board) -> str:
    return board.backbone_entry.family if board.backbone_entry else board.backbone


def _difference(compared: Comparison) -> tuple[str, str]:
    return _signed(compared.difference, 1), _range(compared.low, compared.high, 1)


def _range(low: float, high: float, digits: int = 2) -> str:
    return f"{_signed(low, digits)} to {_signed(high, digits)}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _of(verdicts: Sequence[str], which: str) -> str:
    return f"{verdicts.count(which)} of {len(verdicts)}"
