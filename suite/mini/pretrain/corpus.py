"""The pretraining corpus: documents of one or two sentences, and pairs that do not belong together.

No document holds a sentence that a task may use (`language.reserved`), and the seed is its own.
"""

from dataclasses import dataclass

from suite.mini.dice import Dice
from suite.mini.language import (
    MODIFIERS,
    TENSES,
    Event,
    ask,
    askable,
    distort,
    drop,
    event,
    reserved,
    state,
)
from suite.mini.lexicon import KINDS_OF_NOUN, VERBS, concept_tables
from suite.mini.phrases import clause, opinion

SEED = 2021


@dataclass(frozen=True)
class Document:
    """One text, or two of which the second may or may not belong to the first."""

    first: str
    second: str = ""
    coherent: bool = True


def documents(count: int, strays: float = 0.0) -> list[Document]:
    """`count` distinct documents, `strays` of them with a second sentence that does not belong."""
    dice = Dice(SEED)
    found: dict[tuple[str, str], Document] = {}
    while len(found) < count:
        coherent = not dice.chance(strays)
        document = _document(dice, coherent)
        if not reserved(document.first) and not reserved(document.second or document.first):
            found[document.first, document.second] = document
    return list(found.values())


def rivals() -> list[list[str]]:
    """Groups of words of one kind and form, which only the context can tell apart."""
    verbs = [verb for concept in VERBS for verb in concept.words]
    groups = [sorted({noun.one for noun in KINDS_OF_NOUN}), sorted({n.many for n in KINDS_OF_NOUN})]
    groups += [
        sorted({getattr(v, f) for v in verbs}) for f in ("base", "third", "past", "participle")
    ]
    for table in concept_tables():
        groups.append(sorted({phrase.split()[-1] for c in table for phrase in c.words}))
    return groups


def _document(dice: Dice, coherent: bool) -> Document:
    kinds = {"tale": 5, "answer": 2, "questions": 2, "review": 3}
    kind = dice.weighted(kinds | ({"statement": 2} if coherent else {}))
    fact = event(dice, modifiers=0.35)
    if kind == "review":
        good = dice.chance(0.5)
        if dice.chance(0.5):
            return Document(opinion(dice, good), _rating(dice, good == coherent), coherent)
        plain = clause(dice, good == coherent, denial=0.1)
        return Document(opinion(dice, good), plain[0].upper() + plain[1:] + ".", coherent)
    if kind == "statement":
        return Document(state(dice, fact, dice.pick(TENSES)))
    slots = askable(fact) + (["truth"] if kind == "questions" else [])
    slot, told = dice.pick(slots), fact
    if not coherent and dice.chance(0.3):
        told = event(dice, modifiers=0.35)
    elif not coherent:
        told = distort(dice, fact, untouched="" if kind == "tale" else slot)
    if kind == "tale":
        tense = dice.pick((*TENSES, "past", "past"))
        one, two = _voices(dice)
        first, second = dice.shuffled(
            [state(one, fact, tense), state(two, _less(dice, told), tense)]
        )
        return Document(first, second, coherent)
    if kind == "questions":
        if not coherent and dice.chance(0.3):
            return Document(ask(dice, fact, slot), ask(dice, fact, dice.other(slots, slot)), False)
        one, two = _voices(dice)
        return Document(ask(one, fact, slot), ask(two, told, slot), coherent)
    if not coherent and slot in MODIFIERS and dice.chance(0.4):
        told = drop(fact, slot)
    return Document(ask(dice, _less(dice, fact, slot), slot), state(dice, told), coherent)


def _rating(dice: Dice, good: bool) -> str:
    stars = dice.pick(("four stars", "five stars") if good else ("one star", "two stars"))
    return f"{dice.pick(('I', 'We', 'He', 'She', 'They'))} gave it {stars}."


def _voices(dice: Dice) -> tuple[Dice, Dice]:
    """Dice for two renderings: in two of five documents they choose the same words."""
    if dice.chance(0.6):
        return dice, dice
    seed = dice.below(2**31)
    return Dice(seed), Dice(seed)


def _less(dice: Dice, fact: Event, kept: str = "") -> Event:
    for slot in MODIFIERS:
        if slot != kept and dice.chance(0.25):
            fact = drop(fact, slot)
    return fact
