"""Opinions with a polarity, and ungrammatical variants of grammatical sentences."""

from collections.abc import Callable
from itertools import pairwise

from suite.mini.dice import Dice
from suite.mini.language import Word
from suite.mini.lexicon import (
    DEGREES,
    DISLIKING,
    KINDS_OF_NOUN,
    LIKING,
    PRAISE,
    SCORN,
    TOPICS,
    VERBS,
    VOWELS,
)

FORMS = {
    form: verb
    for concept in VERBS
    for verb in concept.words
    for form in (verb.base, verb.third, verb.past, verb.participle)
}
NOUNS = {form: noun for noun in KINDS_OF_NOUN for form in (noun.one, noun.many)}
AGREEMENT = {"was": "were", "is": "are", "has": "have", "does": "do"}
AGREEMENT |= {many: one for one, many in AGREEMENT.items()}


def clause(dice: Dice, positive: bool, denial: float = 0.2) -> str:
    """A clause that holds an opinion; `denial` is the chance that it denies the opposite one."""
    topic = dice.pick(dice.pick(TOPICS).words)
    plain = not dice.chance(denial)
    worth = positive == plain
    adjective = dice.pick(dice.pick(PRAISE if worth else SCORN).words)
    liked = dice.pick(dice.pick(LIKING if worth else DISLIKING).words)
    seemed = dice.pick(("was", "seemed", "felt"))
    if plain:
        degree = dice.pick((dice.pick(DEGREES) + " ", ""))
        return dice.pick(
            (
                f"the {topic} {seemed} {degree}{adjective}",
                f"the {topic} {seemed} {degree}{adjective}",
                f"{dice.pick(('i', 'we', 'everyone'))} {liked} the {topic}",
                f"it was {'an' if adjective[0] in VOWELS else 'a'} {adjective} {topic}",
            )
        )
    return dice.pick(
        (
            f"the {topic} was {dice.pick(('not', 'never', 'hardly', 'not very'))} {adjective}",
            f"the {topic} {seemed} far from {adjective}",
            f"{dice.pick(('nobody', 'no one', 'i never'))} {liked} the {topic}",
            f"there was nothing {adjective} about the {topic}",
        )
    )


def wish(dice: Dice, positive: bool) -> str:
    """A clause whose words alone do not give its verdict: what could have been, or was wanted."""
    topic = dice.pick(dice.pick(TOPICS).words)
    praised = dice.pick(dice.pick(PRAISE).words)
    scorned = dice.pick(dice.pick(SCORN).words)
    if positive:
        return dice.pick(
            (
                f"the {topic} could not have been more {praised}",
                f"the {topic} could have been {scorned}",
                f"the {topic} might have been {scorned}",
                f"no {topic} was so {praised}",
            )
        )
    return dice.pick(
        (
            f"the {topic} could not have been more {scorned}",
            f"the {topic} could have been {praised}",
            f"the {topic} should have been {praised}",
            f"i wanted the {topic} to be {praised}",
        )
    )


FORMS_OF_OPINION = {"one": 5, "and": 3, "but": 1, "although": 2, "though": 1, "despite": 1}
"""How often a verdict has one clause, two clauses that agree, or a concession."""


def opinion(dice: Dice, positive: bool, say: Callable[[Dice, bool], str] = clause) -> str:
    """A sentence with one verdict; where two clauses disagree the grammar says which one counts.

    `say` makes the clauses.
    """
    kind = dice.weighted(FORMS_OF_OPINION)
    main = say(dice, positive)
    if kind == "one":
        text = main
    elif kind == "and":
        text = f"{main} and {say(dice, positive)}"
    elif kind == "but":
        text = f"{say(dice, not positive)}, but {main}"
    elif kind == "although":
        text = f"although {say(dice, not positive)}, {main}"
    elif kind == "though":
        text = f"{main}, even though {say(dice, not positive)}"
    else:
        adjective = dice.pick(dice.pick(SCORN if positive else PRAISE).words)
        text = f"despite the {adjective} {dice.pick(dice.pick(TOPICS).words)}, {main}"
    return text[0].upper() + text[1:] + "."


def _faults(words: list[Word]) -> dict[str, list[int]]:
    """Where each kind of fault can be made."""
    parts = [part for _, part in words]
    determiners = ("the", "a", "number")
    return {
        "agreement": [
            i
            for i, (word, part) in enumerate(words)
            if part == "present" or (part in ("be", "has", "do") and word in AGREEMENT)
        ],
        "form": [i for i, part in enumerate(parts) if part in ("bare", "participle")],
        "number": [
            i for i, part in enumerate(parts) if part in ("noun", "nouns") and _marked(words, i)
        ],
        "order": [
            i
            for i, (one, two) in enumerate(pairwise(parts))
            if one in (*determiners, "adjective", "has", "be", "will", "do", "by")
            and two not in ("comma", "manner")
        ],
        "missing": [
            i
            for i, part in enumerate(parts)
            # "The two dogs" are two dogs without it, which is no fault.
            if part in ("a", "finite", "present", "bare")
            or (part == "the" and parts[i + 1] != "number")
        ],
        "double": [
            i for i, part in enumerate(parts) if part in ("finite", "bare", "participle", "the")
        ],
    }


def _marked(words: list[Word], i: int) -> bool:
    """Whether the determiner of noun i shows its number."""
    while i and words[i][1] in ("noun", "nouns", "adjective"):
        i -= 1
    return words[i][1] in ("a", "number")


def corrupt(dice: Dice, words: list[Word]) -> list[Word]:
    """The words with one fault: agreement, form, number, order, a word too few or too many."""
    places = {fault: where for fault, where in _faults(words).items() if where}
    fault = dice.pick(sorted(places))
    i = dice.pick(places[fault])
    word, part = words[i]
    wrong = list(words)
    if fault == "agreement":
        if word in AGREEMENT:
            other = AGREEMENT[word]
        else:
            verb = FORMS[word]
            other = verb.base if word == verb.third else verb.third
        wrong[i] = (other, part)
    elif fault == "form":
        verb = FORMS[word]
        forms = (verb.past, verb.third) if part == "bare" else (verb.base, verb.third)
        wrong[i] = (dice.pick(forms), part)
    elif fault == "number":
        noun = NOUNS[word]
        wrong[i] = (noun.one if word == noun.many else noun.many, part)
    elif fault == "order":
        wrong[i : i + 2] = reversed(words[i : i + 2])
    elif fault == "missing":
        del wrong[i]
    else:
        wrong.insert(i, words[i])
    return wrong
