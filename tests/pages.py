"""The documents that hold code and what it prints: docs/python.md and docs/quickstart.ipynb.

`python tests/pages.py` runs both and writes anew what their code prints; for the notebook it needs
`pip install nbclient ipykernel`.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```\n)?", re.S)
DECIMAL = re.compile(r"-?\d+\.\d+")


PUBLISHED = ("visual-domains.vit_mini.mini.jsonl",)
"""Published results that suffice as an example; to read all takes ten times as long."""


@contextlib.contextmanager
def workplace(folder: Path, cache: Path, published: Sequence[str] = ()) -> Iterator[None]:
    """A folder where the documents can be run: new, but for the published results, of which a few
    files may suffice. What is made once a machine, such as the examples of tasks, is kept in
    `cache`."""
    if published:
        data = folder / "leaderboards" / "data"
        data.mkdir(parents=True)
        for name in published:
            (data / name).symlink_to(ROOT / "leaderboards" / "data" / name)
    else:
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

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with workplace(folder, folder / "cache", PUBLISHED):
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
