"""Checks beyond the schema: files beside an entry, and entries that name each other."""

from collections.abc import Collection, Mapping
from pathlib import Path
from string import Formatter

from suite.registry.cost_names import BACKBONE_NAMES, SITE_NAMES
from suite.registry.expression import Value, parse
from suite.registry.metrics import METRICS
from suite.registry.names import did_you_mean, stays_inside
from suite.registry.problems import Location
from suite.registry.python_source import functions, method_classes
from suite.registry.schema import (
    STORE,
    TRACK_KEYS,
    BackboneEntry,
    FileEntry,
    GeneratedSource,
    HubSource,
    MethodEntry,
    MethodRates,
    TaskEntry,
    Text,
    TrackEntry,
)
from suite.registry.source_checks import Mistakes, path_mistakes, source_mistakes, twice

MOST_LABELS = 100_000
"""Above this the names of the classes alone would take seconds; ImageNet-21k has 21,843."""


def name_mistakes(entry: FileEntry, stem: str) -> Mistakes:
    """The file is called like the entry."""
    if entry.name != stem:
        yield ("name",), f"'{entry.name}' differs from the file's name '{stem}'"


def method_mistakes(entry: MethodEntry) -> Mistakes:
    """A method's options, cost and Python file."""
    for name, option in entry.options.items():
        here: Location = ("options", name)
        for key, value in (("default", option.default), ("mini", option.mini)):
            if option.choices and value is not None and value not in option.choices:
                choices = ", ".join(map(str, option.choices))
                yield (*here, key), f"'{value}' is not one of its choices: {choices}"
            if value is not None and (problem := option.outside(value)):
                yield (*here, key), problem
        if name in BACKBONE_NAMES or name in SITE_NAMES:
            yield here, f"'{name}' already has a meaning in cost expressions: rename the option"
        if name == STORE:
            yield here, f"'{STORE}' is the precision of every method's file: rename the option"
    yield from _recipe_mistakes(entry)
    yield from _cost_mistakes(entry)
    yield from _class_mistakes(entry)


def _recipe_mistakes(entry: MethodEntry) -> Mistakes:
    for scale, changes in entry.recipe.items():
        for part, change in changes.items():
            for key in change.written:
                if key in TRACK_KEYS:
                    yield (
                        ("recipe", scale, part, key),
                        f"'{key}' belongs to the track: set it for all methods in track.yaml, or "
                        f"for one track and family under exceptions.{scale}.TRACK.FAMILY, "
                        "with its source",
                    )


def exception_mistakes(
    entry: MethodEntry, tracks: Mapping[str, TrackEntry], broken_tracks: Collection[str]
) -> Mistakes:
    """The tracks whose recipes a method changes exist at that scale, and it is defined there."""
    for scale, by_track in entry.exceptions.items():
        for track, by_family in by_track.items():
            at: Location = ("exceptions", scale, track)
            if track in broken_tracks:
                continue
            if track not in tracks:
                yield at, f"there is no track '{track}'{did_you_mean(track, tracks)}"
            elif scale not in tracks[track].backbones:
                yield at, f"track {track} has no {scale} scale"
            for family in by_family:
                if entry.refusal(family):
                    yield (*at, family), f"{entry.name} is not defined on {family}"


def rates_mistakes(
    entry: MethodRates, tracks: Collection[str], backbones: Collection[str]
) -> Mistakes:
    """The tracks and backbones exist for which rates were found."""
    for track, own in entry.rates.items():
        if track not in tracks:
            yield ("rates", track), f"there is no track '{track}'{did_you_mean(track, tracks)}"
        for backbone in own:
            if backbone not in backbones:
                near = did_you_mean(backbone, backbones)
                yield ("rates", track, backbone), f"there is no backbone '{backbone}'{near}"


def _cost_mistakes(entry: MethodEntry) -> Mistakes:
    common = {*BACKBONE_NAMES, *entry.options, *entry.facts}
    for part in ("shared", "per_task"):
        for index, term in enumerate(getattr(entry.cost, part)):
            at: Location = ("cost", part, index, "count")
            known = sorted(common | set(SITE_NAMES if term.each else ()))
            try:
                formula = parse(term.count)
                if not formula.names - set(known):
                    # Once, with the sizes of a small network: what has no value shows now, and not
                    # after training.
                    formula.value(_example(entry))
            except ValueError as error:
                yield at, str(error)
                continue
            for name in sorted(formula.names - set(known)):
                near = did_you_mean(name, known)
                yield at, f"unknown name '{name}'{near}; known names: {', '.join(known)}"


def _example(entry: MethodEntry) -> dict[str, Value]:
    """Values of all names that a method's costs may use."""
    numbers: dict[str, Value] = dict.fromkeys((*BACKBONE_NAMES, *SITE_NAMES, *entry.facts), 64)
    options = {name: option.default for name, option in entry.options.items()}
    return numbers | {"T": 2, "part": "query", "depth": 0} | options


