"""A cell cannot change the result of the next one in its process."""

import itertools

import pytest
from toy import write_method, write_tasks

from suite.engine.devices import Device
from suite.engine.executors.local import LocalExecutor
from suite.engine.progress import QuietProgress
from suite.engine.settings import Settings
from suite.planning.plan import Request, plan
from suite.registry import load
from suite.results.claims import Claims

# A forked worker may hold workspaces of its parent beside its own: all are searched.
WORKSPACES = """
        import gc
        from suite.engine.workspace import Workspace
        spaces = [each for each in gc.get_objects() if isinstance(each, Workspace)]
"""
CULPRITS = {
    "optimizer": ("torch.optim.AdamW.step = lambda *_: None", "ok", "torch.optim.adamw.AdamW.step"),
    "seeds": ("torch.manual_seed = lambda seed: None", "ok", "torch.manual_seed"),
    "loss": (
        "nn.functional.cross_entropy = lambda a, b, **_: a.sum() * 0.0",
        "ok",
        "torch.nn.functional.cross_entropy",
    ),
    "gradients": ("torch.set_grad_enabled(False)", "failed", "whether torch records gradients"),
    "environment": ("os.environ['LEFT'] = 'behind'", "ok", "the environment"),
    "judge": (
        "import suite.engine.scoring as c; c.evaluate = lambda *_: {'accuracy': 100.0}",
        "failed",
        "suite.engine.scoring.evaluate",
    ),
    "weights": (
        WORKSPACES
        + "        backbones = [each for space in spaces for each in space.backbones.values()]\n"
        "        [each.data.mul_(0.5) for backbone in backbones for each in backbone.parameters()]",
        "failed",
        "the weights of resnet_mini",
    ),
    "answers": (
        WORKSPACES
        + "        tasks = [each for space in spaces for each in space.encoded.values()]\n"
        "        [each.test.targets.zero_() for each in tasks]",
        "failed",
        "the answers of reds",
    ),
}
UNREADABLE = {
    "closes": ("os.close(1); os.close(2); raise OSError('no disk')", "OSError: no disk"),
    "surrogate": (r"raise RuntimeError('\\ud800 bad')".replace(r"\\", "\\"), r"\ud800 bad"),
    "silent": (
        "exec('class X(Exception):\\n def __str__(self): raise ValueError(1)\\nraise X()')",
        "X: its message cannot be read",
    ),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good")
    for name, (adapt, *_) in (CULPRITS | UNREADABLE).items():
        write_method(folder, name, adapt=adapt.strip())
    return folder


class Notes(QuietProgress):
    def __init__(self):
        super().__init__(0)
        self.said = []

    def note(self, text):
        self.said.append(text)


def jobs(registry, *methods, seeds=(0,)):
    return [*plan(Request(methods, ("reds",), seeds=seeds, steps=4), load(registry)).jobs()]


def run(registry, out, jobs):
    """The results of jobs, one after another in one worker, by method and seed; and the notes."""
    (out / "results").mkdir(parents=True)
    notes, results = Notes(), {}
    with Claims(out / "results") as claims:
        executor = LocalExecutor([Device("cpu", 1, 1)], load(registry), Settings(out, "cpu"), notes)
        try:
            for number, job in enumerate(jobs):
                executor.submit(job, claims.take(f"{number}"))
                while len(results) == number:
                    for outcome in executor.receive(1.0):
                        cell = outcome.result.cell
                        results[cell.method, cell.seed] = outcome.result
        finally:
            executor.stop()
    return results, notes.said


def test_the_cell_after_it_is_that_of_a_run_without_it(registry, tmp_path, forked):
    culprits = jobs(registry, *CULPRITS)
    names = [job.cells[0].key.method for job in culprits]
    innocent = jobs(registry, "good", seeds=tuple(range(len(culprits))))
    alone, _ = run(registry, tmp_path / "alone", innocent)
    mixed, said = run(
        registry, tmp_path / "mixed", [*itertools.chain(*zip(culprits, innocent, strict=True))]
    )
    for key, result in alone.items():
        assert result.status == mixed[key].status == "ok"
        assert mixed[key].scores == result.scores
        assert mixed[key].delta == result.delta
    assert len(said) == len(names)
    for name, line in zip(names, said, strict=True):
        _, status, changed = CULPRITS[name]
        assert (mixed[name, 0].status, changed in line) == (status, True), line
    assert "changed suite.engine.scoring.evaluate" in mixed["judge", 0].reason


def test_a_worker_whose_cells_changed_nothing_goes_on(registry, tmp_path, forked, monkeypatch):
    from suite.engine.executors import local

    started = []
    start = local.start_worker
    monkeypatch.setattr(local, "start_worker", lambda *values: started.append(1) or start(*values))
    results, said = run(registry, tmp_path, jobs(registry, "good", seeds=(0, 1, 2)))
    assert [each.status for each in results.values()] == ["ok"] * 3
    assert (said, len(started)) == ([], 1)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_failure_that_cannot_be_told_is_a_row_all_the_same(registry, tmp_path, forked, name):
    results, _ = run(registry, tmp_path, [*jobs(registry, name), *jobs(registry, "good")])
    assert results[name, 0].status == "failed"
    assert results[name, 0].reason.endswith(UNREADABLE[name][1])
    assert results["good", 0].status == "ok"
