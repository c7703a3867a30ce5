"""How a network writes an answer: greedily, by the suite's own rule."""

from typing import Any


def greedy(config: Any, length: int | None = None) -> Any:
    """The generation configuration of a network with the model configuration `config`, for answers
    of at most `length` tokens.

    Only the tokens that start, end and pad a text are the network's own. Beams, sampling,
    penalties, lengths, forced and suppressed tokens that a checkpoint may ask for would change
    scores without a word.
    """
    from transformers import GenerationConfig

    tokens = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
    known = {key: getattr(config, key, None) for key in tokens}
    return GenerationConfig(max_new_tokens=length, num_beams=1, do_sample=False, **known)
