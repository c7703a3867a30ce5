"""Whether the sites of a backbone are what they claim, seen in one pass of random examples.

A site that a network does not call can be replaced or followed by a module without any effect: what
a method stores there would be charged and do nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from suite.backbones.base import Backbone, TextBackbone, TextToTextBackbone
from suite.backbones.sites import Site
from suite.backbones.whole import positions

ROWS, TOKENS, ANSWER = 2, 8, 3
"""Examples, tokens of a text, tokens of an answer."""


@dataclass(frozen=True)
class Examples:
    """Random inputs that a backbone reads, and for a text-to-text one answers as tokens."""

    inputs: Mapping[str, Tensor]
    answers: Tensor | None


def random_examples(backbone: Backbone, rows: int = ROWS) -> Examples:
    """Noise as images, or tokens as texts of two lengths; the same at every call."""
    draw = torch.Generator().manual_seed(0)
    if not isinstance(backbone, TextBackbone):
        size = backbone.entry.image_size
        assert size is not None, "every image backbone says its image size"
        return Examples({"image": torch.randn(rows, 3, size, size, generator=draw)}, None)
    vocabulary = backbone.network.get_input_embeddings().num_embeddings
    padding = getattr(backbone.network.config, "pad_token_id", None)
    known = torch.tensor([token for token in range(vocabulary) if token != padding])
    tokens = min(TOKENS, positions(backbone.network) or TOKENS)

    def ids(length: int) -> Tensor:
        return known[torch.randint(len(known), (rows, length), generator=draw)]

    mask = torch.ones(rows, tokens, dtype=torch.int64)
    mask[0, tokens // 2 :] = 0
    inputs = {"input_ids": ids(tokens), "attention_mask": mask}
    if padding is not None:
        inputs["input_ids"] = inputs["input_ids"].masked_fill(mask == 0, padding)
    answers = ids(ANSWER) if isinstance(backbone, TextToTextBackbone) else None
    return Examples(inputs, answers)


def answer(backbone: Backbone, examples: Examples) -> Tensor:
    """Features [B, width], or logits [B, M, vocabulary] of a text-to-text backbone."""
    if isinstance(backbone, TextToTextBackbone):
        assert examples.answers is not None
        return backbone(examples.inputs, examples.answers)
    return backbone(examples.inputs)


def site_faults(backbone: Backbone) -> Iterator[str]:
    """What is wrong with the sites, in words: they do not exist, are not called, or have another
    width; and that the network gives numbers that are not finite."""
    modules = dict(backbone.network.named_modules())
    absent = [
        f"there is no {name}, which a site of the kind {site.kind} names"
        for site in backbone.sites
        for name in (site.name, site.entry, site.entry_norm)
        if name and name not in modules
    ]
    yield from absent
    if absent:
        return
    passed: dict[str, tuple[Any, Any]] = {}
    names = {
        name for site in backbone.sites for name in (site.name, site.entry, site.entry_norm) if name
    }

    def watch(name: str) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            passed[name] = (_tensor([*args, *kwargs.values()]), _tensor(output))

        return modules[name].register_forward_hook(note, with_kwargs=True)

    hooks = [watch(name) for name in sorted(names)]
    try:
        with torch.no_grad():
            answers = answer(backbone, random_examples(backbone))
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a network raises that is not made for such inputs, or for these sites.
        reason = " ".join(str(error).split())[:200]
        yield f"the network fails on random examples: {type(error).__name__}: {reason}"
        return
    finally:
        for hook in hooks:
            hook.remove()
    for site in backbone.sites:
        called = [name for name in (site.name, site.entry, site.entry_norm) if name]
        for name in dict.fromkeys(called):
            if name not in passed:
                yield (
                    f"{name}, a site of the kind {site.kind}, is never called: the network reads "
                    "its weight instead, or does not use it, and what a method puts there would "
                    "have no effect"
                )
        if site.name in passed:
            yield from _of_width(site, passed[site.name])
        if site.entry and site.entry_norm and passed.keys() >= {site.entry, site.entry_norm}:
            given, normed = passed[site.entry][0], passed[site.entry_norm][1]
            if given.shape != normed.shape or not torch.equal(given, normed):
                yield (
                    f"{site.entry}, where the {site.kind} sublayer of {site.name} begins, does not "
                    f"read what the norm {site.entry_norm} gives"
                )
    if not torch.isfinite(answers).all():
        yield "for random examples the network gives numbers that are not finite"
    elif answers.ndim == 2 and answers.shape[1] != backbone.width:
        yield f"the network gives {answers.shape[1]} features, not {backbone.width}"


def _of_width(site: Site, passed: tuple[Any, Any]) -> Iterator[str]:
    # The width of keys is that of all heads, which is not what the attention gives.
    if site.kind == "keys":
        return
    given, output = passed
    seen = given if site.insert_before or site.kind == "tokens" else output
    if not isinstance(seen, Tensor):
        yield f"{site.name}, a site of the kind {site.kind}, passes no tensor on"
        return
    # Images have their channels first, but for a few networks.
    widths = {seen.shape[-1], seen.shape[1]} if seen.ndim == 4 else {seen.shape[-1]}
    if site.width not in widths:
        yield (
            f"{site.name}, a site of the kind {site.kind}, has the shape {list(seen.shape)}, and "
            f"not the width {site.width}"
        )


def _tensor(values: Any) -> Any:
    """The first tensor of what a module is given or gives."""
    if isinstance(values, Sequence):
        return next((value for value in values if isinstance(value, Tensor)), None)
    return values
