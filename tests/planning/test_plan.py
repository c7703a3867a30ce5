from dataclasses import replace as changed
from pathlib import Path

import pytest
from registries import replace, write_registry

from suite.errors import UserError
from suite.planning.plan import Plan, Request, plan
from suite.registry import Registry, load
from suite.registry.schema import Scale
from suite.results.records import CellKey, Result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_registry(tmp_path / "registry")


@pytest.fixture
def registry(folder) -> Registry:
    return load(folder)


BOTH = Request(methods=("one", "together"), tasks=("toy",))


def summary(made: Plan) -> list[tuple[str, str, str]]:
    return [
        (f"{item.cell.key.method} {'+'.join(item.cell.key.tasks)}", item.action, item.reason)
        for item in made.planned
    ]


def results_of(made: Plan, **values: str) -> list[Result]:
    """The results that running the plan would have left."""
    return [
        Result(
            cell=item.cell.key,
            identity=item.cell.identity,
            recipe=item.cell.recipe,
            options=dict(item.cell.options),
            **{"status": "ok", **values},
        )
        for item in made.planned
    ]


def test_a_per_task_method_has_a_cell_per_task_and_a_joint_one_per_track(registry):
    assert summary(plan(BOTH, registry)) == [
        ("one first", "run", "new"),
        ("one second", "run", "new"),
        ("together first+second", "run", "new"),
    ]


def test_seeds_and_backbones_multiply_cells(registry):
    made = plan(changed(BOTH, seeds=(0, 1), backbones=("*_toy",)), registry)
    assert len(made.planned) == 2 * 2 * 3
    assert len({item.cell.key for item in made.planned}) == 12


def test_what_takes_the_most_steps_is_begun_first(registry):
    """A joint cell begun last would keep one worker busy while the others are idle."""
    made = plan(BOTH, registry)
    assert summary(made)[-1][0].startswith("together")
    begun = [job.cells[0].key for job in made.jobs()]
    assert begun[0].method == "together"
    assert begun[1:] == [item.cell.key for item in made.planned[:-1]], "otherwise as planned"


def test_a_joint_method_over_some_tasks_names_them(registry):
    (item,) = plan(Request(methods=("together",), tasks=("second",)), registry).planned
    assert item.cell.key == CellKey(
        method="together", backbone="bert_toy", scale="mini", track="toy", tasks=("second",), seed=0
    )


def test_the_recipe_is_resolved_from_the_track_down_to_the_command_line(folder):
    request = Request(methods=("one",), tasks=("first",))
    (item,) = plan(request, load(folder)).planned
    recipe = item.cell.recipe
    # Track default, track family, method default over track default, method family.
    assert (recipe.steps, recipe.batch_size) == (50, 16)
    assert (recipe.learning_rate, recipe.weight_decay) == (2e-3, 0.1)
    (item,) = plan(changed(request, steps=7, batch_size=3), load(folder)).planned
    assert (item.cell.recipe.steps, item.cell.recipe.batch_size) == (7, 3)


def test_a_method_family_wins_over_a_method_default(folder):
    replace(folder / "methods" / "one.yaml", "weight_decay: 0.1", "learning_rate: 0.5")
    (item,) = plan(Request(methods=("one",), tasks=("first",)), load(folder)).planned
    assert item.cell.recipe.learning_rate == 0.5


def test_an_exception_changes_the_recipe_of_the_track_and_family_it_names_alone(folder):
    path = folder / "methods" / "one.yaml"
    stated = "exceptions: {mini: {toy: {vit: {steps: 9, source: S}, bert: {steps: 70, source: S}}}}"
    path.write_text(f"{path.read_text()}{stated}\n")
    request = Request(methods=("one", "together"), tasks=("first",))
    assert [item.cell.recipe.steps for item in plan(request, load(folder)).planned] == [70, 50]
    asked = plan(changed(request, steps=7), load(folder))
    assert {item.cell.recipe.steps for item in asked.planned} == {7}
    # It is the recipe's own budget, not a setting that was asked for.
    assert plan(request, load(folder)).planned[0].cell.key.setting == ""


