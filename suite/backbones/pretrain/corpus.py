"""The pretraining corpus: documents of one or two sentences, and pairs that do not belong together.

No document holds a sentence that a task may use (`language.reserved`), and the seed is its own.
"""

from dataclasses import dataclass

from suite.data.generators.dice import Dice
from suite.data.generators.language import (
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
from suite.data.generators.lexicon import KINDS_OF_NOUN, VERBS, concept_tables
from suite.data.generators.phrases import clause, opinion

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
    kinds = {"tale": 5, "answer": 2, "questions": 2, "review": 2}
    kind = dice.weighted(kinds | ({"statement": 2} if coherent else {}))
    fact = event(dice, modifiers=0.35)
    if kind == "review":
        good = dice.chance(0.5)
        plain = clause(dice, good == coherent, denial=0.1)
        return Document(opinion(dice, good), plain[0].upper() + plain[1:] + ".", coherent)
    if kind == "statement":
        return Document(state(dice, fact, dice.pick(TENSES)))
    told = fact if coherent else distort(dice, fact)
    if kind == "tale":
        tense = dice.pick((*TENSES, "past", "past"))
        texts = [state(dice, fact, tense), state(dice, _less(dice, told), tense)]
        first, second = dice.shuffled(texts)
        return Document(first, second, coherent)
    slot = dice.pick(askable(fact))
    if kind == "questions":
        slots = [*askable(fact), "truth"]
        slot = dice.pick(slots)
        if not coherent and dice.chance(0.3):
            return Document(ask(dice, fact, slot), ask(dice, fact, dice.other(slots, slot)), False)
        told = fact if coherent else distort(dice, fact, untouched=slot)
        return Document(ask(dice, fact, slot), ask(dice, told, slot), coherent)
    if not coherent:
        missing = slot in MODIFIERS and dice.chance(0.5)
        told = drop(fact, slot) if missing else distort(dice, fact, untouched=slot)
    return Document(ask(dice, _less(dice, fact, slot), slot), state(dice, told), coherent)


def _less(dice: Dice, fact: Event, kept: str = "") -> Event:
    for slot in MODIFIERS:
        if slot != kept and dice.chance(0.25):
            fact = drop(fact, slot)
    return fact
