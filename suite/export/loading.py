"""The Python code that uses an exported model with torch, transformers, timm and peft alone."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from suite.backbones import generation
from suite.backbones.base import Backbone, EncoderBackbone
from suite.backbones.family import Family, TextFamily
from suite.backbones.writers import DecoderBackbone, EncoderDecoderBackbone
from suite.export.program import FILE, MULTIPLE, Program
from suite.export.subject import Subject, writes_text
from suite.export.writing import continued, greedy, inputs_of
from suite.registry.schema import (
    BackboneEntry,
    Classification,
    MultiLabel,
    Regression,
    TaskEntry,
)

Form = Literal["peft", "weights", "program"]
"""An adapter of peft, the backbone's own network with other weights, or a traced program."""
BACKBONE = "backbone"
"""The folder with the frozen backbone, if it has no place of its own on the hub."""
HEAD = "head.safetensors"
WEIGHTS = "model.safetensors"
TOKENS = ("decoder_start", "bos", "eos", "pad")
PIXELS = (
    "def pixels(image):",
    '    """The shorter side is resized to `size`, and the central square taken."""',
    "    image = ImageOps.exif_transpose(image)",
    '    if image.mode.startswith("I;16"):',
    "        image = Image.fromarray((np.array(image) / 257).round().astype(np.uint8))",
    '    if {"A", "a"} & {*image.getbands()} or "transparency" in image.info:',
    '        image = image.convert("RGBA")',
    '        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)',
    "    scale = size / min(image.size)",
    "    width, height = (max(size, round(side * scale)) for side in image.size)",
    "    left, top = (width - size) // 2, (height - size) // 2",
    '    image = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)',
    "    image = image.crop((left, top, left + size, top + size))",
    "    values = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255",
    "    return (values - mean) / std",
    "",
)
"""The function that makes of an image what the network was scored on (`suite.data.pictures`)."""


def is_known_outside(backbone: Backbone) -> bool:
    """Whether another library builds the network, of the same layers under the same names."""
    network, library = backbone.network, backbone.entry.source.library
    if library == "cifar":
        from timm.models.vision_transformer import VisionTransformer

        return isinstance(network, VisionTransformer)
    if library == "timm":
        # The base leaves networks as they are; a family may put other layers in.
        return backbone.kind.prepared.__func__ is Family.prepared.__func__  # type: ignore[attr-defined]
    if backbone.entry.modality == "image":
        return False  # It was brought into the form of another library.
    make: Any = type(network)
    with torch.device("meta"):
        plain = dict(make(network.config).named_modules())
    return all(type(plain.get(name)) is type(layer) for name, layer in network.named_modules())


def is_carried(entry: BackboneEntry) -> bool:
    """Whether an adapter takes its frozen backbone along: it has no place of its own on the hub."""
    return entry.scale.embedded or entry.source.local_only


def code(subject: Subject, form: Form, program: Program | None = None) -> str:
    """A module that defines `predict`; and `logits`, unless the network writes its answer."""
    makers = _Text if subject.task.text else _Image
    return makers(subject, form, program).text()


