"""A checkpoint holds its network whole, or it is refused.

Libraries fill tensors that a file lacks with random numbers and skip those that they have no place
for: a network that is called pretrained would be none. Here every tensor of the network must be in
the file, in its shape and finite, and the file may hold nothing else but output layers that are not
used.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from suite.console import shown
from suite.errors import UserError
from suite.registry.names import did_you_mean

HEADS = frozenset(
    (
        "classifier", "cls", "decoder", "discriminator_predictions", "generator_lm_head",
        "generator_predictions", "head", "lm_head", "lm_predictions", "mask_predictions", "pooler",
        "pre_classifier", "predictions", "qa_outputs", "score", "sop_classifier",
        "vocab_layer_norm", "vocab_projector", "vocab_transform",
    )
)  # fmt: skip
"""Output layers beside an encoder or a decoder, as the classes of transformers call them."""
COUNTER = re.compile(r"(^|\.)(position_ids|attn\.(masked_)?bias|inv_freq)$")
"""What older versions of transformers wrote although it follows from the configuration."""
SHOWN = 3
"""Names that a message lists."""


@dataclass(frozen=True)
class Differences:
    """How the tensors of a checkpoint differ from those of a network, by name."""

    missing: Collection[str] = ()
    unexpected: Collection[str] = ()
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    """Shape in the file, shape in the network."""

    @classmethod
    def between(cls, state: Mapping[str, Tensor], network: nn.Module) -> "Differences":
        """Those of a file's tensors, as they are named in the network."""
        own = network.state_dict()
        return cls(
            own.keys() - state.keys(),
            state.keys() - own.keys(),
            {
                name: (tuple(tensor.shape), tuple(own[name].shape))
                for name, tensor in state.items()
                if name in own and tensor.shape != own[name].shape
            },
        )

    @classmethod
    def told_by_torch(cls, error: RuntimeError) -> "Differences | None":
        """Those in the message of `Module.load_state_dict`; None if it is about something else."""
        text = str(error)
        missing, unexpected = (
            [
                name
                for names in re.findall(rf"{what} key\(s\) in state_dict: (.*)", text)
                for name in re.findall(r'"([^"]+)"', names)
            ]
            for what in ("Missing", "Unexpected")
        )
        shapes = re.findall(
            r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[(.*?)\]\) from "
            r"checkpoint, the shape in current model is torch\.Size\(\[(.*?)\]\)",
            text,
        )
        mismatched = {name: (_sizes(own), _sizes(other)) for name, own, other in shapes}
        if not (missing or unexpected or mismatched):
            return None
        return cls(missing, unexpected, mismatched)

    @classmethod
    def told_by_transformers(cls, told: Mapping[str, Any], prefix: str) -> "Differences":
        """Those in the loading info of `from_pretrained`, without what may be left out: output
        layers that stand beside the network, and what follows from the configuration.

        `prefix` is the name that the network has inside a model with an output layer.
        """
        unexpected = [name for name in told["unexpected_keys"] if not _left_out(name, f"{prefix}.")]
        mismatched = {
            name: (tuple(own), tuple(other)) for name, own, other in told["mismatched_keys"]
        }
        return cls(told["missing_keys"] - mismatched.keys(), unexpected, mismatched)

    def only(self, names: Collection[str]) -> "Differences":
        """Those of what is not missing or mismatched elsewhere than in the tensors `names`."""
        return Differences(
            [name for name in self.missing if name in names],
            self.unexpected,
            {name: shapes for name, shapes in self.mismatched.items() if name in names},
        )

    def refuse(self, source: Path) -> None:
        """Raise `UserError` if there are any; `source` is the checkpoint's file."""
        where = shown(source)
        if self.mismatched:
            name = min(self.mismatched)
            own, other = map(list, self.mismatched[name])
            raise UserError(
                f"{where}: the tensor '{name}' is {own}, and {other} in the network that the "
                f"configuration describes{_others(self.mismatched)}"
            )
        if self.missing:
            near = did_you_mean(min(self.missing), self.unexpected)
            raise UserError(
                f"{where}: the tensor {_listed(self.missing)} of the network is not in it{near}"
            )
        if self.unexpected:
            raise UserError(
                f"{where}: holds the tensor {_listed(self.unexpected)}, for which the network that "
                "the configuration describes has no place"
            )


