"""Cells on the nodes of a Ray cluster, which share the folder of results.

An actor is a place for one cell: a core, or a fraction of a GPU that follows from the measured
memory of such cells. In it runs the pool of `local` with one worker, so that what is loaded stays
for the next cell, and a cell fails there as it does here.
"""

import logging
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from suite.engine.attempt import failure
from suite.engine.devices import WORKERS_OF_A_GPU
from suite.engine.executor import Outcome
from suite.engine.gpu_memory import GpuMemory, measured_before
from suite.engine.main_memory import needed
from suite.engine.place import Place, Report, gpu_bytes
from suite.engine.progress import Progress
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Cell, Job, Plan
from suite.registry import Registry
from suite.results.claims import Claim
from suite.results.folder import SINGLES, Lookup
from suite.results.records import CellKey, Result

LOOK_SECONDS = 5.0
"""How often new nodes are looked for."""
IDLE_SECONDS = 20.0
"""After how long without a cell an actor gives its resources back to the cluster."""
AVOID_SECONDS = 20.0
"""For how long a node that lost an actor gets no other: Ray may not have found out yet that the
node itself is lost."""
_LOST = (RayActorError, ActorUnschedulableError)
_VARIABLES = ("SUITE_DATA", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME")
"""What says where data and weights are, and must be the same on every node."""


def make(plan: Plan, registry: Registry, settings: Settings, progress: Progress) -> "RayExecutor":
    """The executor for the cluster that `RAY_ADDRESS` names or that runs on this machine; if there
    is none, Ray starts one here. Raises `UserError` if it does not answer."""
    if settings.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {settings.device}: Ray chooses; give auto, cpu or cuda")
    if connected := not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"--executor ray: no cluster answers ({error})") from None
    return RayExecutor(plan, registry, settings, progress, disconnect=connected)


@dataclass(eq=False)
class _Node:
    """A node of the cluster."""

    id: str
    name: str
    cores: int
    gpus: int
    memory: int
    """Bytes that Ray hands out."""


@dataclass(eq=False)
class _Actor:
    """A place for cells on a node, and what it computes."""

    handle: Any
    node: _Node
    gpu: int
    """Its number on the node, in this executor's own count."""
    share: float
    """Of the GPU; 0 without one."""
    cells: dict[CellKey, Cell] = field(default_factory=dict)
    """What is left of its job."""
    job: Job | None = None
    claim: Claim | None = None
    report: Any = None
    """The answer that is waited for."""
    idle_since: float = field(default_factory=time.monotonic)


