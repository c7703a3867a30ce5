"""A frozen network and what methods may do to it."""

import copy
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from suite.backbones.family import TextFamily, family_class
from suite.backbones.parallel_insert import Parallel, SublayerInput
from suite.backbones.per_task import PerTask, TaskContext
from suite.backbones.prefixes import PrefixedAttention
from suite.backbones.sites import Site, block_names
from suite.backbones.tokens import TokenSequence
from suite.errors import Unsupported
from suite.registry.schema import BackboneEntry, SiteKind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Form = TypeVar("Form", bound=nn.Module)
FREQUENT = 5_000
"""Tokens of the vocabulary from which new ones start, the common ones (Lester et al. 2021)."""


class Backbone(nn.Module):
    """A frozen pretrained network with its adaptation sites.

    A method receives a copy of its own (`fresh`) and adapts that in place: `insert` a module at a
    site or `insert_parallel` to it, `insert_tokens` into a sequence, `insert_prefix` before keys
    and values, `replace` a module, `unfreeze` it, or give every task its own copy with
    `specialise`.
    Frozen batch norms stay in evaluation mode, so their statistics never move.
    """

    def __init__(self, entry: BackboneEntry, network: nn.Module, width: int) -> None:
        super().__init__()
        self.entry = entry
        self.network = network.requires_grad_(False)
        self.width = width
        self.kind = family_class(entry.family)
        self.sites = self.kind.sites(network)
        self.block_names = block_names(self.sites)
        self.sequence: TokenSequence | None = None
        """Where tokens were inserted, if any were."""
        self.note = ""
        """What a reader must know about its weights."""
        self._mark_originals()

    def _mark_originals(self) -> None:
        tensors = [*self.network.named_parameters(), *self.network.named_buffers()]
        # Tensors hash by identity, so that equal values do not make two of them one key.
        self.originals: dict[Tensor, str] = {tensor: name for name, tensor in tensors}

    def fresh(self) -> "Backbone":
        """An independent copy for one cell."""
        clone = copy.deepcopy(self)
        clone._mark_originals()
        return clone

    @property
    def family(self) -> str:
        """Which family of networks this is, by its name."""
        return self.entry.family

    def parameter_count(self) -> int:
        """P: the network's parameters (tied ones once), without any task head."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def of_kind(self, *kinds: SiteKind) -> list[Site]:
        """The sites of these kinds, in the network's order."""
        return [site for site in self.sites if site.kind in kinds]

    @property
    def position_embeddings(self) -> tuple[nn.Parameter, ...]:
        """The position embeddings that are a layer of their own [1, tokens, width]: a ViT's."""
        embedding = getattr(self.network, "pos_embed", None)
        return () if embedding is None else (embedding,)

    @property
    def featurizer(self) -> nn.Module:
        """What gives the features that heads read [B, width], or that the output layer of a network
        that writes reads at an answer's tokens: [B, M, width], or the first item of what it gives.
        """
        return self

    @property
    def blocks(self) -> int:
        """How many blocks the network has, all stacks together."""
        return 1 + max(site.depth for site in self.sites)

    def depth_of(self, name: str) -> int:
        """The depth of the block in which a tensor of the network lies by its dotted name, be it at
        a site or not; -1 outside the blocks."""
        depths = (at for block, at in self.block_names.items() if name.startswith(f"{block}."))
        return next(depths, -1)

    def module(self, site: Site) -> nn.Module:
        """The module at a site, as it is now."""
        return self.network.get_submodule(site.name)

    def layer(self, site: Site, form: type[Form]) -> Form:
        """The module at a site that is a layer of this form; raises TypeError if it is another."""
        module = self.module(site)
        if not isinstance(module, form):
            raise TypeError(f"{site.name} is a {type(module).__name__}, no {form.__name__}")
        return module

    def replace(self, site: Site, module: nn.Module) -> None:
        """Put `module` in the place of the one at `site`."""
        self.network.set_submodule(site.name, module)

    def insert(self, site: Site, module: nn.Module) -> None:
        """Let the output of the sublayer at `site` pass through `module` before it joins the
        residual: [..., width] to the same shape, in a ResNet or DenseNet [B, width, H, W]."""
        original = self.module(site)
        order = (module, original) if site.insert_before else (original, module)
        self.replace(site, nn.Sequential(*order))

    def insert_parallel(
        self,
        site: Site,
        module: nn.Module,
        before_norm: bool = False,
        reader: Site | None = None,
    ) -> None:
        """Add `module(x)` to the output of the `attention`, `feed_forward` or `conv` site, or to
        what the layer at the later site `reader` reads.

        x is what the sublayer itself reads: in a pre-norm network the normalised input, or with
        `before_norm` the input as it enters the residual branch. Modules at the entry of the
        sublayer must not be replaced afterwards.
        """
        entry = (before_norm and site.entry_norm) or site.entry
        if not entry:
            raise ValueError(f"the {site.kind} site {site.name} has no input of its own")
        source = SublayerInput()
        self.network.get_submodule(entry).register_forward_pre_hook(source, with_kwargs=True)
        joins_at = replace(reader, insert_before=True) if reader else site
        self.insert(joins_at, Parallel(module, source))

    def insert_tokens(self, site: Site, module: nn.Module) -> None:
        """Put the tokens that `module` gives into the sequence that enters the block at the
        `tokens` site: [B, L, width], as it is without inserted tokens, to [B, n, width].

        They stand in front, but after a class token, in the place of those from an earlier site,
        and stay until the next one or the end of the stack. Nothing else of the network sees them,
        except for the decoder of a T5, which reads them like other tokens of the source. Real
        tokens keep their positions, and attention masks fit. For more than one module of tokens
        at a site raises ValueError.
        """
        _require(site, "tokens")
        if self.sequence is None:
            self.sequence = self.kind.sequence(self.network)
        self.sequence.insert(self.module(site), module)

    def insert_prefix(self, site: Site, module: nn.Module) -> None:
        """Let the attention layer at the `keys` site attend to n keys and values before its own.

        `module` maps the layer's input [B, L, width of the network] to [B, 2, n, site.width], the
        keys first. In a T5 the prefix stands at the positions before the sequence. For more than
        one module at a site raises ValueError.
        """
        _require(site, "keys")
        positions = None
        if site.part == "self":
            positions = self.kind.relative_positions(self.network, site.stack)
        PrefixedAttention(self.module(site), module, positions)

    def token_vectors(self, count: int) -> Tensor:
        """What enters the first layer for `count` tokens drawn at random, [count, width], e.g. to
        start prompts from; raises `Unsupported` if the network has no such vocabulary."""
        raise Unsupported(f"{self.family} reads no tokens of a vocabulary")

    def unfreeze(self, sites: Iterable[Site]) -> None:
        """Train the parameters at these sites in place (shared by all tasks of the cell)."""
        for site in sites:
            self.module(site).requires_grad_(True)

    def specialise(self, sites: Iterable[Site], context: TaskContext) -> None:
        """Give every task its own trainable copy of the modules at these sites."""
        for site in sites:
            copies = PerTask.copies(context, self.module(site), head=site.kind == "head")
            self.replace(site, copies)

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode, except for the frozen parts: a network of which nothing trains, and batch
        norms whose affine parameters do not train."""
        super().train(mode and any(p.requires_grad for p in self.parameters()))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(self.training and any(p.requires_grad for p in module.parameters()))
        return self


def _require(site: Site, kind: SiteKind) -> None:
    """Raise ValueError for a site of another kind."""
    if site.kind != kind:
        raise ValueError(f"{site.name} is a site of the kind {site.kind}, not {kind}")


class VisionBackbone(Backbone):
    """Images to pooled features."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """`image` [B, 3, H, W], normalised -> features [B, width]."""
        return self.network(inputs["image"])


class TextBackbone(Backbone):
    """A network that reads tokens, and the tokenizer that makes them."""

    network: Any  # a model of transformers, whose calls and outputs have no type in common

    def __init__(
        self,
        entry: BackboneEntry,
        network: nn.Module,
        width: int,
        tokenizer: "PreTrainedTokenizerBase",
    ) -> None:
        super().__init__(entry, network, width)
        self.tokenizer = tokenizer

    def token_vectors(self, count: int) -> Tensor:
        """The vectors of tokens drawn from the first 5,000 of the vocabulary, no token twice."""
        embedding = self.network.get_input_embeddings()
        known = min(embedding.num_embeddings, FREQUENT)
        if count > known:
            raise Unsupported(f"{count} tokens cannot be drawn from a vocabulary of {known}")
        ids = torch.randperm(known, device=embedding.weight.device)[:count]
        with torch.no_grad():
            return self.embedded(ids)

    def embedded(self, ids: Tensor) -> Tensor:
        """Token ids [n] to what enters the first layer for texts of one token: [n, width]."""
        assert issubclass(self.kind, TextFamily)
        return self.kind.embedded(self.network, ids)


class EncoderBackbone(TextBackbone):
    """Token ids to one pooled vector per text (or text pair)."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """`input_ids`, `attention_mask` (and `token_type_ids`) [B, L] -> features [B, width]."""
        hidden = self.network(**inputs).last_hidden_state
        if self.entry.pooling == "cls":
            return hidden[:, 0]
        if self.entry.pooling == "last":
            # Padding is on the right.
            last = inputs["attention_mask"].sum(1) - 1
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)


class TextToTextBackbone(TextBackbone):
    """A network that reads a source text and writes the answer."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Source `input_ids`, `attention_mask` [B, L] and target ids [B, M] (teacher forcing, -100
        is padding) -> logits [B, M, vocabulary]."""

    @abstractmethod
    def generate(self, inputs: Mapping[str, Tensor], length: int) -> Tensor:
        """Greedy answers of at most `length` tokens: ids [B, <= length + 1], among them perhaps
        tokens that start, end and pad a text."""

    @abstractmethod
    def tokens_of(self, answers: Sequence[str]) -> Tensor:
        """Answers as target ids [N, M] with the token that ends them; -100 is padding."""

    def beside_source(self, answer: int) -> int:
        """How many positions of the source's sequence an answer of so many tokens takes."""
        return 0
