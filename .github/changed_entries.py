"""Print the methods and tasks whose files differ from a commit, one a line.

python .github/changed_entries.py origin/main
"""

import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from suite.registry import Registry, load

ROOT = Path(__file__).parents[1]


def entries(registry: Registry, changed: Set[Path]) -> Iterator[str]:
    """Names, as `suite check` takes them, of entries with one of these files as YAML or Python.

    A task without a mini source has nothing to check; `validate` has read its YAML.
    """
    for method in registry.methods.values():
        if not changed.isdisjoint((method.path, method.python_path)):
            yield method.name
    for name, task in registry.tasks.items():
        mini = task.sources.mini
        if mini and not changed.isdisjoint((task.path, task.path.parent / mini.python)):
            yield name


def main(base: str) -> None:
    """Compare the checkout with its common ancestor with `base`."""
    command = ["git", "-C", str(ROOT), "diff", "--name-only", "--diff-filter=d", f"{base}...HEAD"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    changed = {ROOT / name for name in names.splitlines()}
    for name in entries(load(ROOT), changed):
        print(name)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