@dataclass
class _Image:
    """The code for a network that reads images."""

    subject: Subject
    form: Form
    program: Program | None

    @property
    def entry(self) -> BackboneEntry:
        return self.subject.pristine.entry

    @property
    def task(self) -> TaskEntry:
        return self.subject.task

    def text(self) -> str:
        imports = sorted({*self.imports(), *self._common_imports()}, key=_module)
        plain = [line for line in imports if line.startswith("import ")]
        named = [line for line in imports if not line.startswith("import ")]
        return "\n".join(
            [
                *plain,
                *named,
                "",
                'folder = "."  # the one that holds this page',
                *self.network(),
                *self.constants(),
                "",
                "",
                *self.functions(),
            ]
        )

    def _common_imports(self) -> list[str]:
        found = ["import torch"]
        if self.form == "peft":
            found.append("from peft import PeftModel")
        if self.form != "program" and (self.subject.head or self.entry.source.library == "cifar"):
            found.append("from safetensors.torch import load_file")
        return found

    def imports(self) -> list[str]:
        found = ["import numpy as np", "from PIL import Image, ImageOps"]
        if self.form != "program":
            vit = self.entry.source.library == "cifar"
            module = "from timm.models.vision_transformer import VisionTransformer"
            found.append(module if vit else "import timm")
        return found

    def network(self) -> list[str]:
        if self.form == "program":
            return _loaded_program()
        place = f"{BACKBONE}/{WEIGHTS}" if self.form == "peft" else WEIGHTS
        source = self.entry.source
        if source.library == "cifar":
            options = dict(source.arguments)
            lines = [
                "network = VisionTransformer(",
                f"    img_size={options['image_size']}, patch_size={options['patch_size']},",
                f"    embed_dim={options['width']}, depth={options['depth']},",
                f"    num_heads={options['heads']}, num_classes=0, class_token=False,",
                '    global_pool="avg",',
                ")",
                f'network.load_state_dict(load_file(f"{{folder}}/{place}"))',
            ]
        else:
            revision = f"@{source.revision}" if source.revision else ""
            name = f'"hf-hub:{source.id}{revision}"'
            if self.form != "peft":
                name = 'f"local-dir:{folder}"'
            elif is_carried(self.entry):
                name = f'f"local-dir:{{folder}}/{BACKBONE}"'
            arguments = self.subject.pristine.kind.timm_arguments(self.entry)  # type: ignore[attr-defined]
            more = "".join(f", {key}={value!r}" for key, value in arguments.items())
            lines = [f"network = timm.create_model({name}, pretrained=True, num_classes=0{more})"]
        return [*lines, *self._adapter()]

    def _adapter(self) -> list[str]:
        lines = ["network = network.eval()"]
        if self.form == "peft":
            lines = ["network = PeftModel.from_pretrained(network, folder).eval()"]
        if self.subject.head is not None:
            lines.append(f'head = load_file(f"{{folder}}/{HEAD}")')
        return lines

    def constants(self) -> list[str]:
        return [
            *self._labels(),
            f"size = {self.entry.image_size}",
            f"mean = torch.tensor({list(self.entry.mean or ())})[:, None, None]",
            f"std = torch.tensor({list(self.entry.std or ())})[:, None, None]",
        ]

    def _labels(self) -> list[str]:
        output = self.task.output
        if isinstance(output, Regression):
            return [f"low, high = {output.minimum}, {output.maximum}"]
        return [f"labels = {list(output.labels)}"]

    def functions(self) -> list[str]:
        return [
            *PIXELS,
            "",
            "",
            "@torch.no_grad()",
            "def logits(images):",
            "    batch = torch.stack([pixels(image) for image in images])",
            *self._outputs(["batch"], ["features = network(batch)"]),
            "",
            "",
            *self._predict("images", "logits(images)"),
        ]

    def _outputs(self, inputs: list[str], features: list[str]) -> list[str]:
        """From inputs to logits; `features` are the lines that run a network without its head."""
        if self.form != "program":
            lines = [*features, "return torch.nn.functional.linear(features, **head)"]
        elif self.program is not None and self.program.one_by_one:
            lines = [
                f"rows = zip(*(tensor.split(1) for tensor in ({', '.join(inputs)},)))",
                "return torch.cat([program(*row) for row in rows])",
            ]
        else:
            lines = [f"return program({', '.join(inputs)})"]
        return [f"    {line}" for line in lines]

    def _predict(self, parameters: str, outputs: str) -> list[str]:
        if isinstance(self.task.output, Classification):
            answer = f"[labels[index] for index in {outputs}.argmax(-1)]"
        elif isinstance(self.task.output, MultiLabel):
            given = "[label for label, odds in zip(labels, row) if odds > 0]"
            answer = f"[{given} for row in {outputs}]"
        else:
            answer = f"({outputs}[:, 0] * (high - low) + low).clamp(low, high).tolist()"
        return [f"def predict({parameters}):", f"    return {answer}"]


