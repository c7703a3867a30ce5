"""Which tracks, tasks and backbones a request names, and what of it gives no cell."""

from suite.planning.request import Request
from suite.registry.entries import Registry
from suite.registry.names import normal
from suite.registry.schema import BackboneEntry, TaskEntry, TrackEntry


def by_track(
    registry: Registry, request: Request
) -> list[tuple[TrackEntry, tuple[TaskEntry, ...]]]:
    """The tasks of a request, by their track."""
    groups: dict[str, list[TaskEntry]] = {}
    for task in registry.select_tasks(request.tasks):
        groups.setdefault(task.track, []).append(task)
    return [(registry.tracks[name], tuple(tasks)) for name, tasks in groups.items()]


def backbones_for(
    registry: Registry, request: Request, track: TrackEntry
) -> tuple[BackboneEntry, ...]:
    """The named backbones that fit the track, or the track's own; none at a scale it lacks."""
    if request.scale not in track.backbones:
        return ()
    if not request.backbones:
        return tuple(
            entry
            for name in track.backbones[request.scale]
            for entry in registry.select_backbones([name])
        )
    return tuple(
        entry
        for entry in registry.select_backbones(request.backbones)
        if entry.modality == track.modality and entry.scale == request.scale
    )


def left_out(registry: Registry, request: Request) -> tuple[str, ...]:
    """What was asked for and gives no cell: tracks, and backbones that were named in full."""
    reasons = []
    used: set[str] = set()
    for track, _ in by_track(registry, request):
        found = backbones_for(registry, request, track)
        used |= {entry.name for entry in found}
        if request.scale not in track.backbones:
            scales = ", ".join(track.backbones)
            reasons.append(f"track {track.name} has no {request.scale} scale, only: {scales}")
        elif not found:
            reasons.append(f"track {track.name} is on {track.modality}: no named backbone fits")
    named = {normal(name) for name in request.backbones}
    reasons += [
        f"backbone {entry.name} is a {entry.scale}-scale backbone on {entry.modality}"
        for entry in registry.select_backbones(request.backbones)
        if entry.name not in used and normal(entry.name) in named
    ]
    return tuple(reasons)


def nothing_fits(registry: Registry, request: Request) -> str:
    """Why a request gives no cell, and the backbones that would."""
    modalities = {track.modality for track, _ in by_track(registry, request)}
    if not modalities:
        return "--tasks names no task"
    usable = [
        entry.name
        for entry in registry.backbones.values()
        if entry.scale == request.scale and entry.modality in modalities
    ]
    return "\n".join(
        [
            f"no cell to plan at the {request.scale} scale:",
            *(f"  {reason}" for reason in left_out(registry, request)),
            f"backbones that fit: {', '.join(usable) or 'none; try --scale full'}",
        ]
    )
