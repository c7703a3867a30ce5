"""ELECTRA: BERT's blocks behind embeddings that may be narrower."""

from typing import ClassVar

from torch import Tensor

from suite.backbones.families.bert import Bert
from suite.backbones.sites import Network


class Electra(Bert):
    """Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
    Generators", ICLR 2020, arXiv 2003.10555."""

    transformers: ClassVar[tuple[str, ...]] = ("electra",)
    pooler = False

    @classmethod
    def embedded(cls, network: Network, ids: Tensor) -> Tensor:
        """As in BERT, brought to the width of the blocks."""
        embedded = super().embedded(network, ids)
        project = getattr(network, "embeddings_project", None)
        return embedded if project is None else project(embedded)
