"""Cells run side by side on a GPU only where measured memory says that they fit."""

from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from suite.engine.gpu_memory import PROCESS_BYTES, GpuMemory
from suite.engine.pool import _hand_out
from suite.engine.progress import QuietProgress
from suite.engine.settings import Settings
from suite.engine.worker import Order
from suite.planning.cells import Job
from suite.planning.plan import Cell, Request, plan
from suite.registry import load
from suite.results.records import Environment, Result

GIB = 2**30


@pytest.fixture(scope="module")
def cells() -> dict[str, Cell]:
    made = plan(Request(("taps", "adapters"), ("cola",), backbones=("bert_mini",)), load())
    return {item.cell.key.method: item.cell for item in made.planned}


def measured(cell: Cell, peak: int, device: str = "cuda:0", status: str = "ok") -> Result:
    here = Environment(
        device=device, hardware="", threads=1, versions={}, commit=None, dirty=None, finished=""
    )
    return Result(
        cell=cell.key,
        identity=cell.identity,
        status=status,
        recipe=cell.recipe,
        peak_memory_bytes=peak,
        environment=here,
    )


def test_cells_whose_peaks_fit_run_side_by_side(cells):
    taps, adapters = cells["taps"], cells["adapters"]
    memory = GpuMemory(10 * GIB, [measured(taps, 4 * GIB), measured(adapters, GIB)])
    assert memory.admits(adapters, [taps])
    assert not memory.admits(taps, [taps])
    assert memory.admits(adapters, [taps, adapters])
    assert not memory.admits(adapters, [taps, adapters, adapters])


def test_a_kind_of_cell_that_was_never_measured_runs_alone(cells):
    taps, adapters = cells["taps"], cells["adapters"]
    memory = GpuMemory(10 * GIB, [measured(taps, GIB)])
    assert memory.admits(adapters, [])
    assert not memory.admits(adapters, [taps])
    memory.learn(measured(adapters, GIB))
    assert memory.admits(adapters, [taps])


def test_memory_on_a_processor_says_nothing_about_a_gpu(cells):
    memory = GpuMemory(10 * GIB, [measured(cells["taps"], GIB, device="cpu")])
    assert not memory.admits(cells["taps"], [cells["taps"]])


def test_a_larger_batch_is_another_kind(cells):
    taps = cells["taps"]
    larger = replace(taps, recipe=taps.recipe.model_copy(update={"batch_size": 999}))
    memory = GpuMemory(10 * GIB, [measured(taps, GIB)])
    assert memory.admits(taps, [taps])
    assert not memory.admits(larger, [taps])


def test_what_ran_out_of_memory_runs_alone(cells):
    taps, adapters = cells["taps"], cells["adapters"]
    memory = GpuMemory(10 * GIB, [measured(adapters, 1), measured(taps, 0, status="oom")])
    assert memory.admits(taps, [])
    assert not memory.admits(taps, [adapters])


def test_every_process_needs_room_of_its_own(cells):
    taps = cells["taps"]
    assert not GpuMemory(2 * PROCESS_BYTES, [measured(taps, 1)]).admits(taps, [taps])


@dataclass
class Idle:
    """A worker process that only remembers what it was given."""

    cell: Cell | None = None
    deadline: float | None = None
    rest: tuple[Cell, ...] = ()
    trained: bool = False
    kept: bool = False
    sent: list[Cell] = field(default_factory=list)

    @property
    def pipe(self) -> "Idle":
        return self

    def send(self, order: Order) -> None:
        self.sent.append(order.cell)


def test_a_cell_that_does_not_fit_lets_smaller_ones_pass_and_keeps_its_turn(cells):
    taps, adapters = cells["taps"], cells["adapters"]
    memory = GpuMemory(10 * GIB, [measured(taps, 4 * GIB), measured(adapters, GIB)])
    queue = deque([Job((taps,)), Job((taps,)), Job((adapters,))])
    pool = [Idle(), Idle(), Idle()]
    settings, progress = Settings(Path("unused")), QuietProgress(3)
    _hand_out(pool, queue, memory, settings, progress)
    assert [worker.sent for worker in pool] == [[taps], [adapters], []]
    assert list(queue) == [Job((taps,))]
    pool[0].cell = None
    _hand_out(pool, queue, memory, settings, progress)
    assert pool[0].sent == [taps, taps]
