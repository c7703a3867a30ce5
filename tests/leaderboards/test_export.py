import csv
import io

import pandas as pd
import pytest

from suite.errors import UserError
from suite.leaderboards import build, check, export, export_to
from suite.leaderboards.aggregate import boards
from suite.results.packing import pack

CSV = "tables/glue-bert_mini-mini.csv"


def write(results, folder):
    for result in results:
        result.write(folder / "results")


@pytest.fixture
def results(make):
    return [
        *make.per_task("full", 0.9, own=1000, options={"rank": 4, "bias": False}),
        *make.joint("hyper", 0.7, shared=300, own=20, trained=360),
        *[r for r in make.per_task("probe", 0.6) if r.cell.tasks != ("rte",)],
    ]


def test_the_table_of_a_board_has_what_its_page_has(registry, results, tmp_path):
    write(results, tmp_path)
    build(tmp_path, registry)
    (board,) = [b for b in boards(results, registry) if b.backbone == "bert_mini"]
    full, hyper, probe = csv.DictReader(io.StringIO((tmp_path / CSV).read_text()))
    row = board.ranked[0]
    low, high = row.estimate.interval()
    assert (full["method"], full["setting"]) == ("full", "rank=4, bias=false")
    assert (full["family"], full["status"], full["regime"]) == ("bert", "ranked", "per_task")
    assert [float(full[key]) for key in ("score", "low", "high", "stored_x")] == pytest.approx(
        [row.score, low, high, row.cost.stored_x], rel=1e-5
    )
    assert [full[key] for key in ("rank", "rank_low", "rank_high", "perhaps_best")] == [
        "1", "1", "1", "True",
    ]  # fmt: skip
    assert (full["seeds"], full["steps"], full["trained"]) == ("0 1 2", "300", "100")
    assert float(full["rte"]) == pytest.approx(row.tasks["rte"].estimate.score, rel=1e-5)
    bits = ("shared_bits", "task_bits", "head_bits", "buffer_bits")
    assert [int(hyper[key]) for key in bits] == [32 * 300, 3 * 32 * 20, 3 * 320, 0]
    assert [int(full[key]) for key in bits] == [0, 3 * 32 * 1000, 3 * 320, 0]
    assert (probe["status"], probe["score"], probe["rank"]) == ("below the line", "", "")
    assert probe["note"] == "2/3 tasks (not run: rte)"


def test_without_a_row_the_table_has_its_header_alone(registry, tmp_path):
    (tmp_path / "results").mkdir()
    export_to(tmp_path / "all.csv", tmp_path, registry)
    (header,) = (tmp_path / "all.csv").read_text().splitlines()
    assert header.startswith("track,backbone,scale,family,method,")


def test_check_holds_tables_to_the_results(registry, results, tmp_path):
    write(results, tmp_path)
    build(tmp_path, registry)
    assert check(tmp_path, registry) == []
    table = tmp_path / CSV
    table.write_text(table.read_text().replace("ranked", "rankled", 1))
    assert check(tmp_path, registry) == [CSV]
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    build(tmp_path, registry)
    assert not table.exists()


@pytest.mark.parametrize("name", ["boards.csv", "boards.parquet"])
def test_one_file_holds_the_rows_of_all_boards(registry, results, tmp_path, name):
    write(results, tmp_path)
    pack(tmp_path)
    export_to(tmp_path / "new" / name, tmp_path, registry)
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    frame = read(tmp_path / "new" / name)
    every = export.records(boards(results, registry))
    assert list(frame.columns) == list(every[0])
    assert list(frame["method"]) == [line["method"] for line in every]
    published = frame[frame["status"].str.startswith("published")]
    assert set(published["backbone"]) == {"t5_base"}
    assert published["rank"].isna().all()
    if name.endswith("parquet"):
        assert pd.api.types.is_integer_dtype(frame["head_bits"])
        assert pd.api.types.is_float_dtype(frame["score"])


def test_a_file_of_another_kind_is_refused(registry, results, tmp_path):
    write(results, tmp_path)
    with pytest.raises(UserError, match=r"must end in \.csv or \.parquet"):
        export_to(tmp_path / "boards.xlsx", tmp_path, registry)
