"""A small English: events, and the many sentences and questions that state them.

Meaning is an `Event`; `state` and `ask` render it in one of many ways (synonyms, active or passive,
fronted adverbials, four tenses) that never change what it means, and `change` makes another event.
The tasks and the pretraining corpus share this language but never a sentence: see `reserved`.
"""

from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from suite.mini.dice import Dice
from suite.mini.lexicon import (
    CHARACTERS,
    COLOURS,
    HYPERNYMS,
    MANNERS,
    NUMBERS,
    PEOPLE,
    PLACES,
    QUALITIES,
    SIZES,
    THINGS,
    TIMES,
    VERBS,
    VOWELS,
    Concept,
    Noun,
    Verb,
    W,
)

ANIMALS = THINGS["animal"]
KINDS = {"person": PEOPLE, **THINGS}
ADJECTIVES = {"person": CHARACTERS + SIZES, "animal": COLOURS + SIZES}
THING_ADJECTIVES = COLOURS + SIZES + QUALITIES
MODIFIERS = {"place": PLACES, "time": TIMES, "manner": MANNERS}
TENSES = ("past", "present", "future", "perfect")

Word = tuple[str, str]
"""A word (or fixed phrase) and its grammatical part, such as ("bought", "finite")."""


@dataclass(frozen=True)
class Party:
    """A noun phrase: who acts or what is acted upon."""

    noun: Concept[Noun]
    quality: Concept[str] | None = None
    number: Concept[str] | None = None
    definite: bool = True
    general: bool = False
    """Named by its hypernym: `an animal` for the dog."""


@dataclass(frozen=True)
class Event:
    """One fact: an agent did, or did not do, something to a patient."""

    agent: Party
    verb: Concept[Verb]
    patient: Party
    place: Concept[str] | None = None
    time: Concept[str] | None = None
    manner: Concept[str] | None = None
    negated: bool = False


def reserved(sentence: str) -> bool:
    """Whether a sentence belongs to the tasks; the pretraining corpus has all the others."""
    return crc32(sentence.lower().encode()) % 2 == 0


def adjectives(noun: Concept[Noun]) -> tuple[Concept[str], ...]:
    """The qualities that a noun can have."""
    return ADJECTIVES.get(noun.kind, THING_ADJECTIVES)


def party(dice: Dice, kinds: dict[str, float], quality: float, number: float) -> Party:
    """A random noun phrase; `quality` and `number` are the chances of having one."""
    noun = dice.pick(KINDS[dice.weighted(kinds)])
    return Party(
        noun,
        dice.pick(adjectives(noun)) if dice.chance(quality) else None,
        dice.pick(NUMBERS) if dice.chance(number) else None,
        dice.chance(0.7),
    )


def event(
    dice: Dice,
    modifiers: float = 0.4,
    negated: float = 0.15,
    number: float = 0.12,
    animate: float = 0.35,
) -> Event:
    """A random event; the arguments are chances (`animate`: the patient is a person or animal)."""
    objects = {kind: (1 - animate) / 6 for kind in THINGS if kind != "animal"}
    kinds = {"person": animate / 2, "animal": animate / 2, **objects}
    agent = party(dice, {"person": 0.8, "animal": 0.2}, modifiers / 2, number)
    patient = party(dice, kinds, modifiers, number)
    while patient.noun is agent.noun:
        patient = party(dice, kinds, modifiers, number)
    chosen = {
        slot: dice.pick(choices) if dice.chance(modifiers) else None
        for slot, choices in MODIFIERS.items()
    }
    return Event(agent, dice.pick(VERBS), patient, negated=dice.chance(negated), **chosen)


def slots(fact: Event) -> list[str]:
    """The changeable parts that an event has, apart from its polarity."""
    found = ["agent", "verb", "patient"]
    found += [f"{side}_quality" for side in ("agent", "patient") if getattr(fact, side).quality]
    found += [f"{side}_number" for side in ("agent", "patient") if getattr(fact, side).number]
    return found + [slot for slot in MODIFIERS if getattr(fact, slot)]


