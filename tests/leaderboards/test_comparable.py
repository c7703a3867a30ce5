"""Rows of other data, seeds, recipes or code are not ranked with the rest."""

from board import objections, of_code, only

from suite.planning.identity import recipe_digest
from suite.registry.schema import Recipe


def test_other_data_than_most_rows_is_not_ranked(registry, make):
    odd = [
        make.cell("odd", task, seed, accuracy=0.95, digest="d2" if task == "rte" else "d1")
        for task in ("cola", "mrpc", "rte")
        for seed in (0, 1, 2)
    ]
    board = only([*make.per_task("full", 0.9), *make.joint("hyper", 0.8), *odd], registry)
    assert [row.method for row in board.ranked] == ["full", "hyper"]
    (row,) = board.unranked
    assert row.why_unranked == "other data, splits or metrics than most rows: rte"
    assert row.estimate


def test_test_sets_of_different_size_do_not_meet(registry, make):
    other = make.per_task("probe", 0.6, n=100, digest="d2")
    board = only([*make.per_task("full", 0.9), *make.joint("hyper", 0.9), *other], registry)
    assert [row.method for row in board.unranked] == ["probe"]


def test_seeds_scored_on_different_data_are_not_averaged(registry, make):
    results = [
        *make.per_task("full", 0.9, seeds=(0, 1)),
        *make.per_task("full", 0.9, (2,), n=50, digest="d2"),
    ]
    (row,) = only(results, registry).unranked
    assert row.estimate is None
    assert "test examples differ between seeds" in row.why_unranked


def test_a_joint_run_over_fewer_tasks_is_a_row_of_its_own(registry, make):
    results = [*make.joint("hyper", 0.8), *make.joint("hyper", 0.9, tasks=("cola", "rte"))]
    board = only(results, registry)
    assert [row.label for row in board.ranked] == ["hyper"]
    (row,) = board.unranked
    assert row.label == "hyper (cola, rte)"
    assert row.why_unranked.startswith("trained jointly on 2 of 3 tasks")
    assert row.tasks["rte"].estimate


def test_other_seeds_than_most_rows_are_not_ranked(registry, make):
    results = [
        *make.per_task("full", 0.9),
        *make.joint("hyper", 0.8),
        *make.per_task("probe", 0.95, seeds=(0,)),
    ]
    (row,) = only(results, registry).unranked
    assert row.why_unranked == "seeds 0; most methods have 0, 1, 2"


def test_a_sweep_of_one_method_has_one_vote_on_seeds(registry, make):
    sweep = [
        result
        for penalty in (1, 2, 3)
        for result in make.per_task("probe", 0.7, seeds=(0,), setting=f"penalty={penalty}")
    ]
    board = only([*make.per_task("full", 0.9), *make.joint("hyper", 0.8), *sweep], registry)
    assert [row.label for row in board.ranked] == ["full", "hyper"]


def test_seeds_that_differ_widely_widen_the_interval_of_a_row_below_the_line_too(registry, make):
    good = [make.per_task(name, 0.9, n=2000) for name in ("full", "probe")]
    wild = [
        make.cell("probe", task, seed, accuracy=(0.5, 0.7, 0.95)[seed], setting="steps=7", n=2000)
        for task in ("cola", "mrpc", "rte")
        for seed in (0, 1, 2)
    ]
    (row,) = only([*good[0], *good[1], *wild], registry).unranked
    low, high = row.estimate.interval()
    assert high - low > 20


def test_cells_of_different_versions_of_a_method_are_not_mixed(registry, make):
    results = make.per_task("full", 0.9, seeds=(0, 1)) + make.per_task(
        "full", 0.9, (2,), version="v2"
    )
    (row,) = only(results, registry).unranked
    assert row.why_unranked == "its cells come from different versions of the method"


