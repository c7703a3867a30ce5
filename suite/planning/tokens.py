"""What a definition is turned into: words, and symbols for the names that the source makes up."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["local", "place", "member", "parameter"]


class Symbol(NamedTuple):
    """A name that the source makes up.

    `local` to a function, the `place` of a definition, a `member` of some object (attribute,
    method, field, keyword), or a `parameter`: a member as well, if some call spells it.
    """

    kind: Kind
    name: object


class Line(NamedTuple):
    """A line of a table whose keys are of the type `domain`: it counts for cells of that key."""

    domain: str
    key: str
    tokens: tuple["Token", ...]


Token = str | Symbol | Line

_MODULE_NAMES = """
T_destination _apply _buffers _call_impl _compiled_call_impl _get_backward_hooks
_get_backward_pre_hooks _get_name _load_from_state_dict _maybe_warn_non_full_backward_hook
_modules _named_members _parameters _register_load_state_dict_pre_hook _register_state_dict_hook
_replicate_for_data_parallel _save_to_state_dict _slow_forward _version _wrapped_call_impl
add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu
load_state_dict modules mtia named_buffers named_children named_modules named_parameters
parameters register_backward_hook register_buffer register_forward_hook
register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
zero_grad
"""
MODULE_NAMES = frozenset(_MODULE_NAMES.split())
"""The names of `torch.nn.Module`: a method under one of them is called by torch."""


@dataclass
class Stream:
    """The tokens of a definition, and what its names say about those of others."""

    tokens: list[Token] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    """Members that the source makes up."""
    public: set[str] = field(default_factory=set)
    """Members that somebody else looks up by name: a library, a delta, or a string."""
    spelled: set[str] = field(default_factory=set)
    """Members that calls spell as keywords."""
    parameters: set[str] = field(default_factory=set)
    """What calls could spell."""


@dataclass(frozen=True)
class Bases:
    """What a class has among its bases, all the way up, beside classes of the source."""

    module: bool = False
    """`torch.nn.Module`: its methods may be called by torch, its attributes name a delta's
    tensors."""
    foreign: bool = False
    """Others, any of whose names may be overridden."""

    def __or__(self, other: "Bases") -> "Bases":
        return Bases(self.module or other.module, self.foreign or other.foreign)


def joined(tokens: Iterable[Token]) -> list[Token]:
    """The same tokens, neighbouring words as one."""
    found: list[Token] = []
    for token in tokens:
        if found and isinstance(token, str) and isinstance(found[-1], str):
            found[-1] += f"\0{token}"
        else:
            found.append(token)
    return found


def shape(tokens: Iterable[Token]) -> str:
    """A digest of tokens by themselves, symbols numbered as they appear."""
    numbers: dict[Symbol, int] = {}
    texts = [
        f"#{numbers.setdefault(token, len(numbers))}" if isinstance(token, Symbol) else repr(token)
        for token in tokens
    ]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
