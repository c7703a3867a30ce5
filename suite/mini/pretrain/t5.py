"""How the mini T5 learns: span corruption, replaced words, and questions answered with digits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from suite.mini.pretrain.batches import (
    CORPUS,
    REPLACED_WEIGHT,
    STRAYS,
    Replacer,
    binary,
    by_length,
    contrast,
    detector,
    optimise,
    padded,
    pooled,
)
from suite.mini.pretrain.corpus import documents
from suite.mini.pretrain.tokenizer import SENTINELS, T5_SPECIAL, t5_tokenizer

WIDTH, HEADS, HEAD_WIDTH = 64, 8, 16
ENCODER_LAYERS, DECODER_LAYERS = 3, 2
PAIRS = (
    ("sentence1:", "sentence2:"),
    ("question1:", "question2:"),
    ("premise:", "hypothesis:"),
    ("question:", "sentence:"),
)
FIRST_SENTINEL = T5_SPECIAL.index("<extra_id_0>")
EOS = T5_SPECIAL.index("</s>")
NUMBERS = [str(i) for i in range(10)] + [f"{i / 5:.1f}" for i in range(26)]
HIDDEN = 0.15
"""Share of the words that span corruption hides."""

SWAPPED = 0.2
"""Share of the corrupted documents with two neighbours swapped."""
IGNORED = -100


@dataclass
class Example:
    """One text-to-text example, and what the encoder itself is asked about its source.

    `replaced` tells for each source token whether it is a replacement, `words` which word belongs
    there where that is hidden or replaced; IGNORED where it is not asked. `belongs` is asked of
    pairs that were left whole.
    """

    source: list[int]
    replaced: list[int]
    words: list[int]
    target: list[int] = field(default_factory=list)
    belongs: int = IGNORED

    def add(self, token: int, replaced: int = IGNORED, word: int = IGNORED) -> None:
        """Append one source token."""
        self.source.append(token)
        self.replaced.append(replaced)
        self.words.append(word)


class Objectives:
    """Turns documents into text-to-text examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, dice: np.random.Generator) -> None:
        self._dice = dice
        vocabulary = tokenizer.get_vocab()
        corpus = documents(CORPUS, STRAYS)
        self.first = [
            e.ids[:-1] for e in tokenizer.backend_tokenizer.encode_batch([d.first for d in corpus])
        ]
        self.second = [
            e.ids[:-1] for e in tokenizer.backend_tokenizer.encode_batch([d.second for d in corpus])
        ]
        self.coherent = [d.coherent for d in corpus]
        self._field = {name: vocabulary[f"▁{name}"] for pair in PAIRS for name in pair}
        self._task = {name: vocabulary[f"▁{name}:"] for name in ("count", "belongs", "copy")}
        self._numbers = {number: tokenizer(number).input_ids for number in NUMBERS}
        flat = np.concatenate([np.array(row) for row in (*self.first, *self.second) if row])
        self._replace = Replacer(vocabulary, "▁", flat, dice)

    def lengths(self) -> list[int]:
        """Words of each document."""
        return [len(a) + len(b) for a, b in zip(self.first, self.second, strict=True)]

    def example(self, index: int) -> Example:
        """One example: half span corruption, half a question with a number for an answer."""
        chance = self._dice.random()
        paired = bool(self.second[index])
        if not self.coherent[index] or (paired and chance < 0.25):
            answer = int(self.coherent[index])
            return self._asked("belongs", *self._texts(index), str(answer), belongs=answer)
        if chance < 0.3:
            number = NUMBERS[self._dice.integers(len(NUMBERS))]
            shown, _ = self._texts(index)
            shown += self._numbers[number][:-1]
            return self._asked("copy", shown, shown, number)
        shown, original = self._texts(index, replaced=int(self._dice.integers(0, 5)))
        if chance < 0.5:
            count = sum(a != b for a, b in zip(shown, original, strict=True))
            return self._asked("count", shown, original, str(count))
        return self._spans(shown, original)

    def _asked(
        self, task: str, shown: list[int], original: list[int], answer: str, belongs: int = IGNORED
    ) -> Example:
        example = Example([], [], [], list(self._numbers[answer]), belongs)
        example.add(self._task[task])
        for token, word in zip(shown, original, strict=True):
            judged = task == "count"
            example.add(token, int(token != word) if judged else IGNORED, _told(token, word))
        example.add(EOS)
        return example

    def _texts(self, index: int, replaced: int = 0) -> tuple[list[int], list[int]]:
        """Ids with field marks, as shown and as they were before replacements and swaps."""
        middle = len(self.first[index])
        original = [*self.first[index], *self.second[index]]
        shown = list(original)
        for i in self._dice.choice(len(original) - 1, replaced, replace=False):
            shown[i] = self._replace(original[i], second=i >= middle)
        if replaced and self._dice.random() < SWAPPED:
            i = int(self._dice.integers(len(shown) - 2))
            shown[i], shown[i + 1] = shown[i + 1], shown[i]
        names = PAIRS[self._dice.integers(len(PAIRS))] if self.second[index] else ("sentence:",)
        for name, at in zip(reversed(names), (middle, 0)[-len(names) :], strict=True):
            for row in (shown, original):
                row.insert(at, self._field[name])
        return shown, original

    def _spans(self, shown: list[int], original: list[int]) -> Example:
        """Span corruption: one to three words behind each sentinel."""
        marks = set(self._field.values())
        spans = min(SENTINELS, max(1, round(len(shown) * HIDDEN / 1.7)))
        starts = set((self._dice.permutation(len(shown) - 1)[:spans] + 1).tolist())
        example = Example([], [], [])
        sentinel, i = FIRST_SENTINEL, 0
        while i < len(shown):
            if i in starts and original[i] not in marks:
                example.add(sentinel, word=original[i])
                example.target.append(sentinel)
                sentinel += 1
                end = min(len(shown), i + 1 + int(self._dice.random() * 5) // 2)
                while i < end and original[i] not in marks:
                    example.target.append(original[i])
                    i += 1
            else:
                example.add(shown[i], int(shown[i] != original[i]), _told(shown[i], original[i]))
                i += 1
        example.add(EOS)
        example.target.append(EOS)
        return example


def _told(token: int, word: int) -> int:
    return IGNORED if token == word else word


def _rows(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows as one tensor [B, L], padded with IGNORED."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[IGNORED] * (longest - len(row))] for row in rows])


def pretrain_t5(steps: int) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """A pretrained encoder-decoder of the original T5 form, and its tokenizer."""
    tokenizer = t5_tokenizer()
    dice = np.random.Generator(np.random.PCG64(7))
    objectives = Objectives(tokenizer, dice)
    draw = by_length(objectives.lengths(), dice)
    # A key of every configuration, which the class of T5's does not name.
    start: dict[str, Any] = {"decoder_start_token_id": T5_SPECIAL.index("<pad>")}
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            num_layers=ENCODER_LAYERS,
            num_decoder_layers=DECODER_LAYERS,
            d_ff=4 * WIDTH,
            d_kv=HEAD_WIDTH,
            num_heads=HEADS,
            # Exact up to 16 words either way: as far apart as two sentences' like words lie.
            relative_attention_num_buckets=64,
            relative_attention_max_distance=64,
            dropout_rate=0.0,
            pad_token_id=T5_SPECIAL.index("<pad>"),
            eos_token_id=EOS,
            **start,
        )
    )
    # A smaller start of the tied embeddings lets the layers weigh in from the first steps.
    model.shared.weight.data.mul_(0.2)
    words = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH))
    is_replaced, belongs = detector(WIDTH), detector(WIDTH)

    def partner(chosen: list[int]) -> Tensor:
        if not chosen:
            return torch.zeros(())
        sides = [[*side[i], EOS] for side in (objectives.first, objectives.second) for i in chosen]
        shown = padded(sides)
        mask = (shown > 0).long()
        hidden = model.encoder(input_ids=shown, attention_mask=mask).last_hidden_state
        return contrast(*pooled(hidden, mask).chunk(2))

    def losses(_: float) -> dict[str, Tensor]:
        indices = [int(index) for index in draw()]
        rows = [objectives.example(index) for index in indices]
        partners = [i for i in indices if objectives.coherent[i] and objectives.second[i]]
        source = padded([row.source for row in rows])
        replaced, hidden, target = (
            _rows([getattr(row, name) for row in rows]) for name in ("replaced", "words", "target")
        )
        belonging = torch.tensor([row.belongs for row in rows])
        mask = (source > 0).long()
        encoded = model.encoder(input_ids=source, attention_mask=mask)
        logits = model(encoder_outputs=encoded, attention_mask=mask, labels=target).logits
        states = encoded.last_hidden_state
        judged, told, pairs = replaced != IGNORED, hidden != IGNORED, belonging != IGNORED
        guesses = words(states[told]) @ model.shared.weight.T
        return {
            "answers": F.cross_entropy(logits.transpose(1, 2), target),
            "words": F.cross_entropy(guesses, hidden[told], reduction="sum")
            / max(1, int(told.sum())),
            "replaced": REPLACED_WEIGHT * binary(is_replaced(states[judged]), replaced[judged]),
            "partner": partner(partners),
            "belongs": binary(belongs(pooled(states[pairs], mask[pairs])), belonging[pairs]),
        }

    # T5 folds the scale of attention into the query weights, which are therefore smaller.
    optimise((model, words, is_replaced, belongs), losses, steps, slowly="SelfAttention.q.weight")
    return model.eval(), tokenizer
