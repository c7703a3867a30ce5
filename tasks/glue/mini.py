"""The eight GLUE tasks in miniature: same columns, labels and metrics, decidable by rule.

Every text is drawn from the words of `suite.mini` and `reserved` for the tasks, so that no
pretrained mini backbone has seen it. Changing anything here changes a digest: raise `version` in
the YAML.

Training sets keep the order and, compressed, the proportions of GLUE's (`training_examples`): where
examples are few, methods that share between tasks can help (Karimi Mahabadi et al. 2021).
"""

import math
from collections.abc import Callable, Container
from dataclasses import fields, replace

import numpy as np

from suite.mini import Columns, Splits
from suite.mini.dice import Dice
from suite.mini.language import (
    MODIFIERS,
    Event,
    adjectives,
    ask,
    askable,
    change,
    distort,
    drop,
    event,
    reserved,
    sentence,
    slots,
    state,
    swap,
    words_of,
)
from suite.mini.lexicon import VERBS
from suite.mini.phrases import clause, corrupt, opinion, wish

Example = tuple[str, ...]
Draw = Callable[[Dice, int], Example]
"""Draws the texts of one example for a label."""

GLUE = {
    "cola": 8551, "sst2": 67349, "mrpc": 3668, "qqp": 363846,
    "stsb": 5749, "mnli": 392702, "qnli": 104743, "rte": 2490,
}  # fmt: skip
"""Training examples of the real tasks, as under `official` in their YAML."""
MOST = 4000
VALIDATION, TEST = 300, 2000


def training_examples(task: str) -> int:
    """Eight times the square root of the real task's number, to the nearest ten; at most `MOST`."""
    return min(MOST, 10 * round(0.8 * math.sqrt(GLUE[task])))


def cola() -> Splits:
    """Is the sentence grammatical? Agreement, form, number, order, missing and double words."""

    def draw(dice: Dice, label: int) -> Example:
        words = words_of(dice, event(dice, modifiers=0.25, number=0.3), dice.pick(COLA_TENSES))
        return (sentence(words if label else corrupt(dice, words)),)

    return _splits("cola", ("sentence",), {0: 0.4, 1: 0.6}, draw)


COLA_TENSES = ("past", "present", "present", "future", "perfect")


def sst2() -> Splits:
    """Is the verdict positive? Denials and concessions decide, not single words."""

    def draw(dice: Dice, label: int) -> Example:
        return (opinion(dice, label == 1, wish if dice.chance(0.5) else clause),)

    return _splits("sst2", ("sentence",), {0: 0.5, 1: 0.5}, draw)


def mrpc() -> Splits:
    """Do two sentences say who did what to whom alike? Where, when, how and which may differ."""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.35)
        details = [slot for slot in slots(fact) if slot not in WEIGHTS]
        other = fact
        for slot in details:
            if dice.chance(0.4):
                other = change(dice, other, slot) if dice.chance(0.6) else drop(other, slot)
        if not label:
            other = _at_odds(dice, other)
        return _state(dice, fact), _state(dice, other)

    return _splits("mrpc", ("sentence1", "sentence2"), {0: 0.4, 1: 0.6}, draw)


def qqp() -> Splits:
    """Do two questions ask the same?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.3, negated=0.1)
        slot = dice.pick([*askable(fact), "truth"])
        other, asked = fact, slot
        if not label:
            if dice.chance(0.3):
                asked = dice.other([*askable(fact), "truth"], slot)
            else:
                other = _distorted(dice, fact, untouched=slot)
        return _ask(dice, fact, slot), _ask(dice, other, asked)

    return _splits("qqp", ("question1", "question2"), {0: 0.6, 1: 0.4}, draw)


NEUTRAL = tuple(verb for verb in VERBS if not verb.opposite)
WEIGHTS = {"agent": 4.0, "verb": 4.0, "patient": 4.0}


def stsb() -> Splits:
    """How alike are two sentences, from 0 to 5? The weight of what they share in all they say."""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.35, negated=0.1)
        parts = slots(fact)
        other = fact
        lost = 0.0
        for slot in dice.shuffled(parts)[: round(label / 5 * len(parts))]:
            weight = WEIGHTS.get(slot, 2.0)
            if slot not in WEIGHTS and dice.chance(0.3):
                other = drop(other, slot)
                weight /= 2
            else:
                other = change(dice, other, slot, opposite=0.3)
            lost += weight
        if dice.chance(0.1):
            other = replace(other, negated=not other.negated)
            lost += 3.0
        total = sum(WEIGHTS.get(slot, 2.0) for slot in parts)
        score = 5 * max(0.0, 1 - lost / total) + (dice.uniform() - 0.5) * 0.4
        return _state(dice, fact), _state(dice, other), str(min(5.0, max(0.0, score)))

    labels = dict.fromkeys(range(6), 1.0)
    return _splits("stsb", ("sentence1", "sentence2"), labels, draw, graded=True)


def mnli() -> Splits:
    """Does the premise entail (0), leave open (1) or contradict (2) the hypothesis?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.45, negated=0.25)
        guess = (_entailed, _open, _denied)[label](dice, fact)
        return _state(dice, fact), _state(dice, guess)

    return _splits("mnli", ("premise", "hypothesis"), {0: 1, 1: 1, 2: 1}, draw)


