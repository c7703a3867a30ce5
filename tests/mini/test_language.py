"""The mini language: what is said of an event does not depend on how it is said."""

from itertools import pairwise

import pytest

from suite.mini.dice import Dice
from suite.mini.language import (
    TENSES,
    ask,
    askable,
    change,
    event,
    reserved,
    slots,
    state,
    words_of,
)
from suite.mini.lexicon import vocabulary
from suite.mini.phrases import corrupt, opinion
from suite.mini.pretrain.corpus import documents


def test_every_word_said_is_in_the_vocabulary():
    dice, known = Dice(1), set(vocabulary())
    for i in range(500):
        fact = event(dice)
        texts = (
            state(dice, fact, TENSES[i % 4]),
            ask(dice, fact, dice.pick([*askable(fact), "truth"])),
            opinion(dice, i % 2 == 0),
        )
        for text in texts:
            assert {word.strip(".,?").lower() for word in text.split()} <= known, text


def test_the_article_fits_the_word_behind_it():
    dice = Dice(2)
    for _ in range(500):
        words = state(dice, event(dice)).lower().rstrip(".").split()
        for article, word in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou")


@pytest.mark.parametrize(
    "slot", ["agent", "verb", "patient", "place", "time", "manner", "agent_quality"]
)
def test_a_changed_slot_alone_differs(slot):
    dice = Dice(3)
    facts = (
        fact for fact in (event(dice, modifiers=0.8) for _ in range(100)) if slot in slots(fact)
    )
    for fact in facts:
        other = change(dice, fact, slot)
        assert other != fact
        assert change(Dice(0), other, slot).__class__ is fact.__class__
        assert slots(other) == slots(fact)


def test_a_fault_changes_a_sentence_by_a_word_or_two():
    dice = Dice(4)
    for i in range(500):
        words = words_of(dice, event(dice, number=0.3), TENSES[i % 4])
        wrong = corrupt(dice, words)
        assert wrong != words
        assert abs(len(wrong) - len(words)) <= 1


def test_the_pretraining_corpus_holds_no_reserved_sentence():
    corpus = documents(600, strays=0.3)
    assert not any(map(reserved, (text for d in corpus for text in (d.first, d.second) if text)))
    assert 0.2 < sum(not document.coherent for document in corpus) / 600 < 0.4
    assert corpus == documents(600, strays=0.3)
