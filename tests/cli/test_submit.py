"""Results travel with their deltas in one file, and are scored again where they arrive."""

import json
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import toy
from few import few_examples
from safetensors.numpy import load as load_tensors

import suite
from suite.cli.main import main
from suite.registry import load
from suite.results.folder import read_results
from suite.results.records import Result
from suite.results.scores import evaluate, score

PACK = "data/glue.bert_mini.mini.jsonl"
DELTA = "work/mini.linear_probe[steps=3].glue-rte.bert_mini.s0/delta.safetensors"
CELL = "linear_probe[steps=3].glue-rte.bert_mini.s0"


def measured(out: Path, *words, **more) -> Path:
    """Results as a clean checkout records them, whatever the checkout of these tests is like."""
    suite.run(*words, jobs=1, out=out, quiet=True, **more)
    for path in (out / "results").glob("*.json"):
        edit(path, lambda content: content["environment"].update(dirty=False))
    return out


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module", autouse=True)
def few(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        few_examples(patch, tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory, forked):
    """The results of two short cells, with their deltas."""
    out = tmp_path_factory.mktemp("runs")
    return measured(out, "linear_probe", "rte,stsb", "bert_mini", steps=3)


@pytest.fixture(scope="module")
def submission(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("submitted") / "probe.zip"
    assert (
        main(["submit", "-m", "linear_probe", "-t", "glue", "-o", str(path), "--out", f"{runs}"])
        == 0
    )
    return path


@pytest.fixture
def copied(runs, tmp_path):
    """The results in a folder that a test may change."""
    out = tmp_path / "runs"
    for path in (path for path in runs.rglob("*") if path.is_file()):
        target = out / path.relative_to(runs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return out


@pytest.fixture
def call(capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def rebuilt(path: Path, content: dict[str, bytes], *, honest_manifest: bool = False) -> Path:
    """A zip of these members; its manifest has their digests unless the old one is kept."""
    if not honest_manifest:
        manifest = json.loads(content["manifest.json"])
        digests = {name: sha256(data).hexdigest() for name, data in content.items()}
        manifest["members"] = {n: d for n, d in digests.items() if n != "manifest.json"}
        content = content | {"manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def changed(submission: Path, path: Path, change) -> Path:
    """The submission with one line of its results edited, and every digest made to fit."""
    content = members(submission)
    lines = []
    for line in content[PACK].decode().splitlines():
        record = json.loads(line)
        if record.get("cell", {}).get("tasks") == ["rte"]:
            change(record)
        lines.append(json.dumps(record, separators=(",", ":")))
    return rebuilt(path, content | {PACK: ("\n".join(lines) + "\n").encode()})


def test_the_file_opens_with_standard_tools_and_has_no_trace_of_when_or_where(
    runs, submission, tmp_path, call
):
    content = members(submission)
    manifest = json.loads(content.pop("manifest.json"))
    assert manifest["members"] == {n: sha256(d).hexdigest() for n, d in content.items()}
    assert {
        json.loads(line)["cell"]["tasks"][0]
        for line in content[PACK].splitlines()
        if line.startswith(b'{"cell"')
    } == {"rte", "stsb"}
    tensors = load_tensors(content[DELTA])
    assert {key.split("/")[0] for key in tensors} == {"head"}
    again = tmp_path / "again.zip"
    assert call("submit", "-o", again, "--out", runs)[0] == 0
    assert again.read_bytes() == submission.read_bytes()


def test_unpacked_it_is_an_output_folder(submission, tmp_path, call):
    with zipfile.ZipFile(submission) as archive:
        archive.extractall(tmp_path / "out")
    code, _, err = call("verify", "--out", tmp_path / "out", "--rescore")
    assert (code, err) == (0, "2 results, none wrong.\n")


def test_names_choose_what_is_submitted(runs, tmp_path, call):
    path = tmp_path / "one.zip"
    assert call("submit", "-m", "linear*", "-t", "glue/rte", "-o", path, "--out", runs)[0] == 0
    assert [name for name in members(path) if name.startswith("work/")] == [DELTA]
    assert call("submit", "-t", "all,!stsb", "-o", path, "--out", runs)[0] == 0
    assert [name for name in members(path) if name.startswith("work/")] == [DELTA]
    _, _, err = call("submit", "-t", "!stsb", "-o", path, "--out", runs)
    assert "'!stsb' leaves out of nothing" in err
    code, _, err = call("submit", "-m", "linear_prob", "-o", path, "--out", runs)
    assert code == 2
    assert "no result of the method 'linear_prob'; did you mean 'linear_probe'?" in err


def test_what_nobody_could_verify_is_refused_in_one_message(copied, tmp_path, call):
    path = tmp_path / "new.zip"
    rte, stsb = sorted((copied / "results").glob("*.json"))
    edit(rte, lambda content: content["environment"].update(dirty=True))
    (copied / "work" / f"mini.{CELL.replace('rte', 'stsb')}" / "delta.safetensors").unlink()
    code, _, err = call("submit", "-o", path, "--out", copied)
    assert (code, path.exists()) == (2, False)
    assert "2 of 2 results cannot be submitted" in err
    assert f"{CELL}: measured from a source tree with changes that were not committed" in err
    assert "its delta is gone" in err
    assert (
        "python -m suite run -m linear_probe -t glue/rte,glue/stsb -b bert_mini --scale mini "
        "--seeds 0 --steps 3 --force --out" in err
    )
    stale = json.loads(stsb.read_text())
    stale["identity"] |= {"code": "0" * 64, "digest": "0" * 64}
    stsb.write_text(json.dumps(stale))
    rte_result = json.loads(rte.read_text())
    failed = {k: rte_result[k] for k in ("cell", "identity", "recipe", "options", "log")}
    rte.write_text(json.dumps(failed | {"status": "failed", "reason": "boom"}))
    err = call("submit", "-o", path, "--out", copied)[2]
    assert f"{CELL}: failed: boom" in err
    assert "stale: code changed" in err


def test_a_submission_that_holds_is_accepted_and_its_row_marked(submission, tmp_path, call):
    out = tmp_path / "leaderboards"
    code, _, err = call("verify", submission, "--rescore")
    assert (code, err) == (0, "2 results, none wrong.\n")
    assert not out.exists()
    code, _, err = call("accept", submission, "--out", out, "--by", "A Reader")
    assert (code, err) == (0, f"2 results were added to {out}, marked as verified by A Reader.\n")
    for result in read_results(out).values():
        verified = result.verified
        assert (verified.by, verified.otherwise, verified.difference) == ("A Reader", 0, 0.0)
        assert verified.answers == len(result.scores[0].targets)
    page = (out / "glue-bert_mini-mini.md").read_text()
    assert "linear_probe[steps=3]" in page
    assert "✓ Verified" in page
    assert "by A Reader" in page
    assert call("leaderboard", "--check", "--out", out)[0] == 0


def test_a_row_with_a_cell_that_nobody_scored_again_has_no_mark(runs, submission, tmp_path, call):
    out = tmp_path / "leaderboards"
    assert call("accept", submission, "--out", out, "--by", "A Reader")[0] == 0
    (one, _) = sorted((out / "results").glob("*.json"))
    edit(one, lambda content: content.update(verified=None))
    assert call("leaderboard", "--out", out)[0] == 0
    assert "✓" not in (out / "glue-bert_mini-mini.md").read_text()


@pytest.mark.parametrize("member", [PACK, DELTA])
@pytest.mark.parametrize("keep_crc", [True, False])
def test_one_byte_that_changes_is_found_and_its_member_named(
    submission, tmp_path, call, member, keep_crc
):
    content = members(submission)
    data = bytearray(content[member])
    data[-9] ^= 1
    path = tmp_path / "edited.zip"
    if keep_crc:
        whole = submission.read_bytes()
        assert whole.count(content[member]) == 1
        path.write_bytes(whole.replace(content[member], bytes(data)))
    else:
        rebuilt(path, content | {member: bytes(data)}, honest_manifest=True)
    code, out, _ = call("verify", path)
    assert code == 1
    assert f"edited.zip: {member}: it is " in out
    target = tmp_path / "leaderboards"
    assert call("accept", path, "--out", target, "--by", "A Reader")[0] == 1
    assert not target.exists()


def perfect(record, *, by):
    """Make a score of 100 agree with itself: `by` is the side that is changed."""
    score = record["scores"][0]
    other = {"predictions": "targets", "targets": "predictions"}[by]
    score[by] = score[other]
    score["metrics"], score["score"] = {"accuracy": 100.0}, 100.0


EDITS = {
    "a score": (
        lambda record: record["scores"][0].update(score=99.9), False, "score is 99.9",
    ),
    "a metric": (
        lambda record: record["scores"][0]["metrics"].update(accuracy=99.9), False, "score is",
    ),
    "a prediction": (
        lambda record: record["scores"][0].update(
            predictions="10"["01".index(record["scores"][0]["predictions"][0])]
            + record["scores"][0]["predictions"][1:]
        ),
        False,
        "accuracy is",
    ),
    "a ledger": (
        lambda record: record["ledger"]["head_bits"].update(rte=32), False, "ledger.tensor_bytes",
    ),
    "a ledger that adds up": (
        lambda record: record["ledger"].update(head_bits={"rte": 32}, tensor_bytes=4),
        True,
        "ledger is not what the delta holds",
    ),
    "the size of the backbone": (
        lambda record: record.update(backbone_parameters=10**9), True, "backbone_parameters is",
    ),
    "the code": (
        lambda record: record["identity"]["parts"].update(training="0"), True, "identity.parts",
    ),
    "the digest of the delta": (
        lambda record: record.update(delta="0" * 64), False, "not the file that was scored",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found_although_every_digest_fits(submission, tmp_path, call, edit):
    change, only_by_scoring, message = EDITS[edit]
    path = changed(submission, tmp_path / "edited.zip", change)
    code, out, err = call("verify", path)
    assert code == (0 if only_by_scoring else 1), out + err
    target = tmp_path / "leaderboards"
    code, out, _ = call("accept", path, "--out", target, "--by", "A Reader")
    assert (code, target.exists()) == (1, False)
    assert f"edited.zip: {DELTA if 'digest' in edit else PACK}: " in out
    assert message in out


@pytest.mark.parametrize("side", ["predictions", "targets"])
def test_answers_and_targets_that_were_made_to_agree_are_found_by_scoring(
    copied, tmp_path, call, side
):
    (path, _) = sorted((copied / "results").glob("*.json"))
    edit(path, lambda content: perfect(content, by=side))
    file = tmp_path / "perfect.zip"
    assert call("submit", "-o", file, "--out", copied)[0] == 0
    assert call("verify", file)[0] == 0
    code, out, _ = call("verify", file, "--rescore")
    assert code == 1
    assert CELL in out
    said = "the delta answers" if side == "predictions" else "targets are not those"
    assert f"{PACK}: {CELL}: rte: {said}" in out


def test_numbers_that_all_moved_a_little_towards_their_targets_are_found(copied, tmp_path, call):
    """None of them leaves the room that another kind of device would have."""

    def polished(record):
        own = record["scores"][0]
        before, targets = np.array(own["predictions"]), np.array(own["targets"])
        moved = before + np.clip(targets - before, -0.09, 0.09)
        own["predictions"] = moved.round(4).tolist()
        task = load().tasks["glue/stsb"]
        metrics = evaluate(task, np.array(own["predictions"]), np.array(own["targets"]))
        own["metrics"] = {name: round(value, 4) for name, value in metrics.items()}
        own["score"] = round(score(metrics), 4)
        record["environment"]["device"] = "cuda:0"

    (_, path) = sorted((copied / "results").glob("*.json"))
    edit(path, polished)
    file = tmp_path / "polished.zip"
    assert call("submit", "-o", file, "--out", copied)[0] == 0
    assert call("verify", file)[0] == 0
    code, out, _ = call("verify", file, "--rescore")
    assert code == 1
    assert "stsb: the delta scores" in out


@pytest.mark.parametrize(
    "name",
    ["../escape.jsonl", "/tmp/escape.jsonl", "data/../../escape.jsonl", "work/../x.safetensors",
     "data\\..\\escape.jsonl", "results/escape.json", "work/a/b/delta.safetensors"],
)  # fmt: skip
def test_no_member_leaves_its_folder(submission, tmp_path, call, name):
    path = rebuilt(tmp_path / "x.zip", members(submission) | {name: b"{}\n"})
    before = set(tmp_path.rglob("*"))
    code, out, _ = call("verify", path)
    assert code == 1
    assert "no name of a pack or a delta" in out
    assert set(tmp_path.rglob("*")) == before


def test_members_that_are_compressed_twice_there_or_unknown_are_refused(submission, tmp_path, call):
    content = members(submission)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert f"{PACK}: it is compressed" in call("verify", path)[1]
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for name, data in [*content.items(), (PACK, content[PACK])]:
            archive.writestr(name, data)
    assert f"{PACK}: there are 2 members of this name" in call("verify", path)[1]
    rebuilt(path, content | {"data/more.jsonl": b"\n"}, honest_manifest=True)
    assert "data/more.jsonl: the manifest does not name it" in call("verify", path)[1]
    rebuilt(path, content | {"data/more.jsonl": b"\n"})
    assert "data/more.jsonl: belongs to no result" in call("verify", path)[1]
    rebuilt(path, {name: data for name, data in content.items() if name != DELTA})
    assert f"{DELTA}: it is missing, but its result is there" in call("verify", path)[1]


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip"])
def test_a_file_that_is_no_submission_is_a_mistake(tmp_path, call, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    assert call("verify", path)[0] == 2
    assert "no submission" in call("accept", path, "--by", "A Reader")[2]
    assert "there is no such file" in call("verify", tmp_path / "y.zip")[2]


def test_a_cell_that_was_measured_there_keeps_its_result(runs, submission, copied, call):
    (path, other) = sorted((copied / "results").glob("*.json"))
    edit(path, lambda content: content.update(delta="1" * 64))
    other.unlink()
    code, _, err = call("accept", submission, "--out", copied, "--by", "A Reader")
    assert code == 0
    assert f"left out: {CELL}: the same cell has been measured there" in err
    assert "1 results were added" in err
    assert Result.model_validate_json(path.read_text()).verified is None


@pytest.mark.usefixtures("forked")
def test_files_that_do_not_come_with_the_package_must_be_the_same_here(tmp_path, call, monkeypatch):
    registry = tmp_path / "registry"
    toy.write_tasks(registry)
    toy.write_method(registry, "norms")
    out = measured(tmp_path / "runs", "norms", "reds", "resnet_mini", registry=registry)
    path = tmp_path / "own.zip"
    words = ("--registry", registry)
    assert call("submit", "-o", path, "--out", out, *words)[0] == 0
    assert sorted(json.loads(members(path)["manifest.json"])["registry"]) == [
        "methods/norms.py", "methods/norms.yaml",
        "tasks/colours/colours.py", "tasks/colours/reds.yaml",
    ]  # fmt: skip
    assert call("verify", path, "--rescore", *words)[0] == 0
    code, said, _ = call("verify", path)
    assert code == 1
    assert "methods/norms.py: not the file that was measured with" in said
    source = registry / "methods" / "norms.py"
    source.write_text(source.read_text() + "# a comment\n")
    assert "methods/norms.py: not the file" in call("verify", path, *words)[1]
