"""The word-level tokenizers of the mini text backbones; any text is encodable, letter by letter."""

import string

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from suite.mini.lexicon import vocabulary

MAX_LENGTH = 64
SENTINELS = 8
FIELDS = [
    "sentence:",
    "sentence1:",
    "sentence2:",
    "question:",
    "question1:",
    "question2:",
    "premise:",
    "hypothesis:",
    "count:",
    "belongs:",
    "copy:",
]
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
T5_SPECIAL = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(SENTINELS))]


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """WordPiece over the lexicon and the printable characters: [CLS] a [SEP] b [SEP]."""
    words = [word for word in vocabulary() if len(word) > 1]
    pieces = [*BERT_SPECIAL, *CHARACTERS, *(f"##{c}" for c in CHARACTERS), *words]
    core = Tokenizer(models.WordPiece(_numbered(pieces), unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=MAX_LENGTH,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Words with a leading space mark, then single characters; numbers digit by digit."""
    starts = [f"▁{piece}" for piece in (*CHARACTERS, *FIELDS)]
    words = [f"▁{word}" for word in vocabulary() if len(word) > 1]
    core = Tokenizer(
        models.WordPiece(
            _numbered([*T5_SPECIAL, "▁", *CHARACTERS, *starts, *words]),
            unk_token="<unk>",
            continuing_subword_prefix="",
        )
    )
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Split(Regex(r"[.,?!]"), "isolated"),
        ]
    )
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=2 * MAX_LENGTH,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=[f"<extra_id_{i}>" for i in range(SENTINELS)],
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
