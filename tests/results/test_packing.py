"""What is packed comes back as it was, whatever happens meanwhile and whoever merges it."""

import json
import subprocess
from pathlib import Path

import pytest
from made import RECIPE, result, write

from suite.errors import UserError
from suite.results import packing
from suite.results.files import replace_file
from suite.results.folder import read_history, read_results
from suite.results.packing import pack
from suite.results.packs import lines_of, merged
from suite.results.records import Verified
from suite.results.searches import Search, Trial, read_searches

ATTRIBUTES = Path(__file__).parents[2] / ".gitattributes"
LATER = "2026-01-02T00:00:00+00:00"
PACK = "data/glue.bert_mini.mini.jsonl"

MANY = (
    result(),
    result("joint", ("rte", "stsb"), seed=3),
    result("unparsed", predictions=(-1, 61, 0, 10, 36)),
    result("many_classes", predictions=(0, 1, 62, 1, 199)),
    result("regression", predictions=(0.1 + 0.2, 1e-17, 5.0, -1, 2), targets=(0.5, 1.0, 2, 0, 0)),
    result("whole_floats", predictions=(0.0, 1.0, 1.0, 0.0, -1.0)),
    result("elsewhere", backbone="t5_mini"),
    result("broken", status="oom", finished=""),
    result("refused", status="unsupported", finished="", recipe=None),
)


def texts(out):
    """The JSON of every result: unlike records, it tells 1 from 1.0."""
    return [each.model_dump_json() for each in read_results(out).values()]


@pytest.fixture
def packed(tmp_path):
    write(tmp_path, *MANY)
    pack(tmp_path)
    return tmp_path


def test_results_come_back_as_they_were(tmp_path):
    write(tmp_path, *MANY)
    before, heads = texts(tmp_path), dict(read_history(tmp_path))
    assert len(before) == len(MANY)
    written = pack(tmp_path).written
    assert [path.name for path in written] == [
        "glue.bert_mini.mini.jsonl",
        "glue.t5_mini.mini.jsonl",
    ]
    assert not [*(tmp_path / "results").iterdir()]
    assert texts(tmp_path) == before
    assert dict(read_history(tmp_path)) == heads


def test_a_pack_is_lines_that_are_sorted_readable_and_share_what_is_common(packed):
    lines = (packed / PACK).read_text().splitlines()
    assert lines == sorted(set(lines))
    records = [json.loads(line) for line in lines]
    assert [each["value"] for each in records if "shared" in each].count("01101") == 1
    assert sum(str(RECIPE.learning_rate) in line for line in lines) == 1
    (taps,) = (each for each in records if each.get("cell", {}).get("method") == "taps")
    assert taps["scores"][0]["predictions"] == "01101"
    assert taps["options"] == {"rank": 8, "where": "both"}


def test_of_equal_results_that_a_merge_brings_together_the_verified_one_stays():
    mark = Verified(
        by="A Reader", date="2026-02-01T00:00:00+00:00", commit=None, dirty=None,
        hardware="A CPU", answers=5, otherwise=0, difference=0.0,
    )  # fmt: skip
    plain = result()
    marked = plain.model_copy(update={"verified": mark})
    own = [lines_of(each)[0] for each in (plain, marked)]
    for order in (own, own[::-1]):
        assert merged(order) == [own[1]]


def test_packing_again_changes_nothing_and_order_does_not_matter(packed, tmp_path):
    before = (packed / PACK).read_bytes()
    assert pack(packed).written == ()
    assert (packed / PACK).read_bytes() == before
    for each in reversed(MANY):
        write(tmp_path / "other", each)
        pack(tmp_path / "other")
    assert (tmp_path / "other" / PACK).read_bytes() == before


def test_files_stay_until_their_pack_is_written(tmp_path, monkeypatch):
    write(tmp_path, *MANY)
    before = texts(tmp_path)

    def full(target, content):
        if "t5" in target.name:
            raise UserError("the disk is full")
        return replace_file(target, content)

    monkeypatch.setattr(packing, "replace_file", full)
    with pytest.raises(UserError, match="the disk is full"):
        pack(tmp_path)
    assert len([*(tmp_path / "results").iterdir()]) == len(MANY)
    assert texts(tmp_path) == before
    monkeypatch.undo()
    pack(tmp_path)
    assert texts(tmp_path) == before


