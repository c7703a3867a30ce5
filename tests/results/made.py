"""Results that tests of packing and reading make for themselves."""

from suite.registry.schema import Recipe
from suite.results.records import CellKey, Environment, Identity, Result, TaskScore

TARGETS = (0, 1, 1, 0, 1)
RECIPE = Recipe(optimizer="adamw", learning_rate=1e-3, steps=100, batch_size=32)


def result(
    method="taps",
    tasks=("rte",),
    seed=0,
    *,
    status="ok",
    finished="2026-01-01T00:00:00+00:00",
    predictions=TARGETS,
    targets=TARGETS,
    recipe=RECIPE,
    backbone="bert_mini",
):
    ok = status == "ok"
    return Result(
        cell=CellKey(
            method=method, backbone=backbone, scale="mini", track="glue", tasks=tasks, seed=seed
        ),
        identity=Identity(
            schema_version=1,
            method="m",
            recipe="r",
            tasks=dict.fromkeys(tasks, "t"),
            backbone="b",
            seed=seed,
            digest=f"digest of {method}",
        ),
        status=status,
        reason="" if ok else "out of memory | ±3 GB",
        scores=tuple(
            TaskScore(
                task=task,
                metrics={"accuracy": 100 / 3},
                score=100 / 3,
                validation_score=1e-17,
                predictions=predictions,
                targets=targets,
            )
            for task in tasks
        )
        if ok
        else (),
        recipe=recipe,
        options={"rank": 8, "where": "both"},
        environment=Environment(
            device="cpu",
            hardware="A CPU",
            threads=1,
            versions={"python": "3.12"},
            commit=None,
            dirty=None,
            finished=finished,
        )
        if finished
        else None,
    )


def write(out, *results):
    for each in results:
        each.write(out / "results")
