"""Cells on a Ray cluster of several nodes, which Ray's own test cluster simulates."""

import os
import threading
import time
from collections import Counter

import pytest
from toy import write_method, write_tasks

ray = pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")

import suite  # noqa: E402
from suite.engine.executors import ray as executor  # noqa: E402
from suite.engine.executors.ray import RayExecutor  # noqa: E402
from suite.engine.gpu_memory import GpuMemory  # noqa: E402
from suite.engine.progress import QuietProgress  # noqa: E402
from suite.engine.settings import Settings  # noqa: E402
from suite.errors import UserError  # noqa: E402
from suite.planning.plan import Request, plan  # noqa: E402
from suite.registry import load  # noqa: E402

# Who computed a cell: also said when the worker checks the method before its first training.
MARK = """
    def facts(self, model):
        with open(os.environ["MARK"], "a") as file:
            name = os.path.basename(os.path.dirname(os.readlink("/proc/self/fd/1")))
            file.write(f"{name} {os.getpid()} {os.getppid()}\\n")
        return {}
"""
# Loses the actor, which is the worker's parent: always, or the first time.
LOSES = "os.kill(os.getppid(), signal.SIGKILL)"
LOSES_ONCE = f"""
        import pathlib
        once = pathlib.Path(os.environ["MARK"] + ".once")
        if not once.exists():
            once.touch()
            {LOSES}
            time.sleep(1000)
""".strip()


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    return tmp_path_factory.mktemp("mark") / "mark"


@pytest.fixture(scope="module")
def cluster(mark, tmp_path_factory):
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ |= {"MARK": str(mark), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    made = Cluster()
    # The first node computes nothing: it is the one that cannot be removed.
    for cores in (0, 1, 1):
        made.add_node(num_cpus=cores, object_store_memory=100 * 2**20)
    ray.init(made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_tasks(folder)
    write_method(folder, "good", more=MARK)
    write_method(folder, "slow", more=MARK, penalty="time.sleep(1)")
    write_method(folder, "raises", adapt='raise ValueError("the moon is full")')
    write_method(folder, "loses", adapt=LOSES)
    write_method(folder, "loses_once", adapt=LOSES_ONCE, more=MARK)
    return folder


@pytest.fixture(autouse=True)
def soon(monkeypatch, mark):
    mark.unlink(missing_ok=True)
    monkeypatch.setattr(executor, "AVOID_SECONDS", 1.0)


def run(registry, out, methods, tasks="colours", **words):
    return suite.run(methods, tasks, registry=registry, out=out, executor="ray", **words)


def computed(mark):
    return sorted({tuple(line.split()) for line in mark.read_text().splitlines()})


def test_actors_on_every_node_compute_each_cell_once_and_keep_their_worker(
    cluster, registry, tmp_path, mark, capfd
):
    frame = run(registry, tmp_path, "good", seeds="0-2").frame()
    assert [*frame.status] == ["ok"] * 6
    done = computed(mark)
    assert Counter(name for name, *_ in done) == Counter(
        path.stem for path in (tmp_path / "results").glob("*good*.json")
    )
    assert len({worker for _, worker, _ in done}) == 2, "one worker on each of two nodes"
    assert not [*(tmp_path / "results").glob("*.claim")]
    said = capfd.readouterr().err
    assert "Ray: 2 nodes" in said and "[6/6]" in said
    assert [*run(registry, tmp_path, "raises").frame().status] == ["failed"] * 2

    here = tmp_path / "here"
    suite.run("good", "colours", registry=registry, out=here, seeds="0-2", device="cpu", jobs=1)
    for path in (here / "work").glob("*/delta.safetensors"):
        there = tmp_path / "work" / path.parent.name / path.name
        assert there.read_bytes() == path.read_bytes()


def test_a_cell_whose_actor_is_lost_is_tried_again_once(cluster, registry, tmp_path, mark, capfd):
    frame = run(registry, tmp_path, "loses_once,loses,good", "reds").frame()
    status = dict(zip(frame.method, frame.status, strict=True))
    assert status == {"good": "ok", "loses": "failed", "loses_once": "ok"}
    (reason,) = frame.reason[frame.method == "loses"]
    assert reason.startswith("its actor was lost twice, at last on the node ")
    said = capfd.readouterr().err
    assert said.count("tried again") == 2, said
    assert not [*(tmp_path / "results").glob("*.claim")]


def test_the_cells_of_a_node_that_is_lost_are_computed_on_the_others(
    cluster, registry, tmp_path, mark
):
    node = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)

    def remove():
        while len({actor for *_, actor in computed(mark)} if mark.exists() else ()) < 3:
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=remove)
    thread.start()
    frame = run(registry, tmp_path, "slow", seeds="0-5").frame()
    thread.join()
    assert [*frame.status] == ["ok"] * 12
    assert set(Counter(name for name, *_ in computed(mark)).values()) <= {1, 2}
    assert not [*(tmp_path / "results").glob("*.claim")]


def test_a_node_that_does_not_share_the_folder_is_named(cluster, registry, tmp_path, monkeypatch):
    """The claim is removed as if it had been written to another disk."""
    submit = RayExecutor.submit

    def elsewhere(self, job, claim):
        claim.own.unlink()
        submit(self, job, claim)

    monkeypatch.setattr(RayExecutor, "submit", elsewhere)
    with pytest.raises(UserError, match=r"the node \S+ does not see .*results"):
        run(registry, tmp_path, "good", "reds")


def test_the_share_of_a_gpu_follows_from_measured_memory(cluster, registry, tmp_path, monkeypatch):
    """Nothing is computed: where would the GPU come from?"""
    suite.run("good", "reds", registry=registry, out=tmp_path, device="cpu")
    (result,) = suite.read_results(tmp_path, registry=registry)
    on_gpu = result.environment.model_copy(update={"device": "cuda:0"})
    result = result.model_copy(update={"environment": on_gpu, "peak_memory_bytes": 2 * 2**30})
    monkeypatch.setattr(RayExecutor, "_peaks", lambda self, made: GpuMemory(10 * 2**30, [result]))
    node = cluster.add_node(num_cpus=4, num_gpus=1, object_store_memory=100 * 2**20)
    try:
        known = load(registry)
        made = plan(Request(("good", "slow"), ("reds",), seeds=(0, 1, 2, 3)), known)
        places = RayExecutor(made, known, Settings(tmp_path), QuietProgress(0), disconnect=False)
        jobs = {name: [j for j in made.jobs() if j.cells[0].key.method == name]
                for name in ("good", "slow")}  # fmt: skip
        shares = {name: places._share(some[0]) for name, some in jobs.items()}
        assert shares == {"good": 1 / 3, "slow": 1.0}
        for job in jobs["good"][:3]:
            assert places.has_room(job)
            places.submit(job, None)
        assert not places.has_room(jobs["good"][3]) and not places.has_room(jobs["slow"][0])
        places.stop()
    finally:
        cluster.remove_node(node)


def test_words_that_make_no_sense_on_a_cluster_are_refused(cluster, registry, tmp_path):
    with pytest.raises(UserError, match="the nodes of the Ray cluster have no GPU"):
        run(registry, tmp_path, "good", "reds", device="cuda")
    with pytest.raises(UserError, match="Ray chooses"):
        run(registry, tmp_path, "good", "reds", device="cuda:1")
