"""Leaderboards and comparisons as tables of pandas."""

import numpy as np
import pytest

from suite.errors import UserError
from suite.leaderboards.frame import Results


@pytest.fixture
def results(registry, make, tmp_path):
    cells = [
        *make.per_task("full", 0.9),
        *make.per_task("probe", 0.6),
        *make.per_task("full", 0.8, backbone="other"),
        *make.per_task("odd", 0.7, seeds=(0,)),
        make.cell("hyper", "rte", 0, status="failed", reason="broken"),
    ]
    return Results(cells, registry, tmp_path)


def test_rows_are_those_of_the_leaderboards(results):
    rows = results.rows().set_index(["backbone", "method"])
    full, odd = rows.loc[("bert_mini", "full")], rows.loc[("bert_mini", "odd")]
    assert (full["rank"], full["rank_low"], bool(full["perhaps_best"])) == (1, 1, True)
    assert full["low"] < full["score"] < full["high"]
    assert full["score"] == pytest.approx(full[["cola", "mrpc", "rte"]].astype(float).mean())
    assert (odd["status"], odd["note"]) == ("below the line", "seeds 0; most methods have 0, 1, 2")
    assert results.rows()["rank"].dtype == "Int64"


def test_two_rows_are_compared_where_both_have_a_score(results, registry):
    (found,) = results.compare("full", "probe").to_dict("records")
    assert (found["track"], found["backbone"]) == ("glue", "bert_mini")
    assert found["low"] < found["difference"] < found["high"]
    assert found["p"] < 0.001 and found["detectable"] > 0
    (other_way,) = results.compare("probe", "full").to_dict("records")
    assert other_way["difference"] == -found["difference"]
    assert (other_way["low"], other_way["high"]) == (-found["high"], -found["low"])


def test_of_single_runs_the_difference_alone_is_known(registry, make, tmp_path):
    cells = [*make.per_task("full", 0.9, (0,)), *make.per_task("probe", 0.6, (0,))]
    (found,) = Results(cells, registry, tmp_path).compare("full", "probe").to_dict("records")
    assert found["difference"] > 20
    assert all(np.isnan(found[name]) for name in ("low", "high", "p", "detectable"))


def test_a_name_that_no_row_has_is_said_with_the_nearest(results):
    with pytest.raises(UserError, match=r"no row is called 'fulll'.*full"):
        results.compare("probe", "fulll")
    with pytest.raises(UserError, match="no row is called 'hyper'"):
        results.compare("full", "hyper")
    with pytest.raises(UserError, match="odd cannot be compared: seeds 0; most methods have 0, 1"):
        results.compare("full", "odd")


def test_the_log_of_a_failure_is_named_where_it_exists(results, tmp_path):
    log = tmp_path / "logs" / "hyper.log"
    assert results.frame().set_index("method")["log"].isna().all()
    log.parent.mkdir()
    log.write_text("it broke")
    assert results.frame().set_index("method").loc["hyper", "log"] == str(log)