def checkpoint_file(folder: Path) -> Path:
    """The file of a folder's weights, or the folder if it has several."""
    files = [*folder.glob("*.safetensors")]
    return files[0] if len(files) == 1 else folder


def require_finite(network: nn.Module, source: Path) -> None:
    """Raise `UserError` for a tensor with a value that is NaN or infinite."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            kind = "NaN" if tensor.isnan().any() else "an infinite value"
            raise UserError(f"{shown(source)}: the tensor '{name}' holds {kind}")


def require_tokens(tokenizer: Any, network: Any, folder: Path) -> None:
    """Raise `UserError` for a tokenizer without padding, or with a token that the network's
    embedding has no row for."""
    if tokenizer.pad_token_id is None:
        raise UserError(f"{shown(folder)}: the tokenizer has no padding token (pad_token)")
    rows = network.get_input_embeddings().num_embeddings
    token, number = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if number >= rows:
        embedding = next(
            name
            for name, module in network.named_modules()
            if module is network.get_input_embeddings()
        )
        raise UserError(
            f"{shown(folder)}: the tokenizer's '{token}' has the number {number}, and the tensor "
            f"'{embedding}.weight' has {rows} rows: they belong to different networks"
        )


def require_answer_tokens(config: Any, folder: Path) -> None:
    """Raise `UserError` for a text-to-text network whose configuration does not say how an answer
    starts, ends and is padded."""
    for key in ("decoder_start_token_id", "eos_token_id", "pad_token_id"):
        if getattr(config, key, None) is None:
            raise UserError(
                f"{shown(folder / 'config.json')}: {key} is missing, without which no answer can "
                "be generated"
            )


def require_cue(tokenizer: Any, cue: str, folder: Path) -> None:
    """Raise `UserError` if the tokenizer has no token that ends a text, by which an answer ends, or
    none for the `cue` after which it starts."""
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{shown(folder)}: the tokenizer has no token that ends a text (eos_token), without "
            "which no answer ends"
        )
    if not tokenizer(cue, add_special_tokens=False)["input_ids"]:
        raise UserError(
            f"{shown(folder)}: the tokenizer has no tokens for {cue!r}, which precedes an answer"
        )


def positions(network: Any) -> int | None:
    """The longest sequence that a text network knows the positions of: those that it has embeddings
    for, or where positions are rotated those that it was trained on; None if only distances
    count."""
    rotated = False
    for name, module in network.named_modules():
        rotated |= name.endswith(ROTATIONS)
        if isinstance(module, nn.Embedding) and name.endswith(POSITION_TABLES):
            # Networks with a padding position count from the one behind it.
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    return network.config.max_position_embeddings if rotated else None


ROTATIONS = "rotary_emb"
POSITIONS_OF_PATCHES = (
    "pos_embed", "embeddings.position_embeddings", "relative_position_bias_table",
)  # fmt: skip
POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions")


def interpolated(network: nn.Module, source: Path) -> str:
    """In words, that position embeddings are not those of the file but interpolated from them for
    images of another size; empty if they are the file's."""
    own = {
        tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if name.endswith(POSITIONS_OF_PATCHES)
    }
    if not own or not source.is_file():
        return ""
    with safe_open(source, framework="pt") as file:
        held = {
            tuple(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118
            if name.endswith(POSITIONS_OF_PATCHES)
        }
    if not held or own <= held:
        return ""
    return (
        f"the position embeddings, {_shapes(held - own)} in {shown(source)}, are interpolated to "
        f"{_shapes(own - held)} for images of this size"
    )


def _shapes(shapes: Collection[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in sorted(shapes))


def _left_out(name: str, prefix: str) -> bool:
    """Whether a tensor that transformers had no place for belongs to an output layer."""
    first, _, rest = name.removeprefix(prefix).partition(".")
    # The pooler is the one output layer that is part of the network itself.
    beside = not name.startswith(prefix) or first == "pooler"
    return bool(COUNTER.search(name)) or (bool(rest) and beside and first in HEADS)


def _listed(names: Collection[str]) -> str:
    first = sorted(names)[:SHOWN]
    more = len(names) - len(first)
    listed = ", ".join(f"'{name}'" for name in first)
    return f"{listed} and {more} more" if more else listed


def _others(names: Collection[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",") if size.strip())