def change(dice: Dice, fact: Event, slot: str, opposite: float = 0.5) -> Event:
    """The event with one slot replaced by another concept of its kind, or by its opposite."""
    if slot == "negated":
        return replace(fact, negated=not fact.negated)
    side, _, part = slot.partition("_")
    if part:
        one: Party = getattr(fact, side)
        qualities = NUMBERS if part == "number" else adjectives(one.noun)
        return _with(fact, slot, _rival(dice, getattr(one, part), qualities, opposite))
    if side in ("agent", "patient"):
        one = getattr(fact, side)
        taken = {fact.agent.noun, fact.patient.noun}
        while (noun := dice.pick(KINDS[one.noun.kind])) in taken:
            pass
        return _with(fact, side, replace(one, noun=noun))
    choices: tuple[Concept[Any], ...] = VERBS if slot == "verb" else MODIFIERS[slot]
    return _with(fact, slot, _rival(dice, getattr(fact, slot), choices, opposite))


def _with(fact: Event, slot: str, value: Party | Concept[Any] | None) -> Event:
    """The event with another value in a slot: `agent`, `place` or, in a party, `agent_number`."""
    side, _, part = slot.partition("_")
    inside: dict[str, Any] = {part: value}
    whole: dict[str, Any] = {side: replace(getattr(fact, side), **inside) if part else value}
    return replace(fact, **whole)


def _rival(
    dice: Dice, concept: Concept[W], choices: tuple[Concept[W], ...], opposite: float
) -> Concept[W]:
    if concept.opposite and dice.chance(opposite):
        return concept.opposite
    same_kind = [choice for choice in choices if choice.kind == concept.kind]
    return dice.other(same_kind, concept)


def drop(fact: Event, slot: str) -> Event:
    """The event without one of its modifiers."""
    return _with(fact, slot, None)


def swap(fact: Event) -> Event:
    """The event with agent and patient exchanged."""
    return replace(fact, agent=fact.patient, patient=fact.agent)


def distort(dice: Dice, fact: Event, untouched: str = "") -> Event:
    """An event that differs in one slot, in its polarity or in who does it to whom."""
    kinds = {fact.agent.noun.kind, fact.patient.noun.kind}
    if kinds <= {"person", "animal"} and untouched not in ("agent", "patient") and dice.chance(0.4):
        return swap(fact)
    if dice.chance(0.15):
        return replace(fact, negated=not fact.negated)
    return change(dice, fact, dice.pick([slot for slot in slots(fact) if slot != untouched]))


def noun_phrase(dice: Dice, one: Party) -> list[Word]:
    """A noun phrase as words."""
    words: list[Word] = []
    if one.quality:
        words.append((dice.pick(one.quality.words), "adjective"))
    noun: Noun = HYPERNYMS[one.noun.kind] if one.general else dice.pick(one.noun.words)
    words.append((noun.many, "nouns") if one.number else (noun.one, "noun"))
    if one.number:
        determiner = one.number.words[0]
        return (
            [("the", "the"), (determiner, "number"), *words]
            if one.definite
            else [
                (determiner, "number"),
                *words,
            ]
        )
    if one.definite and not one.general:
        return [("the", "the"), *words]
    return [("an" if words[0][0][0] in VOWELS else "a", "a"), *words]


def _predicate(dice: Dice, fact: Event, tense: str, passive: bool) -> list[Word]:
    verb = dice.pick(fact.verb.words)
    subject = fact.patient if passive else fact.agent
    many = subject.number is not None
    adverb = [(dice.pick(fact.manner.words), "manner")] if fact.manner else []
    late = adverb if dice.chance(0.3) else []
    early = [] if late else adverb
    no = [("not", "not")] if fact.negated else []
    lead: list[Word] = []
    form = (verb.participle, "participle")
    if tense == "future":
        lead = [("will", "will"), *no]
        lead += [("be", "be")] if passive else []
        form = form if passive else (verb.base, "bare")
    elif tense == "perfect":
        lead = [("have" if many else "has", "has"), *no]
        lead += [("been", "been")] if passive else []
    elif passive:
        be = ("were" if many else "was") if tense == "past" else ("are" if many else "is")
        lead = [(be, "be"), *no]
    elif fact.negated:
        do = "did" if tense == "past" else "do" if many else "does"
        lead, form = [(do, "do"), *no], (verb.base, "bare")
    else:
        finite = verb.past if tense == "past" else verb.base if many else verb.third
        form = (finite, "finite" if tense == "past" else "present")
    other = noun_phrase(dice, fact.agent if passive else fact.patient)
    tail = [("by", "by"), *other] if passive else other
    return [*lead, *early, form, *tail, *late]


