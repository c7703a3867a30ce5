"""In a folder of many results, what has not changed is not read again; pages are the same."""

import pytest

from suite.leaderboards import build, cached_parts, check, pages, plot
from suite.leaderboards.cached_parts import read_parts
from suite.results.folder import read_results
from suite.results.packing import pack
from suite.results.shares import Share, share_of_cell, share_of_file, shares


@pytest.fixture
def folder(make, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cached_parts, "MANY", 1)
    out = tmp_path / "out"
    for result in (
        *make.per_task("full", 0.9),
        *make.per_task("full", 0.8, setting="rank=0.5"),
        *make.joint("hyper", 0.8),
        make.cell("probe", "rte", status="oom", reason="too much"),
    ):
        result.write(out / "results")
    return out


@pytest.fixture
def read(monkeypatch):
    """The names of the shares that are read, as they are."""
    names = []
    really = Share.read

    def recorded(share):
        names.append(share.name)
        return really(share)

    monkeypatch.setattr(Share, "read", recorded)
    return names


def test_only_what_has_changed_is_read_again(folder, registry, make, read):
    build(folder, registry)
    every = ["mini.full bert_mini", "mini.hyper bert_mini", "mini.probe bert_mini"]
    assert read == every
    read.clear()
    build(folder, registry)
    assert read == []
    make.cell("probe", "rte", accuracy=0.7).write(folder / "results")
    next((folder / "results").glob("*.hyper.*.s1.json")).unlink()
    written = build(folder, registry)
    assert read == every[1:]
    read.clear()
    assert check(folder, registry) == [], "pages of kept parts are those of the results"
    assert read == every, "a check trusts nothing that is kept"
    afresh = pages(read_results(folder).values(), registry, quoted=False)
    assert {path.relative_to(folder).as_posix() for path in written} == afresh.keys()
    assert all((folder / name).read_bytes() == page for name, page in afresh.items())


def test_a_line_of_a_pack_that_has_changed_is_read_again(folder, registry, make, read):
    pack(folder)
    build(folder, registry)
    read.clear()
    make.cell("probe", "rte", accuracy=0.7).write(folder / "results")
    # The new file is read, then packed, which makes a line of it.
    build(folder, registry)
    build(folder, registry)
    assert set(read) == {"mini.probe bert_mini"}
    read.clear()
    build(folder, registry)
    assert read == []
    assert check(folder, registry) == []


def test_other_options_or_tasks_of_the_registry_make_other_parts(folder, registry, make, read):
    build(folder, registry)
    read.clear()
    registry.methods["hyper"] = make.method("hyper", "per_task")
    build(folder, registry)
    assert read == ["mini.hyper bert_mini"]
    track = registry.tracks["glue"]
    registry.tracks["glue"] = track.model_copy(update={"tasks": track.tasks[:-1]})
    read.clear()
    build(folder, registry)
    assert len(read) == 3


def test_what_is_kept_may_be_damaged(folder, registry, read, tmp_path):
    build(folder, registry)
    kept = sorted((tmp_path / "cache/suite/boards").glob("*/*.pickle"))
    assert len(kept) == 4, "three shares and a plot"
    for damaged, other in zip(kept[::2], kept[1::2], strict=True):
        damaged.write_bytes(b"")
        other.write_bytes(kept[-1].read_bytes())
    kept[-1].write_bytes(b"no pickle")
    read.clear()
    build(folder, registry)
    assert len(read) == 3
    assert check(folder, registry) == []


def test_a_plot_is_drawn_again_if_a_point_has_moved(folder, registry, make, monkeypatch):
    drawn = []
    render = plot.render
    monkeypatch.setattr(plot, "render", lambda board: drawn.append(board.name) or render(board))
    for _ in range(2):
        build(folder, registry)
    assert len(drawn) == 1
    for result in make.joint("hyper", 0.7):
        result.write(folder / "results")
    build(folder, registry)
    assert len(drawn) == 2
    assert check(folder, registry) == []


def test_a_foreign_file_is_named_each_time(folder, registry, capsys):
    (folder / "results" / "mini.full.notes.json").write_text("{}")
    for _ in range(2):
        build(folder, registry)
        assert "mini.full.notes.json" in capsys.readouterr().err


def test_a_result_that_is_packed_after_it_was_listed_is_not_missed(
    folder, registry, read, monkeypatch
):
    every = read_parts(folder, registry, anew=True).parts
    listed = []

    def late(out):
        listed.append(shares(out))
        if len(listed) == 1:
            pack(out)
        return listed[-1]

    monkeypatch.setattr(cached_parts, "shares", late)
    assert {part.method for part in read_parts(folder, registry, anew=True).parts} == {
        part.method for part in every
    }
    assert len(listed) == 2


def test_what_is_kept_of_a_folder_goes_with_it(folder, registry, tmp_path):
    build(folder, registry)
    moved = folder.rename(tmp_path / "moved")
    build(moved, registry)
    assert len([*(tmp_path / "cache/suite/boards").iterdir()]) == 1


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"setting": "rank=0.5,scale=1.0", "store": "int4"},
        {"backbone": "timm:vit.in21k_ft_in1k"},
        {"seed": 12},
    ],
)
def test_a_file_and_a_line_of_a_cell_are_in_the_same_share(make, keys):
    key = make.cell("lora", ("rte", "mrpc"), **keys).cell
    name = share_of_file(key.file_name)
    assert name == share_of_cell(key.model_dump_json())
    assert name.startswith("mini.lora ")
