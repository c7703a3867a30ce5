"""Where the results of a run end: in files of their own, or in the packs of a published folder."""

from pathlib import Path

from planned import PLAN, RUN, write_results

from suite.engine.attempt import failure
from suite.results.folder import read_results
from suite.results.searches import read_searches

PACK = Path("runs/data/toy.bert_toy.mini.jsonl")


def singles() -> list[Path]:
    return [*Path("runs/results").iterdir()]


def test_a_folder_is_packed_when_asked_and_keeps_its_packs_from_then_on(call, folder):
    before = write_results(folder, "failed")
    assert call("leaderboard")[0] == 0
    assert len(singles()) == len(before)
    # The index of a packed folder, which is published, lists published numbers as well.
    pages = {path: path.read_bytes() for path in Path("runs").glob("toy-*.md")}
    assert pages
    code, out, _ = call("pack")
    assert (code, out.splitlines()[0], singles()) == (0, str(PACK), [])
    assert {path: path.read_bytes() for path in pages} == pages
    assert call("leaderboard", "--check")[0] == 0
    assert sorted(read_results(Path("runs")).values(), key=str) == sorted(before, key=str)
    after = write_results(folder)
    assert call("leaderboard")[0] == 0
    assert singles() == []
    assert {each.status for each in read_results(Path("runs")).values()} == {"ok"}
    assert len(read_results(Path("runs"))) == len(after)


def test_packed_results_are_planned_listed_and_explained_as_others_are(call, folder):
    write_results(folder)
    words = (PLAN, ("list", "results", "--json"), ("why", "*"), ("leaderboard", "--check"))
    call("leaderboard")
    before = [call(*each) for each in words]
    assert call("pack")[0] == 0
    assert [call(*each) for each in words] == before
    assert "3 cached" in call(*PLAN)[2]


def test_what_a_merge_left_is_named_with_the_command_that_settles_it(call, folder):
    write_results(folder)
    call("pack")
    first, *others = PACK.read_text().splitlines(keepends=True)
    PACK.write_text("".join(["<<<<<<< HEAD\n", first, "=======\n", *others, ">>>>>>> theirs\n"]))
    message = f"{PACK}:1: a merge left two sides; to keep both: python -m suite pack --out runs"
    for words in (PLAN, RUN, ("list", "results"), ("why", "*"), ("leaderboard",)):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert message in err
    assert call("pack")[0] == 0
    assert "3 cached" in call(*PLAN)[2]
    assert call("leaderboard", "--check")[0] == 0


def test_a_search_in_a_packed_folder_ends_in_its_pack(call, folder, monkeypatch):
    def execute(made, registry, settings):
        for item in made.with_action("run"):
            failure(item.cell, "failed", "boom").write(settings.out / "results")

    monkeypatch.setattr("suite.engine.search.execute", execute)
    method = folder / "methods" / "one.yaml"
    method.write_text(method.read_text() + "tuning: {mini: {bert: [1e-3, 2e-3, 3e-3, 4e-3]}}\n")
    write_results(folder)
    call("pack")
    code, _, err = call("tune", "one", "-t", "toy")
    assert (code, err.splitlines()[-1]) == (1, "recorded: runs/data/tuning.jsonl")
    assert not [*Path("runs/tuning").glob("*.json")]
    (search,) = read_searches(Path("runs")).found
    assert {trial.reason for trial in search.trials} == {"failed: boom"}