def _class_mistakes(entry: MethodEntry) -> Mistakes:
    path = entry.python_path
    at: Location = ("python",) if entry.python else ()
    if not stays_inside(path.name) or (entry.python and entry.python != path.name):
        yield at, f"'{entry.python}' must be a file beside the YAML"
        return
    if not path.is_file():
        yield at, f"the method's Python file {path.name} {_absent(path)}"
        return
    try:
        classes = method_classes(path)
    except SyntaxError as error:
        yield at, f"{path.name}:{error.lineno or 1}:{error.offset or 1}: {error.msg}"
        return
    if len(classes) != 1:
        names = ", ".join(found.name for found in classes[:5]) or "none"
        names += " ..." if len(classes) > 5 else ""
        yield at, f"{path.name} must define one public class that derives from Method, not {names}"
        return
    fields = classes[0].fields
    for name in entry.options:
        if name not in fields:
            yield (
                ("options", name),
                f"class {classes[0].name} in {path.name} has no field '{name}'"
                f"{did_you_mean(name, fields)}",
            )
    for name in fields:
        if name not in entry.options:
            yield (
                ("options",),
                f"field '{name}' of class {classes[0].name} in {path.name} is not declared"
                f"{did_you_mean(name, entry.options)}",
            )


def size_mistakes(data: object) -> Mistakes:
    """A task that is not yet read, with so many classes that their names would fill the memory."""
    output = data.get("output") if isinstance(data, dict) else None
    labels = output.get("labels") if isinstance(output, dict) else None
    if isinstance(labels, int) and labels > MOST_LABELS:
        yield ("output", "labels"), f"{labels:,} classes, at most {MOST_LABELS:,} are possible"


def _template_mistakes(text: Text) -> Mistakes:
    """A template is filled with the columns alone, as they are."""
    at: Location = ("text", "template")
    try:
        parts = [*Formatter().parse(text.template)]
    except ValueError as error:
        yield at, str(error)
        return
    wanted = " and ".join(f"{{{column}}}" for column in text.columns)
    for _, name, form, conversion in parts:
        if name is not None and (name not in text.columns or form or conversion):
            written = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            yield at, f"'{{{written}}}' is not one of {wanted}"


def task_mistakes(entry: TaskEntry) -> Mistakes:
    """A task's metrics and sources, and names that stand twice."""
    yield from twice(("metrics",), entry.metrics)
    yield from twice(("output", "labels"), getattr(entry.output, "labels", ()))
    if entry.text:
        yield from twice(("text", "columns"), entry.text.columns)
        yield from _template_mistakes(entry.text)
    labels = len(getattr(entry.output, "labels", ()))
    for index, name in enumerate(entry.metrics):
        at: Location = ("metrics", index)
        metric = METRICS.get(name)
        if metric is None:
            near = did_you_mean(name, METRICS)
            yield at, f"'{name}' is not one of {', '.join(METRICS)}{near}"
        elif entry.output.type not in metric.outputs:
            fitting = [each for each, own in METRICS.items() if entry.output.type in own.outputs]
            yield (
                at,
                f"'{name}' does not fit {entry.output.type}; metrics that do: {', '.join(fitting)}",
            )
        elif metric.labels and metric.labels != labels:
            yield at, f"'{name}' needs exactly {metric.labels} labels"
        elif metric.most_labels and metric.most_labels < labels:
            yield (
                at,
                f"'{name}' is defined for at most {metric.most_labels} labels, not {labels:,}: a "
                "result keeps a score of each for every example",
            )
    if entry.sources.mini is None and entry.sources.full is None:
        yield ("sources",), "no source: give 'mini', 'full' or both"
    if entry.sources.mini:
        yield from _generator_mistakes(entry.path.parent, entry.sources.mini)
    if entry.sources.full:
        yield from source_mistakes(entry, entry.sources.full)
        yield from _official_mistakes(entry.official, entry.sources.full)


def _official_mistakes(official: Mapping[str, int], source: HubSource) -> Mistakes:
    """Row counts of splits that are not read would never be held against anything."""
    if source.split_rule == "halve_validation":
        known = {"train", "validation"}
    elif source.split_rule == "carve_from_train":
        known = {source.splits.get(split, split) for split in ("train", "test")}
    else:
        known = {*source.splits.values()}
    for name in official:
        if name not in known:
            only = f"no such split is read, only {', '.join(sorted(known))}"
            yield ("official", name), f"{only}{did_you_mean(name, known)}"