def test_tasks_may_differ_in_length_but_not_in_versions_of_the_recipe(registry, make):
    def with_recipes(**keys):
        """Each task trained longer than the one before; `keys` change the last one's recipe."""
        done, tasks = [], registry.tracks["glue"].tasks
        for result in make.per_task("full", 0.9):
            place = tasks.index(result.cell.tasks[0])
            recipe = Recipe(steps=100 + place, **(keys if place == len(tasks) - 1 else {}))
            parts = result.identity.model_copy(update={"recipe": recipe_digest(recipe)})
            done.append(result.model_copy(update={"recipe": recipe, "identity": parts}))
        return done

    assert not only(with_recipes(), registry).unranked
    (row,) = only(with_recipes(schedule="cosine"), registry).unranked
    assert row.why_unranked == "its cells come from different versions of the recipe"
    first, *others = with_recipes()
    other = first.identity.model_copy(update={"recipe": "of another length"})
    longer = first.recipe.model_copy(update={"steps": 7})
    changed = first.model_copy(update={"recipe": longer, "identity": other})
    (row,) = only([changed, *others], registry).unranked
    assert row.why_unranked == "its cells come from different versions of the recipe"


def test_rows_of_another_budget_are_not_ranked(registry, make):
    results = [
        *make.per_task("full", 0.9),
        *make.per_task("probe", 0.6),
        *make.per_task("full", 0.95, setting="steps=400"),
    ]
    board = only(results, registry)
    assert [row.label for row in board.ranked] == ["full", "probe"]
    (row,) = board.unranked
    assert row.why_unranked == "steps=400; most rows have the budget of their recipes"


def test_rows_of_a_track_that_has_become_longer_are_not_ranked_with_those_of_before(registry, make):
    def trained(results, **keys):
        return [each.model_copy(update={"recipe": Recipe(**keys)}) for each in results]

    before = [trained(make.per_task(name, 0.9), steps=100) for name in ("full", "probe")]
    sweep = make.joint("hyper", 0.9, setting="steps=300")
    found = objections(
        registry,
        *before,
        trained(make.joint("taps", 0.8), steps=200),
        trained(make.joint("hyper", 0.8), steps=100, batch_size=16),
        trained(sweep, steps=300),
    )
    for method, own in ("taps", "200 steps of 32"), ("hyper", "100 steps of 16"):
        assert found[method] == f"{own} on cola, mrpc, rte; most rows have 100 steps of 32"
    assert found["full"] == found["probe"] == ""
    assert found["hyper[steps=300]"] == "steps=300; most rows have the budget of their recipes"


def test_a_joint_row_may_train_every_task_for_their_mean_length(registry, make):
    tasks = registry.tracks["glue"].tasks

    def trained(name):
        return [
            each.model_copy(
                update={"recipe": Recipe(steps=100 * (1 + tasks.index(each.cell.tasks[0])))}
            )
            for each in make.per_task(name, 0.9)
        ]

    joint = [
        each.model_copy(update={"recipe": Recipe(steps=200)}) for each in make.joint("hyper", 0.8)
    ]
    found = objections(registry, trained("full"), trained("probe"), joint)
    assert set(found.values()) == {""}


def test_rows_of_unlike_engines_are_not_ranked_together(registry, make):
    full, probe = make.per_task("full", 0.9), make.per_task("probe", 0.6)
    hyper = make.joint("hyper", 0.8)
    usual = of_code(full), of_code(probe, layers="other", method="other")
    for other, reason in {
        "training": "other code than most rows: training",
        "data": "other code than most rows: data",
    }.items():
        found = objections(registry, *usual, of_code(hyper, **{other: "changed"}))
        assert found == {"full": "", "probe": "", "hyper": reason}
    found = objections(registry, *usual, of_code(hyper, metrics="changed"))
    reason = "other code than most rows: metrics of cola, metrics of mrpc, metrics of rte"
    assert found["hyper"] == reason


def test_a_row_whose_code_is_not_known_is_not_ranked_with_those_whose_is(registry, make):
    full, probe = make.per_task("full", 0.9), make.per_task("probe", 0.6)
    hyper = make.joint("hyper", 0.8)
    found = objections(registry, of_code(full), of_code(probe), of_code(hyper, version=1))
    assert found["hyper"] == "it is not known whether its code is that of most rows"
    found = objections(registry, of_code(full), *(of_code(r, version=1) for r in (probe, hyper)))
    assert found["full"] == "its code is known, that of most rows is not"
    assert found["probe"] == found["hyper"] == ""


def test_a_row_of_two_versions_of_a_method_is_not_ranked(registry, make):
    first, *others = make.per_task("full", 0.9)
    found = objections(registry, of_code([first], layers="other"), of_code(others))
    assert found["full"] == "its cells come from different versions of the method"