def qnli() -> Splits:
    """Does the sentence answer (0) the question, or not (1)?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.5, negated=0.0, number=0.05)
        slot = dice.pick(askable(fact))
        known = fact
        for extra in MODIFIERS:
            if extra != slot and dice.chance(0.5):
                known = drop(known, extra)
        if label:
            if slot in MODIFIERS and dice.chance(0.6):
                told = drop(fact, slot)
            else:
                untouched = {slot} if slot in MODIFIERS else {slot, f"{slot}_quality"}
                parts = [part for part in ("agent", "verb", "patient") if part not in untouched]
                told = fact
                for part in dice.shuffled(parts)[: 1 + dice.below(3)]:
                    told = change(dice, told, part)
        else:
            told = fact
        return _ask(dice, known, slot), _state(dice, told)

    return _splits("qnli", ("question", "sentence"), {0: 0.5, 1: 0.5}, draw)


def rte() -> Splits:
    """Does the first sentence entail (0) the second, or not (1)?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.5, negated=0.1)
        if not label:
            guess = _entailed(dice, fact)
        else:
            guess = dice.pick((_open, _denied, _distorted))(dice, fact)
        return _state(dice, fact), _state(dice, guess)

    return _splits("rte", ("sentence1", "sentence2"), {0: 0.5, 1: 0.5}, draw)


def _state(dice: Dice, fact: Event) -> str:
    """A statement of an event, in reserved words if a few attempts find some."""
    return _reserved(lambda: state(dice, fact))


def _ask(dice: Dice, fact: Event, slot: str) -> str:
    """A question, in reserved words if a few attempts find some."""
    return _reserved(lambda: ask(dice, fact, slot))


def _reserved(say: Callable[[], str]) -> str:
    # Half of all sentences are reserved. To say the same in other words is faster than to draw
    # another example whenever one of its sentences is not.
    for _ in range(5):
        text = say()
        if reserved(text):
            break
    return text


def _distorted(dice: Dice, fact: Event, untouched: str = "") -> Event:
    """An event that differs in one to four ways: some are easy to see and some are not.

    A question for a slot says nothing of it: an event differs in something else.
    """
    silent = {untouched, f"{untouched}_quality", f"{untouched}_number"}
    other = distort(dice, fact, untouched)
    for _ in range(dice.below(4)):
        other = change(dice, other, dice.pick([s for s in slots(other) if s not in silent]))
    while _without(other, untouched) == _without(fact, untouched):
        other = distort(dice, fact, untouched)
    return other


def _without(fact: Event, slot: str) -> Event:
    """What is left of an event when nothing is said of a slot; all of it if it has no such slot."""
    return replace(fact, **{slot: None}) if slot in {field.name for field in fields(fact)} else fact


def _at_odds(dice: Dice, fact: Event) -> Event:
    """An event that is denied, with agent and patient exchanged, or with one to three of agent,
    verb and patient changed: as in the real corpus, some differ at a glance and some in a word."""
    chance = dice.uniform()
    if chance < 0.1:
        return replace(fact, negated=not fact.negated)
    if chance < 0.2 and fact.patient.noun.kind in ("person", "animal"):
        return swap(fact)
    for slot in dice.shuffled(list(WEIGHTS))[: 1 + dice.below(3)]:
        fact = change(dice, fact, slot)
    return fact


def _dropped(dice: Dice, fact: Event) -> Event:
    modifiers = [slot for slot in slots(fact) if slot not in WEIGHTS]
    for slot in modifiers:
        if dice.chance(0.5):
            fact = drop(fact, slot)
    return fact


