"""Networks that write answers: an encoder-decoder, and a decoder that goes on with the source.

Both are taught the tokens of the answer alone, and both write greedily, whatever a checkpoint's
generation configuration says.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suite.backbones.base import TextToTextBackbone
from suite.backbones.generation import greedy
from suite.console import shown
from suite.errors import UserError
from suite.registry.schema import BackboneEntry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PADDING = -100
"""Of target ids: no token, and no part of the loss."""
CUE = "\nAnswer:"
DELIMITER = " "
"""What stands between a source and its answer where one network reads and writes both, as in the
prompts of Gao et al., "The Language Model Evaluation Harness", 2023, zenodo.org/records/12608602.
"""


class EncoderDecoderBackbone(TextToTextBackbone):
    """An encoder that reads the source, and a decoder that writes the answer."""

    def __init__(
        self,
        entry: BackboneEntry,
        network: nn.Module,
        width: int,
        tokenizer: "PreTrainedTokenizerBase",
    ) -> None:
        super().__init__(entry, network, width, tokenizer)
        # Of what a call does not say, `generate` asks this one.
        self.network.generation_config = greedy(self.network.config)

    @property
    def featurizer(self) -> nn.Module:
        """The decoder."""
        return self.network.get_decoder()

    def forward(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Logits [B, M, vocabulary]."""
        decoder_inputs = self.network.prepare_decoder_input_ids_from_labels(labels=labels)
        return self.network(**inputs, decoder_input_ids=decoder_inputs, use_cache=False).logits

    @torch.no_grad()
    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Ids [B, <= length + 1], the first of which is that of the start."""
        rule = greedy(self.network.config, length)
        return self.network.generate(**inputs, generation_config=rule)

    def tokens_of(self, answers: Sequence[str]) -> Tensor:
        """Ids [N, M] as the tokenizer frames them."""
        found = self.tokenizer(text_target=[*answers], padding="longest", return_tensors="pt")
        return found["input_ids"].masked_fill(found["attention_mask"] == 0, PADDING)


class DecoderBackbone(TextToTextBackbone):
    """A language model that reads from left to right and goes on with the source.

    A row is the source, `CUE`, the answer and the token that ends a text. Padding of the source may
    be on either side: rows are put together without it, and what follows the answer is masked, so
    that every token has the position that it has in its text alone.
    """

    cue: Tensor

    def __init__(
        self,
        entry: BackboneEntry,
        network: nn.Module,
        width: int,
        tokenizer: "PreTrainedTokenizerBase",
    ) -> None:
        super().__init__(entry, network, width, tokenizer)
        ids = tokenizer(CUE, add_special_tokens=False)["input_ids"]
        self.register_buffer("cue", torch.tensor(ids), persistent=False)
        assert tokenizer.eos_token_id is not None, "asked for when it was loaded"
        self.end = int(tokenizer.eos_token_id)
        self.at_answer = _AtAnswer()

    @property
    def featurizer(self) -> nn.Module:
        """What takes the features of an answer's tokens out of those of the row."""
        return self.at_answer

    def forward(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Logits [B, M, vocabulary], each given all tokens before its own."""
        kept = inputs["attention_mask"].int()
        lengths = kept.sum(1, keepdim=True)
        source = inputs["input_ids"].gather(1, kept.argsort(dim=1, descending=True, stable=True))
        cue = self.cue.expand(len(labels), -1)
        added = torch.cat([cue, labels.clamp(min=0)], 1)
        places = lengths + torch.arange(added.shape[1], device=labels.device)
        rows = F.pad(source, (0, added.shape[1])).scatter(1, places, added)
        ends = lengths + cue.shape[1] + (labels != PADDING).sum(1, keepdim=True)
        mask = torch.arange(rows.shape[1], device=labels.device) < ends
        states = self.network.base_model(
            input_ids=rows, attention_mask=mask.to(kept.dtype)
        ).last_hidden_state
        first = cue.shape[1] - 1
        return self.network.get_output_embeddings()(
            self.at_answer(states, places[:, first : first + labels.shape[1]])
        )

    @torch.no_grad()
    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Ids [B, <= length], filled up with the token that ends a text.

        Every token is found as it is taught, in a pass over the whole row: answers are a few tokens
        long, and what a method has put into the network need not know of a cache.
        """
        answers = inputs["input_ids"].new_empty(len(inputs["input_ids"]), 0)
        ended = torch.zeros_like(answers.sum(1), dtype=torch.bool)
        for _ in range(length):
            logits = self(inputs, F.pad(answers, (0, 1), value=PADDING))[:, -1]
            token = logits.argmax(-1).masked_fill(ended, self.end)
            answers = torch.cat([answers, token[:, None]], 1)
            ended |= token == self.end
            if ended.all():
                break
        return answers

    def tokens_of(self, answers: Sequence[str]) -> Tensor:
        """Ids [N, M] of answers that follow a blank."""
        texts = [DELIMITER + answer for answer in answers]
        found = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        rows = [torch.tensor([*ids, self.end]) for ids in found]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)

    def beside_source(self, answer: int) -> int:
        """Those of the cue and of the answer."""
        return len(self.cue) + answer


def require_readable(backbone: TextToTextBackbone, answers: Sequence[str], ids: Tensor) -> None:
    """Raise `UserError` if an answer that was made into tokens `ids` [N, M] reads otherwise: the
    tokenizer has no tokens for it."""
    rows = dict(zip(answers, ids.tolist(), strict=True))
    kept = [[token for token in row if token != PADDING] for row in rows.values()]
    for answer, read in zip(
        rows, backbone.tokenizer.batch_decode(kept, skip_special_tokens=True), strict=True
    ):
        if read.strip() != answer:
            raise UserError(
                f"{shown(backbone.entry.path)}: the tokenizer of {backbone.entry.name} cannot "
                f"write the answer '{answer}', which reads '{read.strip()}'"
            )


class _AtAnswer(nn.Module):
    """Takes features out of a sequence; a module, so that others can watch what it gives."""

    def forward(self, states: Tensor, places: Tensor) -> Tensor:
        """[B, L, width] and places [B, M] -> [B, M, width]."""
        return states.gather(1, places[:, :, None].expand(-1, -1, states.shape[2]))
