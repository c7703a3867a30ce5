"""The lines of Python by which an exported network writes the answers to `texts`, as `ids`."""

from suite.backbones.base import TextBackbone
from suite.backbones.writers import CUE, DecoderBackbone
from suite.export.program import Program
from suite.export.subject import Subject


def continued(backbone: DecoderBackbone, count: int, longest: int) -> list[str]:
    """Every text alone, cut to the `longest`, is followed by the cue and at most `count` tokens."""
    return [
        f"    cue = tokenizer({CUE!r}, add_special_tokens=False)['input_ids']",
        "    ids = []",
        "    for text in texts:",
        f"        source = tokenizer(text, truncation=True, max_length={longest})['input_ids']",
        "        given = torch.tensor([source + cue])",
        "        written = network.generate(",
        "            input_ids=given, attention_mask=torch.ones_like(given),",
        f"            max_new_tokens={count}, num_beams=1, do_sample=False,",
        f"            eos_token_id={backbone.end}, pad_token_id={backbone.end},",
        "        )",
        "        ids.append(written[0, given.shape[1] :])",
    ]


def greedy(subject: Subject, program: Program | None, count: int) -> list[str]:
    """The most probable token after the other, until every text has ended."""
    assert isinstance(subject.pristine, TextBackbone)
    config = subject.pristine.network.config
    given = inputs_of(subject.pristine)
    call = [f"    scores = program({', '.join(given)}, ids)"]
    if program is not None and program.one_by_one:
        call = [
            f"    rows = zip(*(tensor.split(1) for tensor in ({', '.join(given)}, ids)))",
            "    scores = torch.cat([program(*row) for row in rows])",
        ]
    return [
        f"    ids = torch.full((len(texts), 1), {config.decoder_start_token_id})",
        "    ended = torch.zeros(len(texts), dtype=torch.bool)",
        f"    for _ in range({count}):",
        *[f"    {line}" for line in call],
        f"        token = scores[:, -1].argmax(-1).masked_fill(ended, {config.pad_token_id})",
        "        ids = torch.cat([ids, token[:, None]], 1)",
        f"        ended |= token == {config.eos_token_id}",
    ]


def inputs_of(backbone: TextBackbone) -> list[str]:
    """The network's inputs, taken from those of the tokenizer."""
    return [f'inputs["{name}"]' for name in backbone.tokenizer.model_input_names]
