"""A small registry and constructed results, so that pages are tested without any training."""

import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest

from suite.leaderboards import plot
from suite.registry.schema import (
    BackboneEntry,
    Classification,
    MethodEntry,
    PublishedRow,
    TaskEntry,
    TrackEntry,
)
from suite.results.records import CellKey, Environment, Identity, Ledger, Result, TaskScore
from suite.results.scores import evaluate, score

PARAMETERS = 1000
TASKS = ("cola", "mrpc", "rte")
METRICS = {"cola": ("matthews",), "mrpc": ("accuracy", "f1"), "rte": ("accuracy",)}


@dataclass
class Registry:
    methods: dict = field(default_factory=dict)
    tasks: dict = field(default_factory=dict)
    tracks: dict = field(default_factory=dict)
    backbones: dict = field(default_factory=dict)


def method(name, regime="per_task", **keys):
    return MethodEntry.model_validate(
        {
            "schema": 1,
            "name": name,
            "title": name.title(),
            "summary": f"What {name} does.",
            "regime": regime,
            "families": ("bert", "t5"),
            "unsupported": dict.fromkeys(("resnet", "densenet", "vit"), "text only"),
            "reference": {"title": f"The {name} paper", "url": f"https://example.org/{name}"},
            "cost": {},
            **keys,
        }
    )


def published(name, backbone, **keys):
    return PublishedRow.model_validate(
        {
            "method": name,
            "label": name.title(),
            "backbone": backbone,
            "score": 85.2,
            "total_x": 1.02,
            "source": "Somebody 2021, table 1",
            "verified": False,
            **keys,
        }
    )


DRAWN: dict[str, bytes | None] = {}


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """Boards of one content have one plot, which takes seconds: `test_plot` draws anew."""
    draw = plot.render

    def render(board):
        key = repr(plot.content(board))
        if key not in DRAWN:
            DRAWN[key] = draw(board)
        return DRAWN[key]

    monkeypatch.setattr(plot, "render", render)


@pytest.fixture
def registry():
    tasks = {
        f"glue/{name}": TaskEntry.model_validate(
            {
                "schema": 1,
                "name": name,
                "description": "",
                "modality": "text",
                "output": {"type": "classification", "labels": ("no", "yes")},
                "metrics": METRICS[name],
                "text": {"columns": ("sentence",), "template": "{sentence}"},
                "sources": {},
                "licence": "",
                "track": "glue",
            }
        )
        for name in TASKS
    }
    glue = TrackEntry.model_validate(
        {
            "schema": 1,
            "name": "glue",
            "description": "Sentences in miniature.",
            "modality": "text",
            "tasks": TASKS,
            "backbones": {"mini": ("bert_mini",), "full": ("t5_base",)},
            "published": (published("hyper", "t5_base"), published("other", "t5_base")),
        }
    )
    backbone = BackboneEntry.model_validate(
        {
            "schema": 1,
            "name": "bert_mini",
            "description": "A small encoder.",
            "family": "bert",
            "modality": "text",
            "scale": "mini",
            "source": {"library": "transformers", "id": "bert_mini"},
            "licence": "Apache-2.0",
        }
    )
    methods = [
        method("full", replaces_backbone=True),
        method("probe"),
        method("hyper", "joint"),
        method("shared", "joint", replaces_backbone=True),
    ]
    return Registry(
        methods={m.name: m for m in methods},
        tasks=tasks,
        tracks={"glue": glue},
        backbones={"bert_mini": backbone},
    )


def task_score(task, accuracy, seed, name, note="", n=300):
    rng = np.random.default_rng(zlib.crc32(f"{task}{n}".encode()))
    targets = rng.integers(2, size=n)
    rng = np.random.default_rng([seed, zlib.crc32(f"{name}{task}".encode())])
    predictions = np.where(rng.random(n) < accuracy, targets, 1 - targets)
    output = Classification(type="classification", labels=("no", "yes"))
    metrics_of = METRICS.get(task, ("accuracy",))
    entry = TaskEntry.model_construct(name=task, output=output, metrics=metrics_of)
    metrics = evaluate(entry, predictions, targets)
    return TaskScore(
        task=task,
        metrics=metrics,
        score=score(metrics),
        validation_score=score(metrics),
        predictions=tuple(predictions.tolist()),
        targets=tuple(targets.tolist()),
        data=note,
    )


def cell(
    name,
    tasks,
    seed=0,
    *,
    accuracy=0.8,
    status="ok",
    reason="",
    digest="d1",
    shared=0,
    own=100,
    note="",
    n=300,
    backbone="bert_mini",
    track="glue",
    trained=100,
    version="v1",
    options=None,
    setting="",
    store="float32",
    start="",
):
    """One result; `shared` and `own` are stored parameters, the latter for each task."""
    tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    ok = status == "ok"
    return Result(
        cell=CellKey(
            method=name,
            backbone=backbone,
            scale="mini",
            track=track,
            tasks=tasks,
            seed=seed,
            setting=setting,
            store=store,
        ),
        identity=Identity(
            schema_version=1,
            method=version,
            recipe="r",
            tasks=dict.fromkeys(tasks, digest),
            backbone="b",
            seed=seed,
            digest="",
            start=start,
        ),
        status=status,
        reason=reason,
        log="" if ok else f"logs/{name}.log",
        scores=tuple(task_score(t, accuracy, seed, name, note, n) for t in tasks) if ok else (),
        ledger=Ledger(
            shared_bits=32 * shared,
            task_bits=dict.fromkeys(tasks, 32 * own),
            head_bits=dict.fromkeys(tasks, 320),
            buffer_bits=0,
            tensor_bytes=4 * (shared + len(tasks) * (own + 10)),
            file_bytes=4 * (shared + len(tasks) * (own + 10)) + 80,
        )
        if ok
        else None,
        backbone_parameters=PARAMETERS if ok else 0,
        trained_parameters=trained,
        options=options or {},
        steps=100 * len(tasks) if ok else 0,
        train_seconds=4.5 * len(tasks),
        total_seconds=6.0,
        peak_memory_bytes=250_000_000,
        environment=Environment(
            device="cpu",
            hardware="A CPU, 2 cores",
            threads=1,
            versions={"python": "3.12", "torch": "2.12"},
            commit="abc",
            dirty=False,
            finished="2026-01-01T00:00:00Z",
        ),
    )


def per_task(name, accuracy, seeds=(0, 1, 2), **keys):
    return [cell(name, task, seed, accuracy=accuracy, **keys) for task in TASKS for seed in seeds]


def joint(name, accuracy, seeds=(0, 1, 2), tasks=TASKS, **keys):
    return [cell(name, tasks, seed, accuracy=accuracy, **keys) for seed in seeds]


@pytest.fixture
def make():
    """Makers of results: `make.cell`, `make.per_task`, `make.joint`."""

    class Make:
        pass

    Make.cell, Make.per_task, Make.joint = map(staticmethod, (cell, per_task, joint))
    Make.method, Make.published = staticmethod(method), staticmethod(published)
    return Make
