"""How the learning rates were chosen: every trial of every search, on validation data."""

from collections import defaultdict
from collections.abc import Sequence

from suite.leaderboards import formats
from suite.registry.schema import TRIALS
from suite.results.margins import margin_of
from suite.results.searches import EXTENSIONS, Search, Trial
from suite.results.seeds import FIRST_SEARCH_SEED

NAME = "searches.md"


def render(searches: Sequence[Search]) -> str:
    """The page `searches.md`."""
    by_track: dict[tuple[str, str], list[Search]] = defaultdict(list)
    for search in searches:
        by_track[search.track, search.scale].append(search)
    apart = all(search.apart for search in searches)
    sections = [
        f"{formats.MARK}\n\n# How learning rates were chosen",
        f"A search{'' if apart else ' without †'} tried {TRIALS} learning rates, on the tasks and "
        "with the seeds of its row, and judged each on validation examples; test examples were not "
        "looked at. While its best rate was the lowest or the highest one tried, it tried one "
        f"more, by the ratio of the outermost two, at most {EXTENSIONS} times. The **best** rate "
        "is the recipe's, or stands under `methods/rates`. Where a method has no row for a "
        "backbone, no search of its rate is on record. `python -m suite tune METHOD --tasks ...` "
        "makes an entry.",
        "*Margin*: how far the best rate is ahead of the next best, ± half the 95 % interval of "
        "that difference, paired by task, over tasks. Where it is *within noise* the two rates "
        "are not told apart, and the other one might as well have been chosen; a score on "
        "the leaderboards is for one rate, and its interval does not include the choice; which "
        "rows are older than their search, the first page counts. *Edge*: the best rate is the "
        "lowest or the highest one tried, so that a better one may lie beyond.",
    ]
    if not apart:
        sections.append(
            "† Made with seeds that results are scored with, and without going on at an edge. The "
            f"others took seeds from {FIRST_SEARCH_SEED} on, which no result has."
        )
    for (track, scale), members in sorted(by_track.items()):
        sections += [f"## {formats.plain(track)}, {scale} scale", _table(members)]
    return "\n\n".join(sections) + "\n"


def _table(searches: Sequence[Search]) -> str:
    most = max(len(search.trials) for search in searches)
    rows = []
    for search in sorted(searches, key=lambda each: (each.name, each.backbone)):
        ordered = sorted(search.trials, key=lambda trial: trial.learning_rate)
        trials = [_trial(trial, trial is search.best) for trial in ordered]
        margin = margin_of(search)
        row = [
            formats.plain(search.name),
            formats.plain(search.backbone),
            formats.plain(", ".join(search.tasks)),
            f"no. {', '.join(map(str, search.seeds))}{'' if search.apart else ' †'}",
            str(search.steps),
            *trials,
            *[""] * (most - len(trials)),
            formats.NONE if margin is None else str(margin),
            "edge" if search.best_is_at_edge else "",
        ]
        rows.append(row)
    headers = ["method", "backbone", "tasks", "seed", "steps"]
    headers += [*(f"rate {number + 1}" for number in range(most)), "margin", "edge"]
    return formats.table(rows, headers, left=3)


def _trial(trial: Trial, best: bool) -> str:
    if trial.score is None:
        return f"{trial.learning_rate:g}: *{formats.plain(trial.reason.partition(':')[0])}*"
    said = f"{trial.learning_rate:g}: {trial.score:.1f}"
    return f"**{said}**" if best else said
