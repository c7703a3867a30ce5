"""Edits of a copy of the package and of the methods, and the cells that each makes stale."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ADAPTERS, TAPS, HYPERFORMER, PROBE = (
    "adapters bert",
    "taps resnet",
    "hyperformer_pp t5",
    "probe vit",
)
CELLS = {
    ADAPTERS: ("adapters", "bert_mini"),
    TAPS: ("taps", "resnet_mini"),
    HYPERFORMER: ("hyperformer_pp", "t5_mini"),
    PROBE: ("linear_probe", "vit_mini"),
}
METRICS = ("accuracy", "f1", "matthews", "pearson", "spearman")
ALL = tuple(CELLS)

Change = Callable[[Path], None]
"""Changes files below a folder that holds `suite` and `methods`."""


@dataclass(frozen=True)
class Edit:
    """What somebody does to the source, and which cells and metrics compute something else."""

    name: str
    change: Change
    stale: tuple[str, ...] = field(default=())


def swap(file: str, old: str, new: str) -> Change:
    """Put `new` where `old` stands once."""

    def change(root: Path) -> None:
        path = root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    return change


def everywhere(old: str, new: str) -> Change:
    """Rename a word in all files."""

    def change(root: Path) -> None:
        found = 0
        for path in root.rglob("*.py"):
            text, count = re.subn(rf"\b{re.escape(old)}\b", new, path.read_text())
            found += count
            if count:
                path.write_text(text)
        assert found > 1, f"{old!r} stands {found} times"

    return change


def all_of(*changes: Change) -> Change:
    """One change after the other."""

    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


def swap_words(file: str, old: str, new: str) -> Change:
    """Rename a word in one file."""

    def change(root: Path) -> None:
        text, count = re.subn(rf"\b{re.escape(old)}\b", new, (root / file).read_text())
        assert count > 1
        (root / file).write_text(text)

    return change


def move_file(old: str, new: str) -> Change:
    """Rename a module, in all imports too; both as dotted names."""

    def change(root: Path) -> None:
        place = root.joinpath(*old.split("."))
        place.with_suffix(".py").rename(root.joinpath(*new.split(".")).with_suffix(".py"))
        everywhere(old, new)(root)

    return change


def move_function(name: str, source: str, target: str) -> Change:
    """Take a function, with nothing after it in its file, to the end of another file."""

    def change(root: Path) -> None:
        path, other = root / source, root / target
        before, found, own = path.read_text().rpartition(f"\ndef {name}(")
        assert found, f"{name} is not in {source}"
        module = target.removesuffix(".py").replace("/", ".")
        old_module = source.removesuffix(".py").replace("/", ".")
        path.write_text(f"from {module} import {name}\n{before}")
        other.write_text(f"{other.read_text()}\n{found}{own}")
        for user in root.rglob("*.py"):
            text = user.read_text()
            imported = re.search(rf"from {re.escape(old_module)} import (.*)", text)
            if imported and name in imported[1].split(", "):
                rest = ", ".join(word for word in imported[1].split(", ") if word != name)
                lines = f"from {old_module} import {rest}\nfrom {module} import {name}"
                user.write_text(text.replace(imported[0], lines))

    return change


def reverse_definitions(file: str) -> Change:
    """Put the functions and classes of a file in the opposite order."""

    def change(root: Path) -> None:
        path = root / file
        head, *rest = re.split(r"\n\n\n(?=def |class |@)", path.read_text().rstrip())
        assert len(rest) > 1
        path.write_text("\n\n\n".join([head, *reversed(rest)]) + "\n")

    return change


def add_family(root: Path) -> None:
    """Write the file of one more family, which no other file names."""
    text = (root / FAMILIES / "vit.py").read_text().replace("class ViT(", "class Mixer(")
    (root / FAMILIES / "mixer.py").write_text(text)


ADAPTER, GATED, ARENA = "suite/nn/adapter.py", "suite/nn/gated.py", "suite/nn/kernels/arena.py"
ARENA_TORCH = "suite/nn/kernels/arena_torch.py"
LOOP, OPTIMIZER, CELL = "suite/engine/loop.py", "suite/engine/optimizer.py", "suite/engine/cell.py"
ANSWERS, FEATURES = "suite/engine/scoring.py", "suite/engine/training_data.py"
BACKBONE, FAMILIES = "suite/backbones/base.py", "suite/backbones/families"
FORMULAS = "suite/registry/metrics.py"
BATCHING, MODEL, SCORING = (
    "suite/data/batching.py",
    "suite/method/model.py",
    "suite/results/scores.py",
)


def reorder_methods(root: Path) -> None:
    """Put the methods of a class in the opposite order, its first one aside."""
    path = root / "suite/nn/gated.py"
    text = path.read_text()
    start = text.index("    @property\n    def is_open(self)")
    middle = text.index("    @torch.no_grad()\n    def set_open(")
    end = text.index("\n\n\n", middle)
    first, second = text[start:middle].rstrip(), text[middle:end]
    path.write_text(f"{text[:start]}{second}\n\n{first}{text[end:]}")


HYPER = "suite/nn/hypernetwork.py"
UNUSED = "def _unused(x):\n    return x + 1\n\n\n"
KEY = "    mixed_batches: bool = False\n"

EDITS = (
    # Nothing that is computed changes. All of these can be made at once.
    Edit("a comment", swap(LOOP, "    best: list", "    # Why.\n    best: list")),
    Edit("a docstring", swap(LOOP, "Run every phase of the method", "Train every phase of it")),
    Edit("an annotation", swap(LOOP, "best: list[Tensor] = []", "best: Sequence[Tensor] = []")),
    Edit(
        "no annotation",
        swap(LOOP, "best_validation: dict[str, float] = {}", "best_validation = {}"),
    ),
    Edit(
        "a type variable",
        swap(ADAPTER, "class Adapter(", 'T = TypeVar("T", bound=nn.Module)\n\n\nclass Adapter('),
    ),
    Edit("what is refused", swap("suite/engine/guards.py", "if useless:", "if len(useless) > 9:")),
    Edit("parentheses", swap(OPTIMIZER, "return step / warmup", "return (step / warmup)")),
    Edit("another way to write a number", swap(ADAPTER, "std=0.01", "std=1e-2")),
    Edit("the words of an error", swap(LOOP, "shares add up to 1", "their sum must be 1")),
    Edit("a local's name", everywhere("evaluate_after", "looks")),
    Edit("a parameter's name", swap_words(ADAPTER, "inputs", "size")),
    Edit("a keyword's name", everywhere("before_norm", "ahead_of_norm")),
    Edit("a function's name", everywhere("narrow_linear", "small_linear")),
    Edit("a class's name", everywhere("GatedChange", "Gate")),
    Edit("a constant's name", everywhere("EVALUATION_BATCH", "ROWS_AT_ONCE")),
    Edit("a method's name", everywhere("of_kind", "sites_of")),
    Edit("an attribute's name", everywhere("base_rates", "first_rates")),
    Edit("a field's name", everywhere("entry_norm", "norm_before")),
    Edit("a module's name", move_file("suite.nn.adapter", "suite.nn.bottleneck")),
    Edit("a helper's file", move_function("in_memory_order", ARENA, GATED)),
    Edit("the order of definitions", reverse_definitions(OPTIMIZER)),
    Edit("the order of methods", reorder_methods),
    Edit(
        "a function that nobody calls", swap("methods/taps.py", "def _tie(", UNUSED + "def _tie(")
    ),
    Edit(
        "a new key of the recipe",
        swap("suite/registry/schema/recipe.py", KEY, KEY + "    more: int = 0\n"),
    ),
    Edit("another method", swap("methods/lora.py", "r=self.rank", "r=2 * self.rank")),
    Edit("another method's layer", swap("suite/nn/bias.py", "torch.zeros(", "torch.ones(")),
    Edit(
        "another family's site",
        swap(f"{FAMILIES}/vit.py", "network.embed_dim", "network.num_features"),
        (PROBE,),
    ),
    Edit("a new family", add_family),
    Edit(
        "another library",
        swap("suite/backbones/whole_timm.py", "classifying = timm", "classifying = not timm"),
    ),
    Edit(
        "a kernel of the GPU",
        swap("suite/nn/kernels/adapter_triton.py", '"BLOCK": 512', '"BLOCK": 256'),
    ),
    Edit(
        "the arena on a GPU",
        swap(
            "suite/nn/kernels/arena_device.py",
            "class TritonKernels",
            "X = 1\n\n\nclass TritonKernels",
        ),
    ),
    Edit("the command line", swap("suite/cli/main.py", "at a time", "side by side")),
    Edit(
        "a page",
        swap("suite/leaderboards/rows.py", "other backbone weights than", "other weights than"),
    ),
    Edit(
        "how sure scores are",
        swap("suite/results/resampling.py", "_BLOCK = 2_000_000", "_BLOCK = 1_000_000"),
    ),
    Edit("progress", swap("suite/engine/worker.py", "SECONDS = 0.2", "SECONDS = 0.5")),
    Edit(
        "what is recorded of a machine",
        swap("suite/engine/environment.py", '"numpy")', '"numpy", "scipy")'),
    ),
    Edit(
        "the check of costs",
        swap("suite/engine/ledger.py", '"d": backbone.width', '"d": 2 * backbone.width'),
    ),
    # Something does.
    Edit("initial weights", swap(ADAPTER, "std=0.01", "std=5.0"), (ADAPTERS, HYPERFORMER)),
    Edit(
        "an activation",
        swap("suite/nn/kernels/adapter.py", 'approximate="tanh"', 'approximate="none"'),
        (ADAPTERS, HYPERFORMER),
    ),
    Edit("a layer's default", swap(HYPER, "torch.randn(size)", "torch.rand(size)"), (HYPERFORMER,)),
    Edit(
        "where adapters go",
        swap(
            "methods/adapters.py", '"attention", "feed_forward", "block"', '"feed_forward", "block"'
        ),
        (ADAPTERS,),
    ),
    Edit("the step of the arena", swap(ARENA_TORCH, "+ 1e-6", "+ 1e-3"), (TAPS,)),
    Edit("a constant of the arena", swap(ARENA, "EPSILON = 1e-8", "EPSILON = 1e-6"), (TAPS,)),
    Edit(
        "the gate",
        swap(
            GATED,
            "return weight + (self.gate_score >= self",
            "return weight + (self.gate_score > self",
        ),
        (TAPS,),
    ),
    Edit("warm-up", swap(OPTIMIZER, "return step / warmup", "return (step - 1) / warmup"), ALL),
    Edit(
        "weight decay",
        swap("suite/method/interface.py", "head_rate, recipe.weight_decay", "head_rate, 0.0"),
        ALL,
    ),
    Edit(
        "the order of batches",
        swap(BATCHING, "by_length = window[", "by_length = window[::-1]["),
        ALL,
    ),
    Edit("the best state", swap(LOOP, "if mean >= best_score", "if mean > best_score"), ALL),
    Edit("seeds", swap("suite/engine/seeding.py", ">> 1", ">> 2"), ALL),
    Edit(
        "the order of random draws",
        swap(LOOP, 'seed_for(stretch.seed, "dropout")', 'seed_for(stretch.seed, "noise")'),
        ALL,
    ),
    Edit(
        "rows of an evaluation",
        swap(ANSWERS, "EVALUATION_BATCH = 256", "EVALUATION_BATCH = 128"),
        ALL,
    ),
    Edit("the loss of heads", swap(MODEL, "F.mse_loss(", "F.l1_loss("), (ADAPTERS, TAPS, PROBE)),
    Edit(
        "how T5 answers are read",
        swap(MODEL, "value = float(answer.strip())", "value = float(answer)"),
        (HYPERFORMER,),
    ),
    Edit(
        "how T5 generates",
        swap("suite/backbones/generation.py", "num_beams=1", "num_beams=2"),
        (HYPERFORMER,),
    ),
    Edit(
        "how BERT is pooled",
        swap(BACKBONE, "return hidden[:, 0]", "return hidden[:, 1]"),
        (ADAPTERS,),
    ),
    Edit(
        "a site of BERT",
        swap(
            f"{FAMILIES}/bert.py",
            '("attention", "attention.output.dropout", "attention")',
            '("attention", "output.dropout", "attention")',
        ),
        (ADAPTERS,),
    ),
    Edit(
        "a width of ResNet",
        swap(
            f"{FAMILIES}/resnet.py",
            '(f"{name}.bn{end}").weight.numel()',
            '(f"{name}.conv1").out_channels',
        ),
        (TAPS,),
    ),
    Edit(
        "how texts are cut",
        swap("suite/data/encode.py", "truncation=True", 'truncation="only_first"'),
        ALL,
    ),
    Edit(
        "generated rows after their digest was compared",
        swap(
            "suite/data/sources.py",
            "    return splits\n\n\ndef _made",
            "    return splits.train\n\n\ndef _made",
        ),
        ALL,
    ),
    Edit("normalisation of images", swap(BATCHING, "1 / (255 * std)", "1 / (256 * std)"), ALL),
    Edit(
        "what is stored",
        swap(
            "suite/engine/delta.py",
            'not in persistent or name.endswith("num_batches_tracked")',
            'not in persistent or name.endswith("tracked")',
        ),
        ALL,
    ),
    Edit(
        "the text before a source",
        swap(
            "suite/registry/schema/task.py",
            'f"{self.name} {self.text.template}"',
            'f"{self.name}: {self.text.template}"',
        ),
        ALL,
    ),
    Edit(
        "two parameters change places",
        swap(
            GATED,
            "gate_score: float, threshold: float) -> None",
            "threshold: float, gate_score: float) -> None",
        ),
        (TAPS,),
    ),
    Edit(
        "which parameters are heads",
        swap(FEATURES, "model.heads.parameters()", "model.context.parameters()"),
        ALL,
    ),
    Edit(
        "accuracy",
        swap(FORMULAS, "return counts_BN @ (p_RN == t_N)", "return counts_BN @ (p_RN != t_N)"),
        ("accuracy",),
    ),
    Edit("F1", swap(FORMULAS, "return _ratio(2 * hits_BR", "return _ratio(3 * hits_BR"), ("f1",)),
    Edit("ties", swap(FORMULAS, "last_UB[:-1] / 2", "last_UB[:-1] / 3"), ("spearman",)),
    Edit(
        "what a constant is worth",
        swap(FORMULAS, "where=denominator > 0", "where=denominator >= 0"),
        ("f1", "matthews", "pearson", "spearman"),
    ),
    Edit(
        "the score of a task",
        swap(SCORING, "sum(metrics.values()) / len(metrics)", "max(metrics.values())"),
        (*ALL, *METRICS),
    ),
)
