"""What a family of networks tells the engine: how to load one, its sites, where tokens go.

A family is a class in a file of `suite.backbones.families`, which no other file lists. Its class
attributes are written out, so that planning can read them without importing the file
(`suite.registry.families`).
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from suite.backbones.sites import Network, Site
from suite.backbones.tokens import TokenSequence
from suite.errors import Unsupported, UserError
from suite.registry.families import PACKAGE, Form, families
from suite.registry.schema import BackboneEntry, SiteKind


class Family(ABC):
    """Base of all families; used as a class, never as an object.

    `form` is what a backbone does unless its entry asks for one of `other_forms`. `kinds` are the
    kinds of sites that every network of the family has, `timm` globs of architectures and
    `transformers` model types that belong to it, `pooling` how a text's features are pooled where
    the backbone's entry does not say it.
    """

    form: ClassVar[Form]
    other_forms: ClassVar[tuple[Form, ...]] = ()
    kinds: ClassVar[tuple[SiteKind, ...]]
    timm: ClassVar[tuple[str, ...]] = ()
    transformers: ClassVar[tuple[str, ...]] = ()
    pooling: ClassVar[Literal["mean", "cls", "last"]] = "mean"

    @classmethod
    @abstractmethod
    def sites(cls, network: Network) -> tuple[Site, ...]:
        """The adaptation sites of a network, in its order."""

    @classmethod
    def sequence(cls, network: Network) -> TokenSequence:
        """The one sequence into which tokens can be inserted."""
        raise Unsupported(
            f"tokens cannot be inserted into a network of the class {_class(network)}"
        )

    @classmethod
    def relative_positions(cls, network: Network, stack: str) -> nn.Module | None:
        """The layer that knows the relative positions of all layers of a stack, if there is one."""
        return None

    @classmethod
    def prepared(cls, network: Network) -> Network:
        """The loaded network in a form whose layers are all called as modules, with equal
        outputs."""
        return network


class ImageFamily(Family):
    """Images to features, of timm, in the small forms of `suite.backbones.cifar`, or of
    transformers in the form of timm."""

    form: ClassVar[Form] = "image"
    classes: ClassVar[tuple[str, ...]]
    """Names of timm's classes of which a network must be one: names of architectures can lie."""

    @classmethod
    def timm_arguments(cls, entry: BackboneEntry) -> dict[str, Any]:
        """What timm must know beyond the configuration that lies beside the weights."""
        return {}

    @classmethod
    def small(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """The family's form for small images; raises UserError if it has none."""
        raise UserError(f"there is no small form of {cls.__name__} in the library 'cifar'")

    @classmethod
    def of_transformers(cls, entry: BackboneEntry, folder: Path) -> Network:
        """The network in a folder of transformers, in the form of timm; raises UserError if its
        files are not whole or the family has no such form."""
        raise UserError(f"{cls.__name__} is read from the files of timm, not of transformers")


class TextFamily(Family):
    """Texts to features, a network of transformers."""

    form: ClassVar[Form] = "text"
    pooler: ClassVar[bool] = False
    """Whether the library's class makes a pooling layer, which nothing reads here, unless told."""

    @classmethod
    def pretrained(
        cls, folder: Path, form: Form, options: Mapping[str, Any]
    ) -> tuple[Network, Mapping[str, Any]]:
        """The network of a form in a folder, without a layer that only its pretraining read, and
        what the library tells about loading it."""
        from transformers import AutoModel

        without = {"add_pooling_layer": False} if cls.pooler else {}
        return AutoModel.from_pretrained(folder, **without, **options)

    @classmethod
    def inputs(cls, network: Network) -> Collection[str]:
        """What a tokenizer may give that the network takes: all that its call names."""
        return signature(network.forward).parameters

    @classmethod
    def width(cls, network: Network) -> int:
        """Of the features."""
        return network.config.hidden_size

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """Token ids [n] to what enters the first layer for texts of one token: [n, width]."""
        return network.get_input_embeddings()(ids)


def family_class(name: str) -> type[Family]:
    """The class of a family by its name."""
    found = getattr(import_module(f"{PACKAGE}.{name}"), families()[name].class_name)
    assert issubclass(found, Family)
    return found


def _class(network: nn.Module) -> str:
    return type(network).__name__
