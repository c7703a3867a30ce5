"""A cell's model, written to a folder of its own."""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor, nn

from suite.backbones.base import TextBackbone
from suite.console import shown
from suite.errors import UserError
from suite.export import adapter, folding, program
from suite.export.card import card
from suite.export.loading import BACKBONE, HEAD, WEIGHTS, Form, code, is_carried, is_known_outside
from suite.export.subject import NotHeld, Subject
from suite.planning.locate import MODEL_FILES, model_folder
from suite.registry import Registry

Target = Literal["peft", "torch"]


def export(subject: Subject, target: Target, folder: Path, out: Path, registry: Registry) -> Form:
    """Write the model for other programs, and the page that says how they use it; in which form.

    `peft` is an adapter for the frozen backbone; `torch` the backbone's own network with other
    weights where there are such, else a traced program. `out` is the output folder that has the
    cell's result. The folder appears when it is complete. Raises `UserError` if it exists, and
    `NotHeld` if the form cannot hold the model.
    """
    if folder.exists():
        raise UserError(f"-o {shown(folder)}: exists already; delete it or name another folder")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        with warnings.catch_warnings():
            # Of projections that peft draws from a seed, and of how torch packs a program: what was
            # written is compared with the model.
            for library in ("peft", "torch.export"):
                warnings.filterwarnings("ignore", "", UserWarning, rf"{re.escape(library)}\.")
            form, difference, traced = _write(subject, target, part)
        page = card(subject, form, code(subject, form, traced), difference, out, registry)
        (part / "README.md").write_text(page)
        part.rename(folder)
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return form


def _write(
    subject: Subject, target: Target, folder: Path
) -> tuple[Form, float, program.Program | None]:
    if isinstance(subject.pristine, TextBackbone):
        subject.pristine.tokenizer.save_pretrained(folder)
    known = is_known_outside(subject.pristine)
    if target == "peft":
        if not known:
            raise NotHeld(
                f"{subject.pristine.entry.name} is no network that another library builds, so that "
                "peft cannot put an adapter on it; --to torch writes it as a program"
            )
        _write_adapter(subject, folder)
        return "peft", adapter.check(subject, folder), None
    found = folding.folded(subject) if known else None
    if found is None:
        traced = program.write_program(subject, folder)
        return "program", traced.difference, traced
    network, difference = found
    _write_head(subject, folder)
    _write_network(subject, network, folder)
    return "weights", difference, None


def _write_adapter(subject: Subject, folder: Path) -> None:
    entry = subject.pristine.entry
    base = entry.source.id
    found = adapter.adapter_of(subject)
    if is_carried(entry):
        base = BACKBONE
        (folder / BACKBONE).mkdir()
        for file in model_folder(entry).iterdir():
            if file.name.endswith(MODEL_FILES):
                shutil.copy(file, folder / BACKBONE / file.name)
    found.write(folder, base, entry.source.revision)
    _write_head(subject, folder)


def _write_head(subject: Subject, folder: Path) -> None:
    if subject.head is not None:
        _save(subject.head.state_dict(), folder / HEAD)


def _write_network(subject: Subject, network: Any, folder: Path) -> None:
    entry = subject.pristine.entry
    if entry.modality == "text":
        network.save_pretrained(folder)
        return
    assert isinstance(network, nn.Module)
    _save(network.state_dict(), folder / WEIGHTS)
    if entry.source.library == "timm":
        # What timm builds the network by.
        shutil.copy(model_folder(entry) / "config.json", folder / "config.json")


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, {"format": "pt"})
