"""How the mini BERT learns: masked words, replaced words, and pairs that belong together."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

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
from suite.mini.pretrain.tokenizer import BERT_SPECIAL, MAX_LENGTH, bert_tokenizer

WIDTH, LAYERS, HEADS = 64, 3, 2
MASK = BERT_SPECIAL.index("[MASK]")
MASKED, REPLACED, SWAPPED, WHOLE = 0.10, 0.12, 0.2, 0.3
"""Shares: of tokens masked and replaced, of documents with swapped neighbours or left whole."""
PAIRED_UNTIL = 0.4
"""Share of the steps that learn from pairs, the first ones. If they went on to the end, a linear
probe could read the answers of the pair tasks off the last layer."""


def pretrain_bert(steps: int) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """A pretrained encoder without pooler, and its tokenizer."""
    tokenizer = bert_tokenizer()
    dice = np.random.Generator(np.random.PCG64(7))
    corpus = documents(CORPUS, STRAYS)
    encode = tokenizer.backend_tokenizer.encode_batch
    encodings = encode([(d.first, d.second) if d.second else d.first for d in corpus])
    ids, types = [e.ids for e in encodings], [e.type_ids for e in encodings]
    sides = [[e.ids for e in encode([getattr(d, s) for d in corpus])] for s in ("first", "second")]
    coherent = np.array([d.coherent for d in corpus])
    paired = np.array([d.second != "" for d in corpus])
    flat = np.concatenate([np.array(row) for row in ids])
    flat = flat[flat >= len(BERT_SPECIAL)]
    replace = Replacer(tokenizer.get_vocab(), "", flat, dice)
    draw = by_length([len(row) for row in ids], dice)

    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=4 * WIDTH,
            max_position_embeddings=MAX_LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )
    words = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH))
    is_replaced, belongs = detector(WIDTH), detector(WIDTH)

    def corrupt(
        original: np.ndarray, segments: np.ndarray, whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Corrupted ids and which of them were masked or replaced [B, L]."""
        shown = original.copy()
        chance = np.where(
            whole[:, None] | (original < len(BERT_SPECIAL)), 1.0, dice.random(original.shape)
        )
        chosen = chance < MASKED + REPLACED
        shown[chance < MASKED] = MASK
        for i, j in zip(*np.nonzero(chosen & (chance >= MASKED)), strict=True):
            shown[i, j] = replace(int(original[i, j]), second=bool(segments[i, j]))
        for i in np.flatnonzero((dice.random(len(original)) < SWAPPED) & ~whole):
            j = dice.integers(1, max(2, (original[i] > 0).sum() - 3))
            if (original[i, j : j + 2] >= len(BERT_SPECIAL)).all():
                shown[i, [j, j + 1]] = shown[i, [j + 1, j]]
        return shown, chosen

    def embed(sentences: list[list[int]]) -> Tensor:
        shown = padded(sentences)
        mask = (shown > 0).long()
        return pooled(model(shown, attention_mask=mask).last_hidden_state, mask)

    def losses(progress: float) -> dict[str, Tensor]:
        rows = draw()
        original = padded([ids[r] for r in rows])
        segments = padded([types[r] for r in rows])
        whole = ~coherent[rows] | (paired[rows] & (dice.random(len(rows)) < WHOLE))
        shown, chosen = (
            torch.from_numpy(part) for part in corrupt(original.numpy(), segments.numpy(), whole)
        )
        mask = (original > 0).long()
        hidden = model(shown, attention_mask=mask, token_type_ids=segments).last_hidden_state
        logits = words(hidden[chosen]) @ model.embeddings.word_embeddings.weight.T
        judged = (
            (original >= len(BERT_SPECIAL)) & (shown != MASK) & ~torch.from_numpy(whole)[:, None]
        )
        pick = torch.from_numpy(whole)
        parts = {
            "words": F.cross_entropy(logits, original[chosen], reduction="sum")
            / max(1, int(chosen.sum())),
            "replaced": REPLACED_WEIGHT
            * binary(is_replaced(hidden[judged]), (shown != original)[judged]),
        }
        if progress < PAIRED_UNTIL:
            partners = [r for r in rows if coherent[r] and paired[r]]
            if partners:
                parts["partner"] = contrast(*(embed([s[r] for r in partners]) for s in sides))
            parts["belongs"] = binary(
                belongs(pooled(hidden[pick], mask[pick])), torch.from_numpy(coherent[rows])[pick]
            )
        return parts

    optimise((model, words, is_replaced, belongs), losses, steps)
    return model.eval(), tokenizer
