"""The embedded world: generated examples, and small backbones pretrained on it.

The rest of the suite knows it by two things alone, as it would know a contributor's: the `Splits`
that a task's generator returns, and a backbone's entry (`catalog/`) with its weights (`weights/`).
No module imports this room; tasks do.
"""

from pathlib import Path

from suite.data.splits import Columns, Splits

__all__ = ["WEIGHTS", "Columns", "Splits"]

WEIGHTS = Path(__file__).parent / "weights"
"""Where the weights of the embedded backbones lie, a folder for each."""
