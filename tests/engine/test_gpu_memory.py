"""Cells run side by side on a GPU only where measured memory says that they fit."""

from dataclasses import replace

import pytest

from suite.engine.gpu_memory import PROCESS_BYTES, GpuMemory
from suite.planning.plan import Cell, Request, plan
from suite.registry import load
from suite.results.records import Environment, Result

GIB = 2**30


@pytest.fixture(scope="module")
def cells() -> dict[str, Cell]:
    """By method, and those on other tasks by `METHOD/TASK+TASK`."""
    methods = ("taps", "adapters", "hyperformer")
    made = [
        item.cell
        for tasks in (("cola", "rte"), ("cola", "rte", "sst2"))
        for item in plan(Request(methods, tasks, backbones=("bert_mini",)), load()).planned
    ]
    named = {f"{cell.key.method}/{'+'.join(cell.key.tasks)}": cell for cell in made}
    return named | {name: named[f"{name}/cola"] for name in ("taps", "adapters")}


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
    memory = GpuMemory(10 * GIB, [measured(taps, 5 * GIB), measured(adapters, GIB)])
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


def test_a_cell_on_another_task_is_as_large_as_others_on_that_task(cells):
    """A text of rte is several times as long as one of cola."""
    memory = GpuMemory(12 * GIB, [measured(cells["taps/cola"], GIB)])
    assert not memory.admits(cells["taps/rte"], [cells["taps/cola"]])
    memory.learn(measured(cells["adapters/rte"], 7 * GIB))
    assert memory.admits(cells["taps/rte"], [cells["taps/cola"]])
    assert not memory.admits(cells["taps/rte"], [cells["taps/rte"]])
    memory.learn(measured(cells["taps/rte"], 2 * GIB))
    assert memory.admits(cells["taps/rte"], [cells["taps/rte"]]), "it is measured itself now"


def test_a_joint_cell_is_no_larger_than_one_on_more_tasks(cells):
    joint = {len(cell.key.tasks): cell for cell in cells.values() if len(cell.key.tasks) > 1}
    two, three = joint[2], joint[3]
    memory = GpuMemory(12 * GIB, [measured(three, 2 * GIB)])
    assert memory.admits(two, [two])
    memory = GpuMemory(12 * GIB, [measured(two, 2 * GIB)])
    assert memory.admits(two, [two])
    assert not memory.admits(three, [two])


def test_a_setting_is_a_network_of_its_own(cells):
    taps = cells["taps"]
    wider = replace(taps, key=taps.key.model_copy(update={"setting": "gate=9"}))
    memory = GpuMemory(12 * GIB, [measured(taps, GIB)])
    assert not memory.admits(wider, [taps])


def test_idle_processes_hold_a_context(cells):
    taps = cells["taps"]
    memory = GpuMemory(5 * GIB, [measured(taps, GIB)])
    assert memory.admits(taps, [taps])
    assert not memory.admits(taps, [taps], processes=3)
