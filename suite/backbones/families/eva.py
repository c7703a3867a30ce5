"""EVA, and the vision transformers whose positions are rotated."""

from typing import ClassVar

from suite.backbones.families.beit import Beit


class Eva(Beit):
    """Fang et al., "EVA-02: A Visual Representation for Neon Genesis", arXiv 2303.11331."""

    timm: ClassVar[tuple[str, ...]] = (
        "eva_*",
        "eva02_*",
        "vit_*_rope_*",
        "vit_*_dinov3*",
        "vit_pe_*",
        "vit_*_sapiens2",
        "vit_*_lingbot",
    )
    classes: ClassVar[tuple[str, ...]] = ("Eva",)
