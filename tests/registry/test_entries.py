import pytest
from registries import replace, write_registry

from suite.errors import UserError
from suite.registry import Registry, load


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_registry(tmp_path)


@pytest.fixture
def registry(folder) -> Registry:
    return load(folder)


def keys(registry: Registry, *patterns: str) -> list[str]:
    return [f"{task.track}/{task.name}" for task in registry.select_tasks(patterns)]


def test_methods_by_name_list_and_glob(registry):
    def chosen(*patterns: str) -> list[str]:
        return [entry.name for entry in registry.select_methods(patterns)]

    assert chosen("together,one") == ["one", "together"]
    assert chosen("together", "one") == ["one", "together"]
    assert chosen("tog*") == ["together"]
    assert chosen("TOGETHER") == ["together"]
    assert {"one", "together"} <= set(chosen("all"))


def test_hyphens_and_underscores_are_alike(registry):
    assert registry.select_backbones(["bert-toy"])[0].name == "bert_toy"


def test_tasks_by_track_name_and_both(registry):
    assert keys(registry, "toy") == ["toy/first", "toy/second"]
    assert keys(registry, "second,first") == ["toy/first", "toy/second"]
    assert keys(registry, "toy/second") == ["toy/second"]
    assert keys(registry, "toy/s*") == ["toy/second"]


def test_an_exclamation_mark_takes_names_away(registry):
    assert keys(registry, "toy/*,!second") == ["toy/first"]
    assert keys(registry, "!toy/s*", "toy") == ["toy/first"]
    assert "toy/second" not in keys(registry, "all", "!toy/second")
    names = [entry.name for entry in registry.select_methods(["all,!tog*"])]
    assert "one" in names
    assert "together" not in names
    assert [b.name for b in registry.select_backbones(["*toy,!t5-toy"])] == ["bert_toy"]


@pytest.mark.parametrize("select", ["select_methods", "select_tasks", "select_backbones"])
def test_what_is_taken_away_must_exist_and_be_taken_from_something(registry, select):
    with pytest.raises(UserError, match=r"unknown .* 'nowhere'"):
        getattr(registry, select)(["all,!nowhere"])
    with pytest.raises(UserError, match=r"takes .* away from none; write 'all,!"):
        getattr(registry, select)(["!*"])


def test_names_that_differ_in_numbers_are_listed_and_not_taken_for_a_slip(registry):
    with pytest.raises(UserError, match="'resnet18'; there is 'resnet20', 'resnet26', 'resnet34'"):
        registry.select_backbones(["resnet18"])
    with pytest.raises(UserError, match=r"did you mean 'resnet50'\?"):
        registry.select_backbones(["timm/resnet50"])
    with pytest.raises(UserError, match=r"'timm/resnet50\.tv_in1k' is the backbone 'resnet50'"):
        registry.select_backbones(["timm/resnet50.tv_in1k"])


@pytest.mark.parametrize("word", ["toi", "fist", "toy/secnd"])
def test_an_unknown_task_names_the_nearest(registry, word):
    with pytest.raises(UserError, match=f"unknown task or track '{word}'; did you mean"):
        registry.select_tasks([word])


def test_an_unknown_method_names_the_nearest(registry):
    with pytest.raises(UserError, match="unknown method 'togethr'; did you mean 'together'"):
        registry.select_methods(["togethr"])


@pytest.mark.parametrize("select", ["select_methods", "select_tasks", "select_backbones"])
def test_all_unknown_names_are_told_at_once(registry, select):
    with pytest.raises(UserError) as caught:
        getattr(registry, select)(["nowhere,all", "nothing"])
    first, second, *_ = str(caught.value).splitlines()
    assert "'nowhere'" in first
    assert "'nothing'" in second


def test_a_name_in_two_tracks_must_be_qualified(folder):
    for file in (folder / "tasks" / "toy").iterdir():
        target = folder / "tasks" / "more" / file.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(file.read_text().replace("name: toy", "name: more"))
    registry = load(folder)
    with pytest.raises(UserError, match="write one of: more/first, toy/first"):
        registry.select_tasks(["first"])
    assert keys(registry, "more/first") == ["more/first"]
    assert keys(registry, "fir*") == ["more/first", "toy/first"]


def test_only_a_selected_broken_entry_is_refused(folder):
    replace(folder / "methods" / "one.yaml", "regime: per_task", "regime: never")
    registry = load(folder)
    assert [entry.name for entry in registry.select_methods(["together"])] == ["together"]
    for pattern in ("one", "on*", "all"):
        with pytest.raises(UserError, match=r"one.yaml:5:9: regime: 'never' is not one of"):
            registry.select_methods([pattern])


def test_a_broken_track_is_refused_with_its_mistake(folder):
    replace(folder / "tasks" / "toy" / "track.yaml", "modality: text", "modality: smell")
    registry = load(folder)
    for pattern in ("toy", "first", "toy/first"):
        with pytest.raises(UserError, match=r"track.yaml:4:11: modality: 'smell' is not one of"):
            registry.select_tasks([pattern])


def test_a_broken_task_is_refused_with_its_track_but_not_beside_it(folder):
    replace(folder / "tasks" / "toy" / "first.yaml", "metrics: [accuracy]", "metrics: []")
    registry = load(folder)
    assert keys(registry, "second") == ["toy/second"]
    with pytest.raises(UserError, match=r"first.yaml:8:10"):
        registry.select_tasks(["toy"])
