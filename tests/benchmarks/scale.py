"""Thousands of short cells on several nodes whose workers, drivers and nodes are killed.

    python tests/benchmarks/scale.py --cells 5000 --nodes 4 --slots 8 --seconds 20 --kills 40

A node is a `suite run` of its own on the shared folder, with so many workers; a cell sleeps for so
many seconds. At random moments a worker, a driver or a whole node is killed, and what has ended is
started again. In the end every cell must have a result, no cell may have been computed twice unless
a kill came between, and the pages must be those of a run in which nothing was killed (in which no
cell sleeps). Printed are these counts and how busy the slots were.
"""

import argparse
import filecmp
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import toy

from suite.results.folder import read_results

TASKS = 2
SEEDS = 100
"""Results have the seeds from 0 to 99; the more cells, the more methods."""
STEPS = 4
# A cell shall sleep, and not compute: of few examples, in small batches.
toy.TASKS = toy.TASKS.replace("(96, 48, 48)", "(16, 8, 8)")
# How long a cell sleeps is no part of its code, so that both runs have the same cells.
SLEEP = "time.sleep(float(os.environ['SLEEP']))"
RECORD = """
    def phases(self, model):
        model.is_trained = True
        return super().phases(model)

    def facts(self, model):
        if hasattr(model, "is_trained"):
            with open(os.environ["TRAINED"], "a") as file:
                file.write(os.readlink("/proc/self/fd/1") + "\\n")
        return {}
"""


@dataclass
class Nodes:
    """The drivers of all nodes, started again when they have ended before everything is done."""

    count: int
    command: list[str]
    environment: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    begun: int = 0

    def start(self) -> None:
        """Start what is missing."""
        while len(self.running) < self.count:
            self.running.append(
                subprocess.Popen(
                    self.command,
                    env=self.environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            self.begun += 1

    def ended(self) -> list[int]:
        """Exit codes of those that have ended since the last time."""
        over = [each for each in self.running if each.poll() is not None]
        self.running = [each for each in self.running if each.poll() is None]
        return [each.returncode for each in over]

    def kill(self, what: str, rng: random.Random) -> str:
        """Kill a worker, a driver, or a driver with all its workers; what was killed."""
        if not self.running:
            return ""
        driver = rng.choice(self.running).pid
        below = descendants(driver)
        victims = {"worker": below[-1:], "driver": [driver], "node": [driver, *below]}[what]
        if what == "worker" and below:
            victims = [rng.choice(below)]
        for process in victims:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return what if victims else ""


def descendants(process: int) -> list[int]:
    """Processes that one has started, and those that these have."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    found = []
    for child in map(int, children):
        found += [child, *descendants(child)]
    return found


def command(registry: Path, out: Path, seeds: int, workers: int) -> list[str]:
    """What runs all cells."""
    words = [sys.executable, "-m", "suite", "run", "-q", "--registry", str(registry)]
    words += ["-m", "sleeper*", "-t", "colours", "--steps", str(STEPS), "--batch-size", "4"]
    return [*words, "--seeds", f"0-{seeds - 1}", "-j", str(workers), "--out", str(out)]


def main() -> None:
    """Run, kill, and hold the folder against that of an undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in {"cells": 5000, "nodes": 4, "slots": 8, "kills": 40, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    root = Path(tempfile.mkdtemp(prefix="scale-"))
    registry, out, calm = root / "registry", root / "out", root / "calm"
    registry.mkdir()
    toy.write_tasks(registry)
    methods = -(-asked.cells // (TASKS * SEEDS))
    for number in range(methods):
        toy.write_method(registry, f"sleeper{number}", penalty=SLEEP, more=RECORD)
    seeds = asked.cells // (TASKS * methods)
    cells = TASKS * methods * seeds
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(root / "cache"),
        "SLEEP": str(asked.seconds / STEPS),
        "TRAINED": str(root / "trained"),
    }
    nodes = Nodes(asked.nodes, command(registry, out, seeds, asked.slots), environment)
    expected = cells * asked.seconds / (asked.nodes * asked.slots)
    moments = sorted(rng.uniform(0.05, 0.9) * expected for _ in range(asked.kills))
    began, killed = time.monotonic(), Counter[str]()
    nodes.start()
    while nodes.running:
        time.sleep(0.2)
        while moments and time.monotonic() - began > moments[0]:
            moments.pop(0)
            killed[nodes.kill(rng.choice(("worker", "driver", "node")), rng)] += 1
        codes = nodes.ended()
        if any(code for code in codes):
            nodes.start()
    wall = time.monotonic() - began
    results = read_results(out)
    trained = Counter((root / "trained").read_text().splitlines())
    again = {name: count for name, count in trained.items() if count > 1}
    busy = sum(each.total_seconds for each in results.values())
    print(f"{dict(killed)} killed, {nodes.begun} drivers started, {wall:.0f} s")
    print(f"{cells - len(results)} of {cells} results lost")
    print(f"{sum(each.status != 'ok' for each in results.values())} results are no success")
    print(f"{len(again)} cells trained to the end more than once, {sum(killed.values())} kills")
    print(f"slots busy: {100 * busy / (wall * asked.nodes * asked.slots):.0f} %")
    environment |= {"SLEEP": "0", "TRAINED": str(root / "trained-calm")}
    cores = os.cpu_count() or 1
    subprocess.run(command(registry, calm, seeds, cores), env=environment, check=True)
    pages = [path.name for path in calm.glob("*.md")]
    _, different, absent = filecmp.cmpfiles(calm, out, pages, shallow=False)
    print(f"{len(pages)} pages, {len(different) + len(absent)} of them other than undisturbed")


if __name__ == "__main__":
    main()
