"""The parquet files of a split as one table."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.console import shown
from suite.errors import UserError

if TYPE_CHECKING:
    import datasets
    import pyarrow


def read_table(files: Sequence[Path], digest: str) -> "datasets.Dataset":
    """The rows of some files, one after the other; `digest` names what they hold.

    Raises `UserError` for a file that is no parquet or damaged, for one without rows where there is
    no other, and for files that are not of one table: with other columns, or with labels that have
    other names or are texts here and numbers there.
    """
    import datasets

    datasets.disable_progress_bars()
    # What is wrong with a file is said below, in one message.
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        filled = _of_one_table(files)
        return datasets.load_dataset(
            # Its cache knows files by their names and times, which two versions may share.
            "parquet", _config(digest), split="train",
            data_files={"train": [str(path) for path in filled]},
        )  # fmt: skip
    except UserError:
        raise
    # datasets and pyarrow raise whatever they meet in a damaged file.
    except Exception as error:
        names = ", ".join(map(shown, files))
        reason = " ".join(str(error.__cause__ or error).split())
        what = "not a whole parquet file" if len(files) == 1 else "not the files of one table"
        raise UserError(f"{what}: {names} ({reason})") from error


def _config(digest: str) -> str:
    """A name of the digest that datasets takes for one of a configuration."""
    return digest.replace("/", "--")[-64:]


def _of_one_table(files: Sequence[Path]) -> list[Path]:
    """The files that have rows, after a look at what all of them declare."""
    from pyarrow.parquet import read_metadata

    filled, kinds = [], []
    for path in files:
        metadata = read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        names = schema.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"{shown(path)}: two columns are called {', '.join(twice)}")
        if metadata.num_rows:
            filled.append(path)
            kinds.append(_kinds(schema))
    if not filled:
        raise UserError(f"{', '.join(map(shown, files))}: no rows")
    for path, own in zip(filled, kinds, strict=True):
        for name, kind in own.items():
            if kinds[0].get(name, kind) != kind:
                raise UserError(
                    f"not the files of one table: column '{name}' has {kinds[0][name]} in "
                    f"{shown(filled[0])}, but {kind} in {shown(path)}"
                )
    return filled


def _kinds(schema: "pyarrow.Schema") -> Mapping[str, str]:
    """What the columns hold, where files that differ in it cannot be read as one table."""
    import datasets

    def kind(feature: object) -> str:
        feature = getattr(feature, "feature", feature)
        if isinstance(feature, datasets.ClassLabel):
            return f"labels {', '.join(feature.names)}"
        value = feature.dtype if isinstance(feature, datasets.Value) else ""
        return "texts" if "string" in value else "numbers" if value else "other values"

    features = datasets.Features.from_arrow_schema(schema)
    return {name: kind(feature) for name, feature in features.items()}
