"""The code that decides what a cell computes, in parts: from which definitions each is reached.

What records, shows or schedules a cell is left out, as are kernels that run on a GPU alone: the
device is no part of an identity. Generated examples count by their digest, pretrained weights by
their fingerprint, whatever made them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from suite.planning.code_digest import Choice, Program, Spelling
from suite.planning.source import PACKAGE_NAME, Place, Sources
from suite.planning.syntax import DOMAINS
from suite.planning.tokens import Stream
from suite.registry.families import PACKAGE as FAMILIES
from suite.registry.families import Form, families
from suite.registry.python_source import method_classes
from suite.registry.schema import BackboneEntry, MethodEntry, Scale

PACKAGE = Path(__file__).parents[1]
SHORT = 16
"""Digits of a part's digest, enough to notice its change."""
PARTS: Mapping[str, tuple[Place, ...]] = {
    "metrics": (
        Place("suite.results.scores", "evaluate"),
        Place("suite.results.scores", "score"),
    ),
    "backbones": (Place("suite.backbones.load", "load_backbone"),),
    "data": (
        Place("suite.data.encode", "encode_task"),
        Place("suite.data.batching", "Batches"),
    ),
    "training": (
        Place("suite.engine.cell", "run_cell"),
        Place("suite.engine.cell", "trained_before"),
        Place("suite.engine.workspace", "Workspace"),
    ),
}
"""Where each part of the engine begins; a definition that two parts reach belongs to the first."""
ENTRIES = "suite.registry.schema"
LEAVES = frozenset(
    (
        "suite.console",
        "suite.errors",
        "suite.planning",
        "suite.registry.cache",
        "suite.registry.families",
        "suite.registry.modules",
        "suite.registry.schema",
        "suite.results.records",
        "suite.engine.checkpoint",
        "suite.engine.environment",
        "suite.engine.guards",
        "suite.engine.peak_memory",
        "suite.engine.resume",
        "suite.engine.ledger.closed_form",
        "suite.engine.ledger.disagreement",
        "suite.engine.ledger.parameters",
    )
)
"""Definitions that decide no result, or whose content counts elsewhere."""
SOURCES = "suite.data.sources"
GENERATED, READ = (f"{SOURCES}._generated",), (f"{SOURCES}._tabular", f"{SOURCES}.departure")
"""What only tasks of the embedded scale use, and only those of the full one."""
OF_FORMS: Mapping[str, tuple[Form, ...]] = {
    "suite.backbones.base.TextToTextBackbone": ("text_to_text",),
    "suite.backbones.writers.EncoderDecoderBackbone": ("text_to_text",),
    "suite.backbones.writers.DecoderBackbone": ("text_to_text",),
    "suite.backbones.base.EncoderBackbone": ("text",),
    "suite.backbones.base.VisionBackbone": ("image",),
    "suite.method.model.TextToTextModel": ("text_to_text",),
    "suite.method.model.HeadedModel": ("image", "text"),
    "suite.data.encode._answers": ("text_to_text",),
}
"""Definitions that only backbones of some forms use."""


@dataclass(frozen=True)
class Code:
    """The digest that decides, and one of each part, by which a change is named.

    The parts are those of `PARTS`, `layers` (of the package, which the method alone reaches) and
    `method` (its own files).
    """

    digest: str
    parts: Mapping[str, str]


class CellCode:
    """Digests the code of cells, each piece once; `package` is the folder of the suite, `streams`
    those of its definitions as far as they are known."""

    def __init__(self, package: Path = PACKAGE, streams: dict[Place, Stream] | None = None) -> None:
        known = {} if streams is None else streams
        self._program = cache(lambda methods: Program(Sources(package, methods), ENTRIES, known))
        self._engine_of = cache(self._engine)

    def of(
        self, entry: MethodEntry, options: Collection[str], backbone: BackboneEntry, scale: Scale
    ) -> Code:
        """The code of a method's cells, apart from the formulas of their metrics.

        `options` are the names of its options. Raises `SyntaxError` for a file that is not Python.
        """
        program = self._program(entry.python_path.parent)
        choice = choice_of(backbone, scale)
        engine, parts = self._engine_of(program, choice, backbone.family)
        own = self._own(entry, program, choice, engine)
        layers = [place for place in own if place.module.split(".")[0] == PACKAGE_NAME]
        files = [place for place in own if place not in layers]
        whole = [*engine, *own]
        spelling = Spelling.of(program, whole, choice, options)
        return Code(
            spelling.digest(program, whole, choice),
            {
                **parts,
                "layers": spelling.digest(program, layers, choice)[:SHORT],
                "method": spelling.digest(program, files, choice)[:SHORT],
            },
        )

    def metrics(self, names: Collection[str], entry: MethodEntry) -> str:
        """The code of some metrics, in cells of a method."""
        program = self._program(entry.python_path.parent)
        choice = Choice(DOMAINS, frozenset(("MetricName", name) for name in names), LEAVES)
        places = program.reached(PARTS["metrics"], choice)
        return Spelling.of(program, places, choice).digest(program, places, choice)[:SHORT]

    def places(self, entry: MethodEntry, choice: Choice, family: str) -> list[Place]:
        """The definitions that count in a method's cells on a family."""
        program = self._program(entry.python_path.parent)
        engine, _ = self._engine_of(program, choice, family)
        return [*engine, *self._own(entry, program, choice, engine)]

    def _engine(
        self, program: Program, choice: Choice, family: str
    ) -> tuple[Collection[Place], Mapping[str, str]]:
        """What all methods share on a family, and the digests of its parts."""
        engine: dict[Place, str] = {}
        for part, roots in PARTS.items():
            if part == "backbones":
                roots = (*roots, family_place(family))
            engine |= dict.fromkeys(program.reached(roots, choice, engine), part)
        spelling = Spelling.of(program, engine, choice)
        digests = {
            part: spelling.digest(program, [p for p in engine if engine[p] == part], choice)
            for part in PARTS
        }
        return engine, {part: digest[:SHORT] for part, digest in digests.items()}

    def _own(
        self, entry: MethodEntry, program: Program, choice: Choice, engine: Collection[Place]
    ) -> list[Place]:
        path = entry.python_path
        module = f"{path.parent.name}.{path.stem}"
        classes = [Place(module, found.name) for found in method_classes(path)]
        return program.reached(classes or [Place(module, "")], choice, engine)


def choice_of(backbone: BackboneEntry, scale: Scale, metrics: Collection[str] = ()) -> Choice:
    """The part of the source that counts on a backbone, together with some metrics."""
    lines: set[tuple[str, str]] = {("MetricName", name) for name in metrics}
    lines.add(("Library", backbone.source.library))
    other = {name for name, forms in OF_FORMS.items() if backbone.does not in forms}
    other |= set(READ if scale.embedded else GENERATED)
    return Choice(DOMAINS, frozenset(lines), LEAVES | other)


def family_place(family: str) -> Place:
    """The class of a family, which the engine finds by its name; others count no more than files
    that nobody imports."""
    facts = families()[family]
    return Place(f"{FAMILIES}.{facts.name}", facts.class_name)