def _added(dice: Dice, fact: Event) -> Event | None:
    """The event with one modifier more, where there is room for one."""
    room = [slot for slot in MODIFIERS if not getattr(fact, slot)]
    room += [side for side in ("agent", "patient") if not getattr(fact, side).quality]
    if not room:
        return None
    slot = dice.pick(room)
    if slot in MODIFIERS:
        return replace(fact, **{slot: dice.pick(MODIFIERS[slot])})
    side = getattr(fact, slot)
    return replace(fact, **{slot: replace(side, quality=dice.pick(adjectives(side.noun)))})


def _generalised(dice: Dice, fact: Event) -> Event:
    """Agent or patient named by its kind: an animal for the dog."""
    slot = dice.pick(("agent", "patient"))
    side = getattr(fact, slot)
    return replace(fact, **{slot: replace(side, general=True, quality=None)})


def _entailed(dice: Dice, fact: Event) -> Event:
    """What must be true: less detail about what happened, more about what did not."""
    if fact.negated:
        return _added(dice, fact) or fact if dice.chance(0.7) else fact
    if fact.verb.opposite and dice.chance(0.25):
        return replace(_dropped(dice, fact), verb=fact.verb.opposite, negated=True)
    less = _dropped(dice, fact)
    return _generalised(dice, less) if dice.chance(0.35) else less


def _open(dice: Dice, fact: Event) -> Event:
    """What may be true: more detail about what happened, less about what did not."""
    if fact.negated:
        less = _dropped(dice, fact)
        return (
            less
            if less != fact
            else replace(fact, verb=dice.other(NEUTRAL, fact.verb), negated=False)
        )
    more = _added(dice, fact)
    if more is None or dice.chance(0.2):
        return replace(
            _dropped(dice, fact), verb=dice.other(NEUTRAL, fact.verb), negated=dice.chance(0.3)
        )
    return more


def _denied(dice: Dice, fact: Event) -> Event:
    """What cannot be true."""
    if fact.negated:
        return replace(_added(dice, fact) or fact if dice.chance(0.4) else fact, negated=False)
    if dice.chance(0.35):
        return replace(_dropped(dice, fact), negated=True)
    if fact.verb.opposite and dice.chance(0.4):
        return replace(_dropped(dice, fact), verb=fact.verb.opposite)
    exclusive = [slot for slot in slots(fact) if slot not in ("agent", "verb", "patient")]
    if exclusive:
        return change(dice, fact, dice.pick(exclusive), opposite=0.7)
    return replace(fact, negated=True)


def _splits(
    task: str, names: tuple[str, ...], labels: dict[int, float], draw: Draw, graded: bool = False
) -> Splits:
    """The three splits, which share no example. Each is drawn from a stream of its own, the test
    split first: neither of the others then has a say in which examples it holds."""
    seed = 10 * (101 + list(GLUE).index(task))
    sizes = {"test": TEST, "validation": VALIDATION, "train": training_examples(task)}
    taken: set[Example] = set()
    parts: dict[str, Columns] = {}
    for number, (split, size) in enumerate(sizes.items()):
        rows = _rows(Dice(seed + number), len(names), labels, draw, size, taken, graded)
        taken |= set(rows)
        parts[split] = _columns(list(rows.items()), names, graded)
    return Splits(**parts)


def _rows(
    dice: Dice,
    texts: int,
    labels: dict[int, float],
    draw: Draw,
    size: int,
    taken: Container[Example],
    graded: bool,
) -> dict[Example, float]:
    """Distinct examples that are not taken, all of whose sentences are reserved."""
    rows: dict[Example, float] = {}
    while len(rows) < size:
        label = dice.weighted(labels)
        drawn = draw(dice, label)
        value = round(float(drawn[-1]) * 5) / 5 if graded else label
        row = drawn[:texts]
        new = row not in rows and row not in taken
        if new and len(set(row)) == len(row) and all(map(reserved, row)):
            rows[row] = value
    return rows


def _columns(
    examples: list[tuple[Example, float]], names: tuple[str, ...], graded: bool
) -> Columns:
    texts = {name: [row[i] for row, _ in examples] for i, name in enumerate(names)}
    labels = np.array([label for _, label in examples], np.float32 if graded else np.int64)
    return {**texts, "label": labels}
