"""What the answers of generated examples must be before anything is trained on them."""

import torch

from suite.console import shown
from suite.data.encode import EncodedTask
from suite.errors import UserError
from suite.registry.schema import Regression


def require_answers(encoded: EncodedTask) -> None:
    """Raise `UserError` for a split without examples, with an answer that the task does not allow,
    or with the same answer everywhere: files are held to that where they are read."""
    output = encoded.task.output
    for split in ("train", "validation", "test"):
        targets = getattr(encoded, split).targets
        where = f"{shown(encoded.task.path)}: the {split} split"
        if not len(targets):
            raise UserError(f"{where} has no examples")
        if (targets == targets[0]).all():
            raise UserError(f"{where} has one answer to all of its {len(targets)} examples")
        if isinstance(output, Regression):
            low, high = output.minimum, output.maximum
        else:
            low, high = 0, len(output.labels) - 1 if output.type == "classification" else 1
        # Not a number is neither.
        inside = (targets >= low) & (targets <= high)
        if not inside.all():
            row = int(torch.nonzero(~inside.reshape(len(inside), -1).all(1))[0])
            raise UserError(
                f"{where}, example {row} from 0: the answer {targets[row].tolist()} is outside "
                f"{low:g} to {high:g}; see: python -m suite check {encoded.task.track}/"
                f"{encoded.task.name}"
            )
