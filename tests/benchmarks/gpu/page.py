"""Print a CSV of the benchmark as the table of targets in docs/kernels.md.

python tests/benchmarks/gpu/page.py docs/kernels-h100.csv
"""

import csv
import sys
from pathlib import Path

from measure import Row
from tabulate import tabulate
from targets import verdicts


def read(path: Path) -> tuple[list[Row], dict[str, str]]:
    """(the measured rows, the hardware and versions of the first line)."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    numbers = ("median", "low", "high")
    names = ("section", "case", "variant", "metric", "unit", "note")
    rows = [
        Row(**{key: float(line[key]) for key in numbers}, **{key: line[key] for key in names})
        for line in lines
        if line["median"]
    ]
    return rows, {key: lines[0][key] for key in ("gpu", "torch", "triton", "cuda")}


def table(path: Path) -> str:
    """One Markdown row a target and case; a target that was not measured has no row."""
    rows, header = read(path)
    words = {True: "met", False: "**missed**", None: ""}
    body = [
        (one.number, one.what, one.case, f"{one.value:.3f}", one.target, words[one.met])
        for one in verdicts(rows)
        if one.value is not None
    ]
    columns = ("", "quantity", "case", "measured", "target", "")
    aligned = ("left", "left", "left", "right", "right", "left")
    title = ", ".join(f"{key} {value}" if key != "gpu" else value for key, value in header.items())
    return f"{title}\n\n" + tabulate(
        body, columns, tablefmt="github", colalign=aligned, disable_numparse=True
    )


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