def test_a_result_that_is_written_meanwhile_stays(tmp_path, monkeypatch):
    write(tmp_path, result())
    again = result(finished=LATER)

    def interrupted(target, content):
        write(tmp_path, again)
        return replace_file(target, content)

    monkeypatch.setattr(packing, "replace_file", interrupted)
    pack(tmp_path)
    assert [*read_results(tmp_path).values()] == [again]


def test_what_is_no_result_stays_where_it_is(tmp_path):
    write(tmp_path, result())
    note = tmp_path / "results" / "note.json"
    note.write_text("{}")
    (left,) = pack(tmp_path).left
    assert left.place.endswith("note.json")
    assert [*note.parent.iterdir()] == [note]


@pytest.mark.parametrize(
    ("in_pack", "in_file", "stays"),
    [
        ({}, {"finished": LATER}, "file"),
        ({"finished": LATER}, {}, "pack"),
        ({}, {"status": "failed", "finished": ""}, "file"),
        ({"status": "failed", "finished": ""}, {}, "file"),
    ],
)
def test_of_a_packed_result_and_one_in_a_file_the_later_counts(tmp_path, in_pack, in_file, stays):
    write(tmp_path, result(**in_pack))
    pack(tmp_path)
    write(tmp_path, result(**in_file))
    expected = result(**(in_file if stays == "file" else in_pack))
    assert [*read_results(tmp_path).values()] == [expected]
    pack(tmp_path)
    assert [*read_results(tmp_path).values()] == [expected]


@pytest.mark.parametrize("line", ["broken", '{"cell":{"method":', "[]", '{"cell":{}}'])
def test_a_line_that_is_none_is_named_left_out_and_never_lost(packed, line):
    before = texts(packed)
    with (packed / PACK).open("a") as file:
        file.write(f"{line}\n")
    number = len((packed / PACK).read_text().splitlines())
    found = read_results(packed)
    assert texts(packed) == before
    assert [each.place for each in found.left_out] == [f"{packed / PACK}:{number}"]
    write(packed, result("new"))
    pack(packed)
    assert line in (packed / PACK).read_text().splitlines()
    assert len(read_results(packed)) == len(MANY) + 1


def test_a_line_of_a_newer_version_is_kept(packed):
    path = packed / PACK
    path.write_text(path.read_text().replace('"schema_version":1,', '"schema_version":99,', 1))
    assert "schema_version" in read_results(packed).warning
    pack(packed)
    assert '"schema_version":99' in path.read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"value":"01101"', '"value":"01100"'), "was changed"),
        (lambda text: text[: text.index('{"shared"')], "is missing from its file"),
    ],
)
def test_shared_values_that_were_edited_or_lost_are_noticed(packed, change, message):
    path = packed / PACK
    path.write_text(change(path.read_text()))
    assert message in read_results(packed).warning


class Repository:
    """A repository with a published board, to be changed on two branches."""

    def __init__(self, folder: Path, *results, attributes: bool) -> None:
        self.folder, self.out = folder, folder / "leaderboards"
        self.git("init", "--quiet", "--initial-branch=main")
        if attributes:
            (folder / ".gitattributes").write_bytes(ATTRIBUTES.read_bytes())
        self.commit(*results)

    def git(self, *words: str) -> int:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(
            ["git", *who, *words], cwd=self.folder, capture_output=True
        ).returncode

    def commit(self, *results) -> None:
        write(self.out, *results)
        pack(self.out)
        assert self.git("add", "--all") == 0
        assert self.git("commit", "--quiet", "--message=results") == 0

    def merge(self, ours, theirs, style: str = "merge") -> int:
        """Commit results on two branches and merge them; the exit code of the merge."""
        self.git("switch", "--quiet", "--create", "theirs")
        self.commit(*theirs)
        self.git("switch", "--quiet", "main")
        self.commit(*ours)
        return self.git("-c", f"merge.conflictStyle={style}", "merge", "theirs", "--no-edit")