def test_a_method_may_have_other_defaults_at_the_mini_scale(folder):
    replace(folder / "methods" / "one.yaml", "    default: 8\n", "    default: 8\n    mini: 2\n")
    (item,) = plan(Request(methods=("one",), tasks=("first",)), load(folder)).planned
    assert item.cell.options["rank"] == 2


def test_an_unsupported_family_is_planned_with_the_reason_of_the_registry(registry):
    made = plan(changed(BOTH, backbones=("t5_toy",)), registry)
    assert {(item.action, item.reason) for item in made.planned} == {
        ("unsupported", "not written yet")
    }


def known(results: list[Result]) -> dict[CellKey, Result]:
    return {result.cell: result for result in results}


def test_a_finished_cell_is_cached(registry):
    first = plan(BOTH, registry)
    again = plan(BOTH, registry, known(results_of(first)))
    assert [item.action for item in again.planned] == ["cached"] * 3
    digest = first.planned[0].cell.identity.digest
    assert again.planned[0].reason == f"identity {digest[:4]} matches"


@pytest.fixture
def finished(registry):
    """The results of a run of `BOTH`."""
    return results_of(plan(BOTH, registry))


def reasons(folder: Path, finished: list[Result], **change: object) -> list[str]:
    made = plan(changed(BOTH, **change), load(folder), known(finished))
    return [item.reason for item in made.planned]


def test_a_change_of_code_is_named(folder, finished):
    replace(folder / "methods" / "one.py", "NotImplementedError", "ValueError")
    code, other, joint = reasons(folder, finished)
    assert code == other == "code changed: method"
    assert joint.startswith("identity")


def test_a_change_of_the_recipe_is_named_with_its_values(folder, finished):
    replace(folder / "tasks" / "toy" / "track.yaml", "steps: 50", "steps: 60")
    assert set(reasons(folder, finished)) == {"recipe: steps 50 -> 60"}


def test_a_change_of_an_option_is_named_with_its_values(folder, finished):
    replace(folder / "methods" / "one.yaml", "default: 8", "default: 4")
    first, _, joint = reasons(folder, finished)
    assert first == "options: rank 8 -> 4"
    assert joint.startswith("identity")


def test_another_budget_or_option_is_another_cell(folder, finished):
    assert set(reasons(folder, finished, steps=60)) == {"new"}
    first, _, joint = reasons(folder, finished, options=("one.rank=4",))
    assert first == "new"
    assert joint.startswith("identity")


def test_a_change_of_a_task_is_named(folder, finished):
    replace(folder / "tasks" / "toy" / "first.yaml", "a" * 64, "b" * 64)
    first, second, joint = reasons(folder, finished)
    assert first == joint == "task changed: first"
    assert second.startswith("identity")


def test_a_change_of_the_weights_is_named(folder, finished):
    (folder / "backbones" / "mini" / "bert_toy" / "model.safetensors").write_text("other weights")
    assert set(reasons(folder, finished)) == {"backbone changed"}


def test_a_change_of_prose_changes_nothing(folder, finished):
    replace(folder / "methods" / "one.yaml", "summary: Adapts something.", "summary: Other.")
    replace(folder / "methods" / "one.yaml", "description: the rank", "description: width")
    replace(folder / "tasks" / "toy" / "first.yaml", "Says yes or no", "Answers")
    assert all(reason.startswith("identity") for reason in reasons(folder, finished))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("failed", "failed before: boom"),
        ("oom", "out of memory before: boom"),
        ("timeout", "timed out before: boom"),
        ("diverged", "diverged before: boom"),
    ],
)
def test_a_failed_cell_runs_again_and_says_why(registry, status, words):
    failed = results_of(plan(BOTH, registry), status=status, reason="boom")
    assert {(item.action, item.reason) for item in plan(BOTH, registry, known(failed)).planned} == {
        ("run", words)
    }


def test_only_failed_leaves_everything_else_out(registry):
    done = results_of(plan(BOTH, registry))
    done[1] = done[1].model_copy(update={"status": "failed", "reason": "boom"})
    made = plan(changed(BOTH, only_failed=True), registry, known(done[:2]))
    assert summary(made) == [("one second", "run", "failed before: boom")]


