"""`env`: what a bug report needs."""

import argparse
import os
import platform
from importlib import metadata

from suite import __version__
from suite.console import out, out_json
from suite.planning.locate import data_folders
from suite.registry import load

_LIBRARIES = (
    "torch", "torchvision", "transformers", "timm", "triton", "datasets", "peft", "numpy",
    "pydantic", "safetensors", "huggingface_hub",
)  # fmt: skip
_VARIABLES = (
    "SUITE_DATA", "SUITE_REGISTRY", "HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME",
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
)  # fmt: skip


def show(options: argparse.Namespace) -> int:
    """Print versions, hardware and the settings that matter."""
    import torch

    cuda = torch.cuda.is_available()
    facts = {
        "suite": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        **{name: _version(name) for name in _LIBRARIES},
        **{name: os.environ.get(name, "not set") for name in _VARIABLES},
        "data": ", ".join(map(str, data_folders())) or "embedded only",
        "registries": ", ".join(map(str, load(options.registry).folders)),
    }
    if options.json:
        out_json(facts)
    else:
        width = max(map(len, facts))
        out("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))
    return 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
