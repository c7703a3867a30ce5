"""How the mini T5 learns: span corruption, replaced words, and questions answered with digits."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from suite.backbones.pretrain.batches import (
    CORPUS,
    REPLACED_WEIGHT,
    STRAYS,
    Replacer,
    binary,
    by_length,
    detector,
    optimise,
    padded,
)
from suite.backbones.pretrain.corpus import documents
from suite.backbones.pretrain.tokenizer import SENTINELS, T5_SPECIAL, t5_tokenizer

WIDTH, LAYERS, HEADS = 64, 2, 4
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

Row = tuple[list[int], list[int], list[int]]
"""Source ids, which of them are replacements (-1: not judged), target ids."""


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
        self._coherent = [d.coherent for d in corpus]
        self._field = {name: vocabulary[f"▁{name}"] for pair in PAIRS for name in pair}
        self._task = {name: vocabulary[f"▁{name}:"] for name in ("count", "belongs", "copy")}
        self._numbers = {number: tokenizer(number).input_ids for number in NUMBERS}
        flat = np.concatenate([np.array(row) for row in (*self.first, *self.second) if row])
        self._replace = Replacer(vocabulary, "▁", flat, dice)

    def lengths(self) -> list[int]:
        """Words of each document."""
        return [len(a) + len(b) for a, b in zip(self.first, self.second, strict=True)]

    def example(self, index: int) -> Row:
        """One example: half span corruption, half a question with a number for an answer."""
        chance = self._dice.random()
        paired = bool(self.second[index])
        if not self._coherent[index] or (paired and chance < 0.25):
            source, _, _ = self._source(index, replaced=0)
            answer = str(int(self._coherent[index]))
            return self._asked("belongs", source, [-1] * len(source), self._numbers[answer])
        if chance < 0.45:
            source, flags, _ = self._source(index, replaced=int(self._dice.integers(0, 3)))
            return self._asked("count", source, flags, self._numbers[str(sum(flags))])
        if chance < 0.5:
            number = self._numbers[NUMBERS[self._dice.integers(len(NUMBERS))]]
            source, _, _ = self._source(index, replaced=0)
            source += number[:-1]
            return self._asked("copy", source, [-1] * len(source), number)
        return self._spans(*self._source(index, replaced=int(self._dice.integers(0, 3))))

    def _asked(self, task: str, source: list[int], flags: list[int], answer: list[int]) -> Row:
        return [self._task[task], *source, EOS], [-1, *flags, -1], answer

    def _source(self, index: int, replaced: int) -> tuple[list[int], list[int], list[int]]:
        """Ids with field marks, which of them were replaced, and the original ids."""
        original = [*self.first[index], *self.second[index]]
        shown = list(original)
        for i in self._dice.choice(len(original) - 1, replaced, replace=False):
            shown[i] = self._replace(original[i], second=i >= len(self.first[index]))
        flags = [int(a != b) for a, b in zip(shown, original, strict=True)]
        names = PAIRS[self._dice.integers(len(PAIRS))] if self.second[index] else ("sentence:",)
        for name, at in zip(
            reversed(names), (len(self.first[index]), 0)[-len(names) :], strict=True
        ):
            for row, mark in (
                (shown, self._field[name]),
                (flags, 0),
                (original, self._field[name]),
            ):
                row.insert(at, mark)
        return shown, flags, original

    def _spans(self, shown: list[int], flags: list[int], original: list[int]) -> Row:
        """Span corruption: one to three words behind each sentinel."""
        marks = set(self._field.values())
        spans = min(SENTINELS, max(1, round(len(shown) * HIDDEN / 1.7)))
        starts = set((self._dice.permutation(len(shown) - 1)[:spans] + 1).tolist())
        source, judged, target = [], [], []
        sentinel, i = FIRST_SENTINEL, 0
        while i < len(shown):
            if i in starts and original[i] not in marks:
                for row in (source, target):
                    row.append(sentinel)
                judged.append(-1)
                sentinel += 1
                end = min(len(shown), i + int(self._dice.choice((1, 2, 3), p=(0.5, 0.3, 0.2))))
                while i < end and original[i] not in marks:
                    target.append(original[i])
                    i += 1
            else:
                source.append(shown[i])
                judged.append(flags[i])
                i += 1
        return [*source, EOS], [*judged, -1], [*target, EOS]


def pretrain_t5(steps: int) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """A pretrained encoder-decoder of the original T5 form, and its tokenizer."""
    tokenizer = t5_tokenizer()
    dice = np.random.Generator(np.random.PCG64(7))
    objectives = Objectives(tokenizer, dice)
    draw = by_length(objectives.lengths(), dice)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            num_layers=LAYERS,
            num_decoder_layers=LAYERS,
            d_ff=4 * WIDTH,
            d_kv=WIDTH // HEADS,
            num_heads=HEADS,
            dropout_rate=0.0,
            pad_token_id=T5_SPECIAL.index("<pad>"),
            eos_token_id=EOS,
            decoder_start_token_id=T5_SPECIAL.index("<pad>"),
        )
    )
    is_replaced = detector(WIDTH)

    def losses() -> dict[str, Tensor]:
        rows = [objectives.example(int(index)) for index in draw()]
        source = padded([row[0] for row in rows])
        flags = padded([[flag + 1 for flag in row[1]] for row in rows]) - 1
        target = padded([row[2] for row in rows])
        target[target == 0] = -100
        mask = (source > 0).long()
        encoded = model.encoder(input_ids=source, attention_mask=mask)
        logits = model(encoder_outputs=encoded, attention_mask=mask, labels=target).logits
        asked = (target != -100).sum(1) <= 4
        nll = F.cross_entropy(logits.transpose(1, 2), target, reduction="none").sum(1)
        hidden = ~asked
        judged = flags >= 0
        return {
            "spans": nll[hidden].sum() / max(1, int((target[hidden] != -100).sum())),
            "answers": nll[asked].sum() / max(1, int(asked.sum())),
            "replaced": REPLACED_WEIGHT
            * binary(is_replaced(encoded.last_hidden_state[judged]), flags[judged]),
        }

    optimise((model, is_replaced), losses, steps, rate=3e-3)
    return model.eval(), tokenizer
