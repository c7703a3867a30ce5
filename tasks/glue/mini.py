"""The eight GLUE tasks in miniature: same columns, labels and metrics, decidable by rule.

Every text is drawn from the words of `suite.mini` and `reserved` for the tasks, so that no
pretrained mini backbone has seen it. Changing anything here changes a digest: raise `version` in
the YAML.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

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


def cola() -> Splits:
    """Is the sentence grammatical? Agreement, form, number, order, missing and double words."""

    def draw(dice: Dice, label: int) -> Example:
        words = words_of(dice, event(dice, modifiers=0.25, number=0.3), dice.pick(COLA_TENSES))
        return (sentence(words if label else corrupt(dice, words)),)

    return _splits(101, ("sentence",), {0: 0.4, 1: 0.6}, draw, 800)


COLA_TENSES = ("past", "present", "present", "future", "perfect")


def sst2() -> Splits:
    """Is the verdict positive? Denials and concessions decide, not single words."""

    def draw(dice: Dice, label: int) -> Example:
        return (opinion(dice, label == 1, wish if dice.chance(0.5) else clause),)

    return _splits(102, ("sentence",), {0: 0.5, 1: 0.5}, draw, 1200)


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
        return state(dice, fact), state(dice, other)

    return _splits(103, ("sentence1", "sentence2"), {0: 0.4, 1: 0.6}, draw, 600)


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
        return ask(dice, fact, slot), ask(dice, other, asked)

    return _splits(104, ("question1", "question2"), {0: 0.6, 1: 0.4}, draw, 1200)


NEUTRAL = tuple(verb for verb in VERBS if not verb.opposite)
WEIGHTS = {"agent": 4.0, "verb": 4.0, "patient": 4.0}


def stsb() -> Splits:
    """How alike are two sentences, from 0 to 5? The weight of what they share in all they say."""
    dice = Dice(105)

    def draw(_: Dice, label: int) -> Example:
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
        return state(dice, fact), state(dice, other), str(min(5.0, max(0.0, score)))

    labels = dict.fromkeys(range(6), 1.0)
    return _splits(105, ("sentence1", "sentence2"), labels, draw, 700, graded=True)


def mnli() -> Splits:
    """Does the premise entail (0), leave open (1) or contradict (2) the hypothesis?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.45, negated=0.25)
        guess = (_entailed, _open, _denied)[label](dice, fact)
        return state(dice, fact), state(dice, guess)

    return _splits(106, ("premise", "hypothesis"), {0: 1, 1: 1, 2: 1}, draw, 1200)


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
        return ask(dice, known, slot), state(dice, told)

    return _splits(107, ("question", "sentence"), {0: 0.5, 1: 0.5}, draw, 1000)


def rte() -> Splits:
    """Does the first sentence entail (0) the second, or not (1)?"""

    def draw(dice: Dice, label: int) -> Example:
        fact = event(dice, modifiers=0.5, negated=0.1)
        if not label:
            guess = _entailed(dice, fact)
        else:
            guess = dice.pick((_open, _denied, _distorted))(dice, fact)
        return state(dice, fact), state(dice, guess)

    return _splits(108, ("sentence1", "sentence2"), {0: 0.5, 1: 0.5}, draw, 500)


def _distorted(dice: Dice, fact: Event, untouched: str = "") -> Event:
    """An event that differs in one to four ways: some are easy to see and some are not."""
    other = distort(dice, fact, untouched)
    for _ in range(dice.below(4)):
        other = change(dice, other, dice.pick([s for s in slots(other) if s != untouched]))
    return other if other != fact else distort(dice, fact, untouched)


def _at_odds(dice: Dice, fact: Event) -> Event:
    """An event with another agent, verb or patient, with the two exchanged, or denied."""
    chance = dice.uniform()
    if chance < 0.2:
        return replace(fact, negated=not fact.negated)
    if chance < 0.4 and fact.patient.noun.kind in ("person", "animal"):
        return swap(fact)
    return change(dice, fact, dice.pick(tuple(WEIGHTS)))


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
    seed: int,
    names: tuple[str, ...],
    labels: dict[int, float],
    draw: Draw,
    train: int,
    graded: bool = False,
) -> Splits:
    """Distinct examples, all of whose sentences are reserved, dealt to the three splits."""
    dice = Dice(seed)
    rows: dict[Example, float] = {}
    sizes = (train, VALIDATION, TEST)
    while len(rows) < sum(sizes):
        label = dice.weighted(labels)
        texts = draw(dice, label)
        value = round(float(texts[-1]) * 5) / 5 if graded else label
        texts = texts[: len(names)]
        if texts not in rows and len(set(texts)) == len(texts) and all(map(reserved, texts)):
            rows[texts] = value
    examples = list(rows.items())
    ends = np.cumsum((0, *sizes))
    parts = [examples[start:end] for start, end in pairwise(ends)]
    return Splits(*(_columns(part, names, graded) for part in parts))


VALIDATION, TEST = 150, 400


def _columns(
    examples: list[tuple[Example, float]], names: tuple[str, ...], graded: bool
) -> Columns:
    texts = {name: [row[i] for row, _ in examples] for i, name in enumerate(names)}
    labels = np.array([label for _, label in examples], np.float32 if graded else np.int64)
    return {**texts, "label": labels}
