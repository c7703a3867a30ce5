"""A registry with entries of small networks, and a task on texts of a few words."""

from small_networks import IMAGE, SIZE, WORDS

ENTRY = """\
schema: 1
name: {name}
description: Random weights.
family: {family}
modality: {modality}
scale: mini
source: {{library: {library}, id: {name}}}
{more}licence: none
"""
TEXT_TASK = """\
import numpy as np

from suite.mini import Splits

WORDS = {words}


def _split(rng, count):
    rows = [rng.permutation(WORDS)[: 3 + i % 4] for i in range(count)]
    label = np.array(["red" in row for row in rows], dtype=np.int64)
    return {{"sentence": [" ".join(row) for row in rows], "label": label}}


def make():
    rng = np.random.Generator(np.random.PCG64(0))
    return Splits(_split(rng, 32), _split(rng, 16), _split(rng, 16))
"""
TEXT_ENTRY = """\
schema: 1
name: reads
description: Is there a word?
modality: text
output: {{type: classification, labels: ["no", "yes"]}}
metrics: [accuracy]
text: {{columns: [sentence], template: "{{sentence}}"}}
sources:
  mini: {{python: reads.py, function: make, version: 1, digest: {digest}}}
licence: none
"""
TEXT_TRACK = """\
schema: 1
name: words
description: One task
modality: text
tasks: [reads]
backbones: {mini: [bert_mini]}
"""


def write_words(root):
    """The track `words` with one task."""
    track = root / "tasks" / "words"
    track.mkdir(parents=True)
    source = TEXT_TASK.format(words=WORDS)
    made: dict = {}
    exec(compile(source, "reads.py", "exec"), made)
    (track / "reads.py").write_text(source)
    (track / "reads.yaml").write_text(TEXT_ENTRY.format(digest=made["make"]().digest()))
    (track / "track.yaml").write_text(TEXT_TRACK)


def write_entry(catalog, name, family, more=""):
    text = name not in IMAGE
    size = f"image_size: {SIZE}\nmean: [0.5, 0.5, 0.5]\nstd: [1, 1, 1]\n"
    entry = ENTRY.format(
        name=name,
        family=family,
        modality="text" if text else "image",
        library="transformers" if text else "timm",
        more=more if text else size,
    )
    (catalog / f"{name}.yaml").write_text(entry)