def words_of(
    dice: Dice, fact: Event, tense: str = "past", passive: bool | None = None
) -> list[Word]:
    """One of the many statements of an event, as words; a passive in a third of them by default."""
    passive = dice.chance(0.33) if passive is None else passive
    subject = noun_phrase(dice, fact.patient if passive else fact.agent)
    words = subject + _predicate(dice, fact, tense, passive)
    ends = [(getattr(fact, slot), slot) for slot in ("place", "time") if getattr(fact, slot)]
    ends = dice.shuffled(ends)
    if ends and dice.chance(0.35):
        concept, slot = ends.pop()
        words = [(dice.pick(concept.words), slot), (",", "comma"), *words]
    return words + [(dice.pick(concept.words), slot) for concept, slot in ends]


def sentence(words: list[Word], end: str = ".") -> str:
    """Words as written: a capital first, punctuation attached."""
    text = " ".join(word for word, _ in words).replace(" ,", ",")
    return text[0].upper() + text[1:] + end


def state(dice: Dice, fact: Event, tense: str = "past", passive: bool | None = None) -> str:
    """One of the many statements of an event."""
    return sentence(words_of(dice, fact, tense, passive))


def askable(fact: Event) -> list[str]:
    """The slots that a question can ask for."""
    return ["agent", "patient", *(slot for slot in MODIFIERS if getattr(fact, slot))]


def ask(dice: Dice, fact: Event, slot: str) -> str:
    """A question for one slot of a past event, or for its truth where `slot` is `truth`."""
    verb = dice.pick(fact.verb.words)
    no = [("not", "not")] if fact.negated else []
    asked = {"place": ("where",), "time": ("when",), "manner": ("how", "in what way")}
    rest = [
        (dice.pick(getattr(fact, name).words), name)
        for name in dice.shuffled(list(MODIFIERS))
        if name != slot and getattr(fact, name)
    ]
    agent, patient = noun_phrase(dice, fact.agent), noun_phrase(dice, fact.patient)
    passive = dice.chance(0.33)
    were = ("were" if fact.patient.number else "was", "be")
    if slot == "agent":
        kind = HYPERNYMS[fact.agent.noun.kind].one
        who = dice.pick(("who", f"which {kind}") if kind == "person" else (f"which {kind}",))
        if passive:
            by = f"by {who.replace('who', 'whom')}"
            words = [(by, "ask"), were, *patient, *no, (verb.participle, "participle")]
        elif fact.negated:
            words = [(who, "ask"), ("did", "do"), *no, (verb.base, "bare"), *patient]
        else:
            words = [(who, "ask"), (verb.past, "finite"), *patient]
    elif slot == "patient":
        kind = HYPERNYMS[fact.patient.noun.kind].one
        what = dice.pick(
            ("who", f"which {kind}") if kind == "person" else ("what", f"which {kind}")
        )
        if passive:
            words = [(what, "ask"), ("was", "be"), *no, (verb.participle, "participle")]
            words += [("by", "by"), *agent]
        else:
            words = [(what, "ask"), ("did", "do"), *agent, *no, (verb.base, "bare")]
    else:
        lead = [] if slot == "truth" else [(dice.pick(asked[slot]), "ask")]
        if passive:
            words = [
                *lead,
                were,
                *patient,
                *no,
                (verb.participle, "participle"),
                ("by", "by"),
                *agent,
            ]
        else:
            words = [*lead, ("did", "do"), *agent, *no, (verb.base, "bare"), *patient]
    return sentence(words + rest, "?")