def test_a_cell_that_refused_itself_stays_unsupported(registry):
    refused = results_of(plan(BOTH, registry), status="unsupported", reason="too narrow")
    assert {
        (item.action, item.reason) for item in plan(BOTH, registry, known(refused)).planned
    } == {("unsupported", "too narrow")}


def test_a_family_that_becomes_supported_runs(folder):
    request = changed(BOTH, methods=("one",), backbones=("t5_toy",))
    refused = results_of(plan(request, load(folder)), status="unsupported", reason="not yet")
    path = folder / "methods" / "one.yaml"
    replace(path, "families: [vit, bert]", "families: [vit, bert, t5]")
    replace(path, "  t5: not written yet\n", "")
    assert [
        (item.action, item.reason) for item in plan(request, load(folder), known(refused)).planned
    ] == [("run", "no longer unsupported")] * 2


def test_force_runs_what_is_cached_but_not_what_is_unsupported(registry, finished):
    request = changed(BOTH, force=True, backbones=("*_toy",))
    made = plan(request, registry, known(finished))
    assert {(item.action, item.reason) for item in made.planned} == {
        ("run", "forced"), ("unsupported", "not written yet"),
    }  # fmt: skip


def test_missing_weights_are_named_with_the_place(folder):
    weights = folder / "backbones" / "mini" / "bert_toy" / "model.safetensors"
    weights.unlink()
    made = plan(BOTH, load(folder))
    assert {item.action for item in made.planned} == {"missing"}
    (missing,) = made.missing
    assert str(weights.parent) in str(missing)


def test_weights_that_only_unsupported_cells_lack_are_not_missing(folder):
    (folder / "backbones" / "mini" / "t5_toy" / "model.safetensors").unlink()
    made = plan(changed(BOTH, backbones=("*_toy",)), load(folder))
    assert made.missing == ()


def test_a_backbone_that_does_not_fit_is_refused_only_if_none_does(registry):
    with pytest.raises(
        UserError, match=r"track toy is on text[\s\S]*backbones that fit: .*bert_toy"
    ):
        plan(changed(BOTH, backbones=("vit_mini",)), registry)
    made = plan(changed(BOTH, backbones=("vit_mini", "bert_toy")), registry)
    assert {item.cell.key.backbone for item in made.planned} == {"bert_toy"}
    assert made.left_out == ("backbone vit_mini is a mini-scale backbone on image",)


def test_a_track_that_gives_no_cell_is_named(registry):
    made = plan(changed(BOTH, tasks=("all",)), registry)
    assert "track pacs has no mini scale, only: full" in made.left_out
    assert not any("toy" in reason for reason in made.left_out)


def test_no_backbone_brings_a_track_to_a_scale_it_lacks(registry):
    with pytest.raises(UserError, match="track pacs has no mini scale, only: full"):
        plan(changed(BOTH, tasks=("pacs",), backbones=("resnet_mini",)), registry)


def test_a_track_without_the_scale_says_which_it_has(registry):
    with pytest.raises(UserError, match="track toy has no full scale, only: mini"):
        plan(changed(BOTH, scale=Scale.FULL), registry)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("one.rnk=4", "one has no option 'rnk'; did you mean 'rank'"),
        ("two.rank=4", "no selected method 'two'"),
        ("one.rank=four", "must be a whole number, not 'four'"),
        ("one.placement=bot", "'bot' is not one of both, feed_forward; did you mean 'both'"),
        ("rank=4", "write it as METHOD.OPTION=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused(registry, setting, message):
    with pytest.raises(UserError, match=message):
        plan(changed(BOTH, options=(setting,)), registry)


def test_cells_have_labels_that_differ(registry):
    requests = [BOTH, changed(BOTH, tasks=("first",)), changed(BOTH, tasks=("second",))]
    keys = {item.cell.key for request in requests for item in plan(request, registry).planned}
    assert len({key.label for key in keys}) == len(keys) == 5
