"""Cells run side by side on a GPU only where measured memory says that they fit."""

from dataclasses import replace

import pytest

from suite.plan import Cell, Request, plan
from suite.registry import load
from suite.results import Environment, Result
from suite.sharing import PROCESS_BYTES, GpuMemory

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
