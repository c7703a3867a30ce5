"""The two scales, and what differs between them."""

from enum import StrEnum


class Scale(StrEnum):
    """Where data and backbones come from. In files and on the command line a scale is its name."""

    MINI = "mini"
    FULL = "full"

    @property
    def embedded(self) -> bool:
        """Examples are generated and weights ship beside the entries: there is nothing to fetch."""
        return self is Scale.MINI

    @property
    def one_core_per_cell(self) -> bool:
        """Networks are too small to share a step between cores; each core runs its own cell."""
        return self is Scale.MINI

    @property
    def introduction(self) -> str:
        """What a user must know of results at this scale; empty if they are what they seem."""
        if self is Scale.FULL:
            return ""
        return (
            "mini scale: embedded backbones and tasks, minutes on a CPU. "
            "For real data and weights add: --scale full"
        )

    @property
    def argument(self) -> str:
        """How the command line asks for it: nothing for the default."""
        return "" if self is Scale.MINI else f" --scale {self}"