OLD = [result(name, seed=seed) for name in ("adapters", "taps") for seed in range(3)]


def test_pull_requests_that_add_different_methods_merge_without_a_conflict(tmp_path):
    repository = Repository(tmp_path, *OLD, attributes=True)
    ours = [result("lora", seed=seed) for seed in range(3)]
    theirs = [result("lines", seed=seed) for seed in range(3)]
    assert repository.merge(ours, theirs) == 0
    merged = read_results(repository.out)
    assert {each.cell: each for each in [*OLD, *ours, *theirs]} == dict(merged)
    assert not merged.left_out


def test_a_shared_value_that_one_side_no_longer_needs_is_there_for_the_other(tmp_path):
    repository = Repository(tmp_path, *OLD, attributes=True)
    recipe = RECIPE.model_copy(update={"steps": 7})
    ours = [
        result(each.cell.method, seed=each.cell.seed, recipe=recipe, finished=LATER) for each in OLD
    ]
    assert repository.merge(ours, [result("zoo")]) == 0
    pack(repository.out)
    merged = read_results(repository.out)
    assert dict(merged) == {each.cell: each for each in [*ours, result("zoo")]}


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_a_conflict_is_named_with_the_command_that_settles_it(tmp_path, style):
    repository = Repository(tmp_path, *OLD, attributes=False)
    ours, theirs = [result("lora")], [result("lines"), result("taps", finished=LATER)]
    changed = result("taps", finished="2026-01-01T12:00:00+00:00", predictions=(1, 1, 1, 1, 1))
    assert repository.merge([*ours, changed], theirs, style) == 1
    for read in (read_results, read_history):
        with pytest.raises(UserError, match=r"mini\.jsonl:\d+: a merge left two sides; to keep"):
            read(repository.out)
    assert pack(repository.out).replaced > 0
    expected = {each.cell: each for each in [*OLD, *ours, *theirs]}
    assert dict(read_results(repository.out)) == expected


def test_both_orders_of_a_merge_settle_to_the_same_bytes(tmp_path):
    one, other = result(finished=LATER), result(predictions=(1, 1, 1, 1, 1))
    found = []
    for ours, theirs in ((one, other), (other, one)):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        repository = Repository(folder, *OLD[1:], attributes=True)
        assert repository.merge([ours], [theirs]) == 0
        with pytest.raises(UserError, match=r"mini\.jsonl:\d+: a second result of the cell in"):
            read_results(repository.out)
        pack(repository.out)
        found.append((repository.out / PACK).read_bytes())
        assert read_results(repository.out)[one.cell] == one
    assert found[0] == found[1]


def search(method="taps", score=50.0):
    return Search(
        method=method,
        backbone="bert_mini",
        scale="mini",
        track="glue",
        tasks=("rte",),
        seeds=(0,),
        steps=100,
        trials=(Trial(learning_rate=1e-3, scores={"rte": score}, score=score),),
    )


def test_searches_are_packed_and_the_file_of_a_search_replaces_its_line(tmp_path):
    for each in (search("adapters"), search("taps")):
        each.write(tmp_path)
    assert [path.name for path in pack(tmp_path).written] == ["tuning.jsonl"]
    assert not [*(tmp_path / "tuning").iterdir()]
    assert read_searches(tmp_path).found == (search("adapters"), search("taps"))
    search("taps", 60.0).write(tmp_path)
    assert read_searches(tmp_path).found == (search("adapters"), search("taps", 60.0))
    pack(tmp_path)
    assert read_searches(tmp_path).found == (search("adapters"), search("taps", 60.0))


def test_of_two_unlike_searches_somebody_must_choose(tmp_path):
    search().write(tmp_path)
    pack(tmp_path)
    with (tmp_path / "data" / "tuning.jsonl").open("a") as file:
        file.write(search(score=60.0).model_dump_json() + "\n")
    for act in (read_searches, pack):
        with pytest.raises(UserError, match=r"tuning\.jsonl: two searches of taps on glue"):
            act(tmp_path)
