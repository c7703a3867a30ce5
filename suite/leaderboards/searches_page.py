"""How the learning rates were chosen: every trial of every search, on validation data."""

from collections import defaultdict
from collections.abc import Sequence

from suite.leaderboards import formats
from suite.leaderboards.markdown import MARK
from suite.registry.schema import TRIALS
from suite.results.searches import Search, Trial

NAME = "searches.md"


def render(searches: Sequence[Search]) -> str:
    """The page `searches.md`."""
    by_track: dict[tuple[str, str], list[Search]] = defaultdict(list)
    for search in searches:
        by_track[search.track, search.scale].append(search)
    sections = [
        f"{MARK}\n\n# How learning rates were chosen",
        f"Every method that was searched tried {TRIALS} learning rates, on the tasks and with the "
        "seeds of its row. Each entry is a rate and its mean score on validation examples; the "
        "**best** one is the recipe's. Test examples were not looked at. Where a method has no "
        "row for a backbone, its rate was not chosen by a search. "
        "`python -m suite tune METHOD --tasks ...` makes an entry.",
    ]
    if any(len(search.trials) > TRIALS for search in searches):
        sections.append(
            "Where the best rate is the lowest or the highest that was tried, the next one beyond "
            "it is tried as well, by the same rule for all methods."
        )
    for (track, scale), members in sorted(by_track.items()):
        sections += [f"## {track}, {scale} scale", _table(members)]
    return "\n\n".join(sections) + "\n"


def _table(searches: Sequence[Search]) -> str:
    most = max(TRIALS, *(len(search.trials) for search in searches))
    trials = [f"trial {number + 1}" for number in range(most)]
    rows = [
        [
            search.method,
            search.backbone,
            ", ".join(search.tasks),
            ", ".join(map(str, search.seeds)),
            str(search.steps),
            *(_trial(trial, trial is search.best) for trial in search.trials),
            *[""] * (most - len(search.trials)),
        ]
        for search in sorted(searches, key=lambda each: (each.method, each.backbone))
    ]
    return formats.table(rows, ["method", "backbone", "tasks", "seeds", "steps", *trials], left=3)


def _trial(trial: Trial, best: bool) -> str:
    if trial.score is None:
        return f"{trial.learning_rate:g}: *{trial.reason.partition(':')[0]}*"
    said = f"{trial.learning_rate:g}: {trial.score:.1f}"
    return f"**{said}**" if best else said
