"""A network of timm without its classifier, from a checkpoint that holds it whole."""

from pathlib import Path
from typing import Any

from suite.backbones.whole import Differences, checkpoint_file


def whole_timm(folder: Path, **options: Any) -> Any:
    """The network without classifier in a folder that timm wrote, with timm's own conversion of
    older names and of position embeddings.

    The classifier's tensors may be there or not. Raises `UserError` if any other tensor is missing,
    has another shape or belongs to no part of the network.
    """
    import timm

    name = f"local-dir:{folder}"
    # Asked for another number of classes than the file has, timm loads whatever fits. With its own
    # number it is strict, so that what is not needed can only be the classifier.
    network: Any = timm.create_model(name, pretrained=False, num_classes=0, **options)
    needed = network.state_dict().keys()
    try:
        classifying = timm.create_model(name, pretrained=True, **options)
    except RuntimeError as error:
        found = Differences.told_by_torch(error)
        if found is None:
            raise
        found.only(needed).refuse(checkpoint_file(folder))
        return timm.create_model(name, pretrained=True, num_classes=0, **options)
    state = classifying.state_dict()
    network.load_state_dict({name: state[name] for name in needed})
    return network
