"""The page in an exported folder: what the model is, what it scored and cost, how it is used."""

from pathlib import Path

from suite.export.loading import BACKBONE, HEAD, WEIGHTS, Form, is_carried
from suite.export.program import FILE
from suite.export.subject import Subject
from suite.leaderboards.formats import plain, stored, table
from suite.leaderboards.frame import Results
from suite.registry import Registry
from suite.registry.schema import Classification, MultiLabel

MARK = "<!-- written by suite export -->"
"""The line by which `push` knows the folders that it may send."""


def card(
    subject: Subject, form: Form, code: str, difference: float, out: Path, registry: Registry
) -> str:
    """The page in Markdown, with the head that the hub reads; `difference` is that of the outputs
    from the measured model's, `out` the folder of the result."""
    cell, entry = subject.result.cell, subject.pristine.entry
    method = registry.methods[cell.method]
    title = f"{method.title} on {entry.name} for {cell.track}/{subject.task.name}"
    facts = _facts(subject, out, registry)
    return "\n".join(
        [
            *_head(subject, form),
            MARK,
            "",
            f"# {plain(title)}",
            "",
            plain(method.summary),
            "",
            table([(what, plain(is_)) for what, is_ in facts], ("", "what it is"), left=2),
            "",
            *_contents(subject, form, difference),
            "",
            "## Use it",
            "",
            "With the folder on this machine (`huggingface_hub.snapshot_download` brings it):",
            "",
            "```python",
            code,
            "```",
            "",
            *_question(subject),
            "",
        ]
    )


def _head(subject: Subject, form: Form) -> list[str]:
    entry = subject.pristine.entry
    library = "peft" if form == "peft" else "pytorch" if form == "program" else None
    if library is None:
        library = "timm" if entry.modality == "image" else "transformers"
    lines = ["---", f"library_name: {library}"]
    if not is_carried(entry):
        lines.append(f"base_model: {entry.source.id}")
    return [*lines, f"tags: [{subject.result.cell.method}]", "---"]


def _facts(subject: Subject, out: Path, registry: Registry) -> list[tuple[str, str]]:
    result, entry, task = subject.result, subject.pristine.entry, subject.task
    cell, reference = result.cell, registry.methods[result.cell.method].reference
    frame = Results((result,), registry, out).frame()
    line = frame[frame["task"] == task.name].iloc[0]
    metrics = next(each.metrics for each in result.scores if each.task == task.name)
    scores = ", ".join(f"{name} {value:.1f}" for name, value in metrics.items())
    interval = f"{line['low']:.1f} to {line['high']:.1f}"
    assert result.ledger is not None, "a result that is ok has a ledger"
    assert result.recipe is not None, "a result that is ok has a recipe"
    bits = 8 * result.ledger.tensor_bytes
    served = f" for all of {', '.join(cell.tasks)}" if len(cell.tasks) > 1 else ""
    recipe = ", ".join(
        f"{key}={value}"
        for key, value in result.recipe.model_dump(mode="json", exclude_defaults=True).items()
    )
    where = result.environment
    facts = {
        "task": f"{cell.track}/{task.name}: {task.description}",
        "data licence": task.licence,
        "score": f"{line['score']:.1f} ({interval}) = {scores}, on {cell.scale} test data",
        "interval": "95 %, over test examples, of the model of this seed",
        "stored": f"{bits:,} bits in {cell.store}, {stored(line['stored_x'])} the backbone{served}",
        "seed": str(cell.seed),
        "options": ", ".join(f"{k}={v}" for k, v in result.options.items()) or "none",
        "recipe": recipe,
        "method": reference.title + (f", {reference.url}" if reference.url else ""),
        "backbone": f"{entry.name} ({entry.source.id}): {entry.description}",
        "backbone's files": f"SHA-256 {subject.origin.weights}",
        "backbone licence": entry.licence,
        "cell": f"{cell.label}, identity {result.identity.digest}",
        "code": (where.commit if where else None) or "not known",
    }
    return list(facts.items())


def _contents(subject: Subject, form: Form, difference: float) -> list[str]:
    if form == "peft":
        lines = ["`adapter_config.json` and `adapter_model.safetensors` are an adapter of peft"]
    elif form == "weights":
        lines = [f"`{WEIGHTS}` is the backbone's own network, the change folded into its weights"]
    else:
        lines = [
            f"`{FILE}` is the whole model as a traced program (`torch.export`), because what the "
            "method puts into the network is no change of its weights"
        ]
    if subject.head is not None and form != "program":
        lines.append(f"`{HEAD}` is the task's output layer (`weight`, `bias`)")
    if form == "peft" and is_carried(subject.pristine.entry):
        lines.append(f"`{BACKBONE}/` is the frozen network, which no hub has")
    lines.append(
        "on random inputs the outputs differ from those of the model that was measured by "
        f"{difference:.0e} of the largest one"
    )
    text = "; ".join(lines)
    return [text[0].upper() + text[1:] + "."]


def _question(subject: Subject) -> list[str]:
    task = subject.task
    given = "PIL images" if task.text is None else " and ".join(task.text.columns)
    output = task.output
    if isinstance(output, Classification):
        return [f"`predict` takes lists of {given} and gives a list of labels."]
    if isinstance(output, MultiLabel):
        return [f"`predict` takes lists of {given} and gives a list of lists of labels."]
    answers = f"numbers from {output.minimum:g} to {output.maximum:g}"
    return [f"`predict` takes lists of {given} and gives a list of {answers}."]