class RayExecutor:
    """Actors on the nodes of a cluster, made when there are cells for them.

    The cells of an actor that is lost are claimed and tried anew once. A cell that runs out of
    memory in a part of a GPU is tried again on a whole one before that is its result.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        settings: Settings,
        progress: Progress,
        *,
        disconnect: bool,
    ) -> None:
        self.settings = settings
        self.progress = progress
        self.disconnect = disconnect
        self.registry = ray.put(registry)
        self.actors: list[_Actor] = []
        self.nodes: list[_Node] = []
        self.avoided: dict[str, float] = {}
        self.lost: Counter[CellKey] = Counter()
        self.force = plan.request.force
        self.lookup = Lookup(settings.out, Result)
        self.alone: deque[tuple[Job, Claim]] = deque()
        """Jobs that ran out of memory in a part of a GPU."""
        self.look_at = 0.0
        self.gpus = False
        self._look()
        self.gpus = settings.device != "cpu" and any(node.gpus for node in self.nodes)
        if settings.device == "cuda" and not self.gpus:
            raise UserError("--device cuda: the nodes of the Ray cluster have no GPU")
        scale = plan.request.scale
        # At mini scale a cell takes less than what comes with a core.
        small = self.gpus or scale.one_core_per_cell
        self.memory = 0 if small else needed(plan, registry, settings.out)
        self.peaks = self._peaks(plan) if self.gpus else None
        self._look(force=True)
        names = ", ".join(node.name for node in self.nodes)
        if not self.nodes:
            raise UserError("--executor ray: no node of the cluster has a core to spare")
        progress.note(f"Ray: {len(self.nodes)} nodes ({names}), {self._places()}")

    def has_room(self, job: Job) -> bool:
        """Whether a place of the size that the job needs is free, or can be made."""
        self._look()
        busy = sum(actor.job is not None for actor in self.actors)
        if self.alone or (self.settings.jobs and busy >= self.settings.jobs):
            return False
        share = self._share(job)
        return self._idle(share) is not None or self._spot(share, spare=True) is not None

    def submit(self, job: Job, claim: Claim) -> None:
        """Give the job to an actor; Ray starts one if none is idle."""
        self._start(job, claim, self._share(job))

    def receive(self, patience: float) -> list[Outcome]:
        """The cells that are over; waits until an actor reports."""
        if self.alone and (self._idle(self._whole) or self._spot(self._whole, spare=True)):
            self._start(*self.alone.popleft(), share=self._whole)
        self._end_idle()
        busy = {actor.report: actor for actor in self.actors if actor.job}
        ray.wait([*busy], num_returns=min(1, len(busy)), timeout=patience)
        ready, _ = ray.wait([*busy], num_returns=len(busy), timeout=0)
        outcomes: list[Outcome] = []
        for reference in ready:
            actor = busy[reference]
            try:
                report = ray.get(reference)
            except _LOST as error:
                outcomes += self._lose(actor, error)
            else:
                outcomes += self._hear(actor, report)
        return outcomes

    def stop(self) -> None:
        """End the actors, and with them their workers."""
        for actor in [*self.actors]:
            self._end(actor)
        if self.disconnect:
            ray.shutdown()

    def _start(self, job: Job, claim: Claim, share: float) -> None:
        actor = self._idle(share) or self._new(share)
        actor.cells = {cell.key: cell for cell in job.cells}
        actor.job, actor.claim = job, claim
        actor.report = actor.handle.compute.remote(job, claim)

    def _new(self, share: float) -> _Actor:
        spot = self._spot(share, spare=False)
        while spot is None:
            # Idle actors of another size are in the way.
            spare = self._spot(share, spare=True)
            assert spare is not None
            idle = [a for a in self.actors if a.job is None and a.node is spare[0]]
            self._end(idle[0])
            spot = self._spot(share, spare=False)
        node, gpu = spot
        memory = min(self.memory, node.memory)
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        handle = (
            ray.remote(Place)
            .options(num_cpus=1, num_gpus=share, memory=memory or None, scheduling_strategy=here)
            .remote(
                self.registry,
                replace(self.settings, executor="local"),
                "cuda:0" if share else "cpu",
                {name: os.environ[name] for name in _VARIABLES if name in os.environ},
            )
        )
        actor = _Actor(handle, node, gpu, share)
        self.actors.append(actor)
        return actor

    def _hear(self, actor: _Actor, report: Report) -> list[Outcome]:
        if report.problem:
            raise UserError(
                f"{report.problem}; what has finished is kept, and the same command continues"
            )
        for event in report.events:
            event.tell(self.progress)
        for result in (each.result for each in report.outcomes):
            if result and self.peaks:
                self.peaks.learn(result)
        for each in report.outcomes:
            del actor.cells[each.cell.key]
        assert actor.job and actor.claim
        job, claim = actor.job, actor.claim
        if actor.cells:
            actor.report = actor.handle.report.remote()
        else:
            actor.job, actor.idle_since = None, time.monotonic()
        if actor.share in (0, self._whole):
            return report.outcomes
        oom = [e.cell for e in report.outcomes if e.result and e.result.status == "oom"]
        for cell in oom:
            why = "out of memory in a part of a GPU, tried again on a whole one"
            self.progress.again(cell, why)
        if oom:
            self.alone.append((Job(tuple(oom), job.trained), claim))
        return [each for each in report.outcomes if each.cell not in oom]

    def _lose(self, actor: _Actor, error: Exception) -> list[Outcome]:
        """The cells of a lost actor: without a result, so that they are claimed anew (what is left
        of the actor may still write under the old claim), or failed if that happened before."""
        name, cells = actor.node.name, [*actor.cells.values()]
        self._end(actor)
        self.avoided[actor.node.id] = time.monotonic() + AVOID_SECONDS
        outcomes: list[Outcome] = []
        for cell in cells:
            self.lost[cell.key] += 1
            if self.lost[cell.key] == 1 and not self.settings.fail_fast:
                why = f"its actor on {name} was lost ({type(error).__name__}), tried again"
                self.progress.again(cell, why)
                outcomes.append(Outcome(cell, None))
                continue
            past = None if self.force else self.lookup.get(cell.key)
            if past and past.status == "ok" and past.identity.digest == cell.identity.digest:
                # It was written before its actor could say so.
                outcomes.append(Outcome(cell, past))
                continue
            times = "twice, at last" if self.lost[cell.key] > 1 else "once,"
            result = failure(cell, "failed", f"its actor was lost {times} on the node {name}")
            result.write(self.settings.out / SINGLES)
            outcomes.append(Outcome(cell, result))
        return outcomes

    def _end(self, actor: _Actor) -> None:
        ray.kill(actor.handle)
        self.actors.remove(actor)

    def _end_idle(self) -> None:
        """Give back what has no use: another run on this cluster may wait for it."""
        for actor in [*self.actors]:
            if actor.job is None and time.monotonic() - actor.idle_since > IDLE_SECONDS:
                self._end(actor)

    @property
    def _whole(self) -> float:
        return 1.0 if self.gpus else 0.0

    def _share(self, job: Job) -> float:
        """The part of a GPU that the job's cells need; 0 without GPUs."""
        if self.peaks is None:
            return self._whole
        return 1 / min(WORKERS_OF_A_GPU, self.peaks.at_a_time(job.cells[0]))

    def _idle(self, share: float) -> _Actor | None:
        idle = (a for a in self.actors if a.job is None and a.share == share)
        return next(idle, None)

    def _spot(self, share: float, *, spare: bool) -> tuple[_Node, int] | None:
        """The node, and the number of its GPU, with the most room for one more actor; `spare`:
        as if no actor were idle."""
        best: tuple[_Node, int] | None = None
        most = 0.0
        now = time.monotonic()
        for node in self.nodes:
            if self.avoided.get(node.id, 0.0) > now:
                continue
            here = [a for a in self.actors if a.node is node and not (spare and a.job is None)]
            cores = self._most(node) - len(here)
            for gpu in range(node.gpus if share else 1):
                free = 1 - sum(a.share for a in here if a.gpu == gpu)
                room = min(cores, free) if share else cores
                if cores >= 1 and free > share - 1e-6 and room > most:
                    best, most = (node, gpu), room
        return best

    def _most(self, node: _Node) -> int:
        """How many actors the cores and the memory of a node have room for."""
        return min(node.cores, max(1, node.memory // self.memory)) if self.memory else node.cores

    def _places(self) -> str:
        if self.gpus:
            return f"{sum(node.gpus for node in self.nodes)} GPUs"
        return f"{sum(map(self._most, self.nodes))} cells at a time"

    def _look(self, force: bool = False) -> None:
        """Find the nodes that are there now."""
        if time.monotonic() < self.look_at and not force:
            return
        self.look_at = time.monotonic() + LOOK_SECONDS
        known = {node.id: node for node in self.nodes}
        found = [_node(each) for each in ray.nodes() if each["Alive"]]
        self.nodes = [known.get(n.id, n) for n in found if n.cores and (n.gpus or not self.gpus)]

    def _peaks(self, plan: Plan) -> GpuMemory:
        """The measured memory of cells, and that of the smallest GPU."""
        ask = ray.remote(gpu_bytes)
        on = [NodeAffinitySchedulingStrategy(n.id, soft=False) for n in self.nodes if n.gpus]
        answers = [ask.options(num_gpus=0.01, scheduling_strategy=each).remote() for each in on]
        return GpuMemory(min(ray.get(answers)), measured_before(plan, self.settings.out))


def _node(described: dict[str, Any]) -> _Node:
    resources = described["Resources"]
    return _Node(
        id=described["NodeID"],
        name=described["NodeManagerHostname"],
        cores=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        memory=int(resources.get("memory", 0)),
    )