def _generator_mistakes(folder: Path, source: GeneratedSource) -> Mistakes:
    python, function = source.python, source.function
    here: Location = ("sources", "mini")
    if not stays_inside(python) or "/" in python:
        yield (*here, "python"), f"'{python}' must be a file beside the YAML"
        return
    path = folder / python
    if not path.is_file():
        yield (*here, "python"), f"{python} {_absent(path, ' beside the YAML')}"
        return
    try:
        names = functions(path)
    except SyntaxError as error:
        yield (*here, "python"), f"{python}:{error.lineno or 1}:{error.offset or 1}: {error.msg}"
        return
    if function not in names:
        yield (
            (*here, "function"),
            f"{python} defines no function '{function}'{did_you_mean(function, names)}",
        )


def backbone_mistakes(entry: BackboneEntry) -> Mistakes:
    """A backbone's source and the image statistics it needs."""
    yield from path_mistakes(("source", "id"), entry.source.id)
    if entry.modality == "image":
        for key in ("image_size", "mean", "std"):
            if getattr(entry, key) is None:
                yield (key,), "an image backbone must state it"


def track_mistakes(
    entry: TrackEntry,
    tasks: Mapping[str, TaskEntry],
    broken_tasks: Collection[str],
    backbones: Mapping[str, BackboneEntry],
    broken_backbones: Collection[str],
) -> Mistakes:
    """A track's tasks and backbones exist and fit it. `tasks` are those of its folder."""
    for index, name in enumerate(entry.tasks):
        at: Location = ("tasks", index)
        if name in entry.tasks[:index]:
            yield at, f"'{name}' is listed twice"
        if name in broken_tasks:
            continue
        if name not in tasks:
            yield at, f"there is no {name}.yaml beside track.yaml{did_you_mean(name, tasks)}"
            continue
        if tasks[name].modality != entry.modality:
            yield at, f"'{name}' is a task on {tasks[name].modality}, the track on {entry.modality}"
        for scale in entry.backbones:
            if tasks[name].sources.at(scale) is None:
                yield at, f"'{name}' has no {scale} source, but the track has {scale} backbones"
    for name in sorted({*tasks, *broken_tasks} - set(entry.tasks)):
        yield ("tasks",), f"{name}.yaml lies in the track's folder but is not listed"
    for scale, names in entry.backbones.items():
        for index, name in enumerate(names):
            at = ("backbones", scale, index)
            if name in broken_backbones:
                continue
            if name not in backbones:
                yield at, f"there is no backbone '{name}'{did_you_mean(name, backbones)}"
            elif backbones[name].scale != scale:
                yield at, f"'{name}' is a backbone of the {backbones[name].scale} scale"
            elif backbones[name].modality != entry.modality:
                yield at, f"'{name}' takes {backbones[name].modality}, not {entry.modality}"
    for scale, searched in entry.search.items():
        for index, name in enumerate(searched):
            if name not in entry.tasks:
                at = ("search", scale, index)
                yield at, f"'{name}' is not a task here{did_you_mean(name, entry.tasks)}"
    for name, error in entry.baseline_errors.items():
        if not 0 < error <= 1:
            yield ("baseline_errors", name), f"an error lies between 0 and 1, not {error:g}"
        if name not in entry.tasks:
            yield ("baseline_errors", name), f"is not a task here{did_you_mean(name, entry.tasks)}"
    if entry.score == "decathlon":
        missing = [name for name in entry.tasks if name not in entry.baseline_errors]
        if missing:
            yield ("baseline_errors",), f"a decathlon needs one for: {', '.join(missing)}"


def _absent(path: Path, where: str = "") -> str:
    """That a path is no file, in words, with the name of a file that was meant."""
    if path.exists():
        return "is not a regular file"
    near = did_you_mean(path.name, [other.name for other in path.parent.glob("*.py")])
    return f"does not exist{where}{near}"


def start_mistakes(
    entry: TrackEntry, tracks: Mapping[str, TrackEntry], broken_tracks: Collection[str]
) -> Mistakes:
    """The track from which a track's cells start has the tasks that they start from, and is run on
    the same scales."""
    start = entry.start
    if start is None or start.track in broken_tracks:
        return
    at: Location = ("start", "track")
    if start.track not in tracks:
        yield at, f"there is no track '{start.track}'{did_you_mean(start.track, tracks)}"
        return
    source = tracks[start.track]
    if source.start is not None:
        yield at, f"the cells of {start.track} start from others themselves"
    for scale in entry.backbones:
        if scale not in source.backbones:
            yield at, f"track {start.track} has no {scale} scale"
    for name, like in start.tasks.items():
        if name not in entry.tasks:
            yield ("start", "tasks", name), f"the track has no task '{name}'"
        if like not in source.tasks:
            near = did_you_mean(like, source.tasks)
            yield ("start", "tasks", name), f"track {start.track} has no task '{like}'{near}"
    for name in entry.tasks:
        if name not in start.tasks:
            yield ("start", "tasks"), f"does not say from what '{name}' starts"