class _Text(_Image):
    """The code for a network that reads texts, and for one that writes its answer as well."""

    def imports(self) -> list[str]:
        if self.form == "program":
            return ["from transformers import AutoTokenizer"]
        more = ", GenerationConfig" if writes_text(self.subject) else ""
        return [f"from transformers import {self._class}, AutoTokenizer{more}"]

    @property
    def _class(self) -> str:
        match self.subject.pristine:
            case EncoderDecoderBackbone():
                return "AutoModelForSeq2SeqLM"
            case DecoderBackbone():
                return "AutoModelForCausalLM"
        return "AutoModel"

    def network(self) -> list[str]:
        first = ['tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")']
        if self.form == "program":
            return [*first, *_loaded_program()]
        source = self.entry.source
        place = "folder"
        if self.form == "peft":
            place = f'f"{{folder}}/{BACKBONE}"' if is_carried(self.entry) else f'"{source.id}"'
            place += f', revision="{source.revision}"' if source.revision else ""
        kind = self.subject.pristine.kind
        assert issubclass(kind, TextFamily)
        more = ", add_pooling_layer=False" if kind.pooler else ""
        if isinstance(self.subject.pristine, EncoderDecoderBackbone):
            more = ', attn_implementation="eager"'
        elif writes_text(self.subject):
            more = ""
        return [
            *first,
            f"network = {self._class}.from_pretrained(",
            f"    {place}, dtype=torch.float32{more}",
            ")",
            *self._greedily(),
            *self._adapter(),
        ]

    def _greedily(self) -> list[str]:
        """Without penalties and what else a checkpoint may ask for, as it was scored."""
        if not writes_text(self.subject):
            return []
        rule = generation.greedy(self.subject.pristine.network.config)
        kept = [f"{name}_token_id={getattr(rule, f'{name}_token_id')}" for name in TOKENS]
        return [
            "network.generation_config = GenerationConfig(",
            f"    {', '.join(kept[:2])},",
            f"    {', '.join(kept[2:])},",
            ")",
        ]

    def constants(self) -> list[str]:
        lines = self._labels()
        if writes_text(self.subject):
            assert self.task.text is not None
            lines += [
                f"columns = {self.task.text.columns!r}",
                f"template = {self.task.text.template!r}",
            ]
        return lines

    @property
    def _columns(self) -> str:
        assert self.task.text is not None
        return ", ".join(self.task.text.columns)

    def _tokenized(self, texts: str) -> list[str]:
        whole = f", pad_to_multiple_of={MULTIPLE}" if self.form == "program" else ""
        return [
            "    inputs = tokenizer(",
            f"        {texts}, truncation=True, max_length={self.subject.origin.max_length},",
            f'        padding=True{whole}, return_tensors="pt",',
            "    )",
        ]

    def functions(self) -> list[str]:
        if writes_text(self.subject):
            return self._writing()
        backbone = self.subject.pristine
        assert isinstance(backbone, EncoderBackbone)
        pooled = ["features = hidden[:, 0]"]
        if self.entry.pooling == "last":
            pooled = [
                'last = inputs["attention_mask"].sum(1) - 1',
                "features = hidden[torch.arange(len(hidden)), last]",
            ]
        elif self.entry.pooling == "mean":
            pooled = [
                'mask = inputs["attention_mask"].unsqueeze(-1)',
                "features = (hidden * mask).sum(1) / mask.sum(1)",
            ]
        features = ["hidden = network(**inputs).last_hidden_state", *pooled]
        return [
            "@torch.no_grad()",
            f"def logits({self._columns}):",
            *self._tokenized(self._columns),
            *self._outputs(inputs_of(backbone), features),
            "",
            "",
            *self._predict(self._columns, f"logits({self._columns})"),
        ]

    def _writing(self) -> list[str]:
        count = self.subject.longest_answer
        tokenized = self._tokenized("texts")
        if self.form == "program":
            written = greedy(self.subject, self.program, count)
        elif isinstance(self.subject.pristine, DecoderBackbone):
            tokenized = []
            written = continued(self.subject.pristine, count, self.subject.origin.max_length)
        else:
            written = [
                "    ids = network.generate(",
                f"        **inputs, max_new_tokens={count}, num_beams=1, do_sample=False",
                "    )",
            ]
        if isinstance(self.task.output, Classification):
            kept = "labels[int(value)] if value in range(len(labels)) else None"
        else:
            kept = "value if low <= value <= high else None"
        return [
            "def answer(text):",
            '    """What a written answer means; None if it is no answer."""',
            "    try:",
            "        value = float(text)",
            "    except ValueError:",
            "        return None",
            f"    return {kept}",
            "",
            "",
            "@torch.no_grad()",
            f"def predict({self._columns}):",
            f"    rows = zip({self._columns})",
            "    texts = [template.format(**dict(zip(columns, row))) for row in rows]",
            *tokenized,
            *written,
            "    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)",
            "    return [answer(text) for text in texts]",
        ]


def _loaded_program() -> list[str]:
    return [f'program = torch.export.load(f"{{folder}}/{FILE}").module()']


def _module(line: str) -> str:
    return line.split()[1].lower()
