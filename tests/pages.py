"""The documents that hold code and what it prints: docs/python.md and docs/quickstart.ipynb.

`python tests/pages.py` runs both and writes anew what their code prints; for the notebook it needs
`pip install nbclient ipykernel`.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```\n)?", re.S)
DECIMAL = re.compile(r"-?\d+\.\d+")


@contextlib.contextmanager
def workplace(folder: Path, cache: Path) -> Iterator[None]:
    """A folder where the documents can be run: new, but for the published results. What is made
    once a machine, such as the examples of tasks, is kept in `cache`."""
    (folder / "leaderboards").symlink_to(ROOT / "leaderboards")
    before = dict(os.environ)
    os.environ.update(MPLBACKEND="agg", XDG_CACHE_HOME=str(cache), NO_COLOR="1", COLUMNS="80")
    os.environ.pop("SUITE_REGISTRY", None)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def differences(stated: str, printed: str, tolerance: float) -> str:
    """The first line that is not as stated; decimals may differ by `tolerance`, and with them the
    widths of columns."""
    lines = zip_longest(stated.rstrip().splitlines(), printed.rstrip().splitlines(), fillvalue="")
    for said, found in lines:
        words, others = DECIMAL.sub("#", said).split(), DECIMAL.sub("#", found).split()
        numbers = zip(DECIMAL.findall(said), DECIMAL.findall(found), strict=False)
        if words != others or any(abs(float(a) - float(b)) > tolerance for a, b in numbers):
            return f"stated: {said}\nprinted: {found}"
    return ""


def _write_page() -> None:
    from notebook import Notebook

    notebook = Notebook()

    def anew(block: re.Match[str]) -> str:
        printed = notebook.run(block["code"])
        if block["printed"] is None:
            return block[0]
        return f"```python\n{block['code']}```\n\n```text\n{printed.rstrip()}\n```\n"

    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder), Path(folder) / "cache"):
        text = BLOCK.sub(anew, PAGE.read_text())
    PAGE.write_text(text)


def _write_notebook() -> None:
    import nbclient
    import nbformat

    stored = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder), Path(folder) / "cache"):
        # The kernel has a display of its own for plots.
        del os.environ["MPLBACKEND"]
        nbclient.NotebookClient(stored, resources={"metadata": {"path": folder}}).execute()
    for cell in stored.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(stored, NOTEBOOK)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _write_page()
    _write_notebook()
