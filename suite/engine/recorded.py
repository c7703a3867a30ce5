"""Runs cells under the code of a recorded commit and under the present one, and compares them.

The recorded code runs in a git worktree of its own, through its own command line. The present code
takes options and recipe from what that wrote, so that both do the same; each cell runs alone, in a
process and on a device of the same kind.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from huggingface_hub import constants

from suite.engine import environment
from suite.engine.execution import execute
from suite.engine.settings import Settings
from suite.errors import UserError
from suite.planning.cells import Plan, Planned
from suite.planning.outdated import Group, Outdated, request_for
from suite.planning.plan import plan
from suite.registry import Registry
from suite.registry.schema import Store
from suite.results.folder import read_results
from suite.results.records import Carried, Result


@dataclass(frozen=True)
class Comparison:
    """What both codes made of some cells: the record of it if they are equal, else why not."""

    predictions: int
    difference: str = ""
    carried: Carried | None = None


class Recorded:
    """The code of commits, each checked out once below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trees: list[Path] = []

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["Recorded"]:
        """Somewhere to check out, removed at the end."""
        with tempfile.TemporaryDirectory(prefix="suite-") as folder:
            made = cls(Path(folder))
            try:
                yield made
            finally:
                for tree in made._trees:
                    environment.git(
                        environment.CHECKOUT, "worktree", "remove", "--force", str(tree)
                    )

    def tree(self, commit: str) -> Path:
        """The source of a commit. Raises `UserError` where this repository does not have it."""
        path = self.folder / "trees" / commit
        if path not in self._trees:
            words = ("worktree", "add", "--detach", str(path), commit)
            try:
                environment.git(environment.CHECKOUT, *words)
            except (OSError, subprocess.CalledProcessError):
                raise UserError(f"commit {commit[:8]} is not in this repository") from None
            self._trees.append(path)
        return path

    def compare(
        self, group: Group, sample: list[Outdated], steps: int | None, registry: Registry
    ) -> Comparison:
        """Run a sample of a group under both codes, with `steps` in place of the recipe's if given.

        Raises `UserError` where the recorded code cannot be had, or one of the two does not run.
        """
        if group.commit is None:
            raise UserError("no commit was recorded")
        tree = self.tree(group.commit)
        predictions = 0
        for each in sample:
            before = self._under_recorded(tree, each.result, steps)
            now = self._under_present(before, steps, registry)
            predictions += sum(len(score.predictions) for score in before.scores)
            if difference := _difference(before, now):
                return Comparison(predictions, f"{each.result.cell.label}: {difference}")
        assert before.environment is not None
        carried = Carried(
            commit=group.commit,
            dirty=group.dirty,
            cells=tuple(each.result.cell.label for each in sample),
            steps=before.recipe.steps if before.recipe else 0,
            predictions=predictions,
            hardware=before.environment.hardware,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return Comparison(predictions, carried=carried)

    def _under_recorded(self, tree: Path, result: Result, steps: int | None) -> Result:
        asked = replace(request_for([result]), steps=steps or request_for([result]).steps)
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            words = ["run", "-m", *asked.methods, "-t", *asked.tasks, "-b", *asked.backbones]
            words += ["--scale", asked.scale, "--seeds", *map(str, asked.seeds), "--out", out]
            words += ["--device", _device(result), "-j", "1", "-q"]
            words += asked.flags
            if result.cell.store is not Store.FLOAT32:
                words += ["--store", result.cell.store]
            words += [word for option in asked.options for word in ("--set", option)]
            # Its own encoded examples: only it knows when they are out of date.
            own = {
                "PYTHONPATH": str(tree),
                "XDG_CACHE_HOME": str(self.folder / "cache" / tree.name),
                # What was fetched lies below the user's cache, and is not fetched again.
                "HF_HOME": constants.HF_HOME,
            }
            kept = {key: value for key, value in os.environ.items() if key != "SUITE_REGISTRY"}
            done = subprocess.run(
                [sys.executable, "-m", "suite", *words],
                cwd=tree,
                env=kept | own,
                capture_output=True,
                text=True,
                check=False,
            )
            found = [each for each in read_results(Path(out)).values() if each.status == "ok"]
        if len(found) != 1:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"the recorded code gives no score for {result.cell.label}: {last}")
        return found[0]

    def _under_present(self, before: Result, steps: int | None, registry: Registry) -> Result:
        asked = replace(request_for([before]), steps=steps)
        (item,) = plan(asked, registry).planned
        assert before.recipe is not None
        cell = replace(item.cell, recipe=before.recipe)
        made = Plan(asked, (Planned(cell, "run", "compared"),))
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            settings = Settings(Path(out), _device(before), jobs=1, quiet=True)
            execute(made, registry, settings)
            (result,) = read_results(settings.out).values()
        if result.status != "ok":
            raise UserError(
                f"the present code gives no score for {cell.key.label}: {result.reason}"
            )
        return result


def _device(result: Result) -> str:
    """The kind of device that a result was measured on."""
    return result.environment.device.partition(":")[0] if result.environment else "cpu"


def _difference(before: Result, now: Result) -> str:
    """How two results of a cell differ in what was computed; empty if they are equal."""
    unlike = total = 0
    for old, new in zip(before.scores, now.scores, strict=True):
        pairs = list(zip(old.predictions, new.predictions, strict=True))
        unlike += sum(one != other for one, other in pairs)
        total += len(pairs)
        if old.targets != new.targets:
            return f"other test examples of {old.task}"
    if unlike:
        return f"{unlike} of {total} predictions differ"
    for old, new in zip(before.scores, now.scores, strict=True):
        if (old.metrics, old.validation_score) != (new.metrics, new.validation_score):
            return f"other scores of {old.task} from equal predictions"
    if _bits(before) != _bits(now):
        return "other costs from equal predictions"
    return ""


def _bits(result: Result) -> object:
    """The ledger without the size of the file, in which names take room, too."""
    return result.ledger and result.ledger.model_copy(update={"file_bytes": 0})
