"""The embedded world: generated examples, and small backbones pretrained on it.

The rest of the suite reaches it in only two ways, the same as for a contributor's tasks and
backbones: by the `Splits` that a task's generator returns, and by a backbone's entry (`catalog/`)
with its weights (`weights/`). Tasks import this package; no module of the suite does.
"""

from pathlib import Path

from suite.data.splits import Columns, Splits

__all__ = ["WEIGHTS", "Columns", "Splits"]

WEIGHTS = Path(__file__).parent / "weights"
"""Where the weights of the embedded backbones lie, a folder for each."""
